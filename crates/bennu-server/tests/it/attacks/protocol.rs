//! Messages that break the rules, or bend them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bennu_protocol::websocket::Opcode;
use bennu_protocol::{Payload, Status};
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, Context, Endpoint, Handled, HandlerResult, JoinRefusal, JoinRequest,
    Joined, SocketOptions, SocketRef, TerminateReason,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::{Value, json};

use crate::client::Client;

/// Answers everything, and keeps the reference of `keep` for later.
#[derive(Default)]
struct Room {
    kept: Option<SocketRef>,
}

impl Channel for Room {
    type Assigns = ();

    async fn join(request: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        assert_ne!(request.rest(), "panic", "asked to panic");
        Ok(Joined::new(Room::default()))
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        match event {
            "echo" => Handled::reply(payload),
            "panic" => panic!("asked to panic"),
            "keep" => {
                self.kept = cx.socket_ref();
                Handled::no_reply()
            }
            "twice" => {
                if let Some(kept) = cx.socket_ref() {
                    kept.reply(Status::Ok, json!({"n": 1}))?;
                    kept.reply(Status::Ok, json!({"n": 2}))?;
                }
                Handled::no_reply()
            }
            _ => Handled::unknown_event(event),
        }
    }

    async fn terminate(&mut self, _: &TerminateReason, cx: &mut Context<()>) {
        if let Some(kept) = self.kept.take() {
            TOO_LATE.with(|too_late| {
                too_late.fetch_add(1, Ordering::Relaxed);
            });
            // The channel has left: nobody waits for this.
            let _ = kept.reply(Status::Ok, json!({"too": "late"}));
        }
        assert_ne!(&**cx.topic(), "room:terminate", "asked to panic");
    }
}

thread_local! {
    /// Replies that were made after a leave, on the thread of the test.
    static TOO_LATE: Arc<AtomicUsize> = Arc::default();
}

fn endpoint_with(options: SocketOptions) -> Endpoint {
    let channels = Channels::new().channel::<Room>("room:*");
    Endpoint::builder(PubSub::local()).socket("/socket", AllowAnonymous, channels, options).build().unwrap()
}

fn endpoint() -> Endpoint {
    endpoint_with(SocketOptions::default())
}

fn heartbeat(reference: &Value) -> (Value, Value) {
    let response = json!({"status": "ok", "response": {}});
    (
        json!([null, reference, "phoenix", "heartbeat", {}]),
        json!([null, reference, "phoenix", "phx_reply", response]),
    )
}

async fn expect_alive(client: &mut Client) {
    let (sent, answered) = heartbeat(&json!("alive"));
    client.send(sent).await;
    assert_eq!(client.recv().await, answered);
}

fn unmatched(reference: Value, topic: Value) -> Value {
    let response = json!({"status": "error", "response": {"reason": "unmatched topic"}});
    json!([null, reference, topic, "phx_reply", response])
}

#[tokio::test(start_paused = true)]
async fn attack_024_what_is_no_message_closes_with_1011_and_strange_ones_are_answered() {
    let endpoint = endpoint();
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"["1","2","room:a","echo",{{"a":{open}{close}}}]"#)
    };
    for (name, text) in [
        ("an object", "{}".to_owned()),
        ("four elements", r#"["1","2","room:a","echo"]"#.to_owned()),
        ("nothing", String::new()),
        ("NaN", r#"["1","2","room:a","echo",{"a":NaN}]"#.to_owned()),
        ("a number beyond a double", r#"["1","2","room:a","echo",{"a":1e400}]"#.to_owned()),
        ("a lone surrogate", r#"["1","2","room:a","echo",{"a":"\ud800"}]"#.to_owned()),
        ("more than one value", r#"["1","2","room:a","echo",{}] []"#.to_owned()),
        ("10,000 levels in the payload", deep(10_000)),
        ("a million levels instead of a message", "[".repeat(1_000_000)),
    ] {
        let mut client = Client::connect(&endpoint).await;
        client.join("room:a").await;
        client.send_frame(Opcode::Text, text.as_bytes()).await;
        assert_eq!(client.closed().await, 1011, "{name}");
    }

    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    for topic in [json!(7), json!(null), json!({"a": []}), json!("x".repeat(1 << 20))] {
        client.send(json!(["1", "2", topic, "phx_join", {}])).await;
        assert_eq!(client.recv().await, unmatched(json!("2"), topic));
    }
    client.send_frame(Opcode::Text, br#"["1","3","room:a","echo",{"a":1,"a":2}]"#).await;
    let reply = client.recv().await;
    assert_eq!((&reply[1], &reply[4]["status"]), (&json!("3"), &json!("ok")));
    client.send_frame(Opcode::Text, deep(100).as_bytes()).await;
    assert_eq!(client.recv().await[4]["status"], "ok");
}

#[tokio::test(start_paused = true)]
async fn attack_025_binary_frames_that_lie_close_with_1011() {
    let endpoint = endpoint();
    for (name, frame) in [
        ("nothing", &b""[..]),
        ("kind 1, a reply", b"\x01\x01\x01\x06\x0212room:aok"),
        ("kind 2, a broadcast", b"\x02\x06\x04room:amsg!"),
        ("kind 4", b"\x04\x01\x01\x06\x0412room:aecho"),
        ("kind 200", b"\xc8\x01\x01\x06\x0412room:aecho"),
        ("half a header", b"\x00\x01\x01"),
        ("lengths beyond the frame", b"\x00\x01\x01\xff\x0412room:aecho"),
        ("one byte too few", b"\x00\x01\x01\x06\x0412room:aech"),
    ] {
        let mut client = Client::connect(&endpoint).await;
        client.join("room:a").await;
        client.send_frame(Opcode::Binary, frame).await;
        assert_eq!(client.closed().await, 1011, "{name}");
    }
    // All lengths zero is well-formed: a message for the topic without a name.
    let mut client = Client::connect(&endpoint).await;
    client.send_frame(Opcode::Binary, b"\x00\x00\x00\x00\x00").await;
    assert_eq!(client.recv().await, unmatched(json!(""), json!("")));
}

#[tokio::test(start_paused = true)]
async fn attack_026_channels_of_a_connection_are_limited() {
    for (options, limit) in [(SocketOptions::default(), 100), (SocketOptions::default().max_channels(3), 3)] {
        let endpoint = endpoint_with(options);
        let mut client = Client::connect(&endpoint).await;
        for number in 0..limit {
            client.join(&format!("room:{number}")).await;
        }
        client.send(json!(["1", "1", "room:more", "phx_join", {}])).await;
        let response = json!({"status": "error", "response": {"reason": "too many channels joined"}});
        assert_eq!(client.recv().await, json!(["1", "1", "room:more", "phx_reply", response]));
        client.send(json!(["1", "2", "room:0", "phx_leave", {}])).await;
        assert_eq!(client.recv_event().await, "phx_reply");
        assert_eq!(client.recv_event().await, "phx_close");
        client.join("room:more").await;
    }
}

#[tokio::test(start_paused = true)]
async fn attack_028_a_second_join_ends_the_first_and_its_messages() {
    let endpoint = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    client.send(json!(["2", "2", "room:a", "phx_join", {}])).await;
    let ok = json!({"status": "ok", "response": {}});
    assert_eq!(client.recv().await, json!(["2", "2", "room:a", "phx_reply", ok]));
    assert_eq!(client.recv().await, json!(["1", "1", "room:a", "phx_close", {}]));
    client.send(json!(["1", "3", "room:a", "echo", {}])).await;
    client.hears_nothing().await;
    client.send(json!(["2", "4", "room:a", "echo", {}])).await;
    assert_eq!(client.recv().await, json!(["2", "4", "room:a", "phx_reply", ok]));
}

#[tokio::test(start_paused = true)]
async fn attack_029_messages_without_a_join_ref_reach_the_joined_channel() {
    let endpoint = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    client.send(json!([null, "2", "room:a", "echo", {"n": 1}])).await;
    let reply = json!({"status": "ok", "response": {"n": 1}});
    assert_eq!(client.recv().await, json!(["1", "2", "room:a", "phx_reply", reply]));

    let mut old = Client::connect_with(&endpoint, "vsn=1.0.0", 64 * 1024).await;
    old.send(json!({"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"})).await;
    assert_eq!(old.recv().await["ref"], "1");
    old.send(json!({"topic": "room:a", "event": "echo", "payload": {"n": 1}, "ref": "2"})).await;
    assert_eq!(
        old.recv().await,
        json!({"topic": "room:a", "event": "phx_reply", "payload": reply, "ref": "2"})
    );
}

#[tokio::test(start_paused = true)]
async fn attack_030_a_leave_without_a_join_ref_leaves_and_a_stale_one_does_nothing() {
    let endpoint = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    client.send(json!(["0", "2", "room:a", "phx_leave", {}])).await;
    client.hears_nothing().await;
    client.send(json!(["1", "3", "room:a", "echo", {}])).await;
    assert_eq!(client.recv().await[1], "3");
    client.send(json!([null, "4", "room:a", "phx_leave", {}])).await;
    assert_eq!(client.recv().await[1], "4");
    assert_eq!(client.recv_event().await, "phx_close");
}

#[tokio::test(start_paused = true)]
async fn attack_032_the_topic_phoenix_beats_and_does_nothing_else() {
    let endpoint = endpoint();
    let mut client = Client::connect(&endpoint).await;
    for reference in [json!(null), json!(7), json!(1.5), json!("7"), json!(true), json!({"a": [1]})] {
        let (sent, answered) = heartbeat(&reference);
        client.send(sent).await;
        assert_eq!(client.recv().await, answered);
    }
    for event in ["other", "phx_join", "token", "phx_reply"] {
        client.send(json!([null, "5", "phoenix", event, {}])).await;
        assert_eq!(client.recv().await, unmatched(json!("5"), json!("phoenix")), "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn attack_035_a_panic_ends_its_channel_alone_and_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();
    let mut client = Client::connect(&endpoint).await;
    let mut other = Client::connect(&endpoint).await;
    other.join("room:a").await;
    for topic in ["room:a", "room:b", "room:terminate"] {
        client.join(topic).await;
    }
    client.send(json!(["1", "2", "room:panic", "phx_join", {}])).await;
    let crashed = json!({"status": "error", "response": {"reason": "join crashed"}});
    assert_eq!(client.recv().await, json!(["1", "2", "room:panic", "phx_reply", crashed]));
    client.send(json!(["1", "3", "room:a", "panic", {}])).await;
    assert_eq!(client.recv().await, json!(["1", "1", "room:a", "phx_error", {"reason": "channel_crash"}]));
    client.send(json!(["1", "4", "room:terminate", "phx_leave", {}])).await;
    assert_eq!(client.recv_event().await, "phx_reply");
    assert_eq!(client.recv_event().await, "phx_close");

    for (client, topic) in [(&mut client, "room:b"), (&mut other, "room:a")] {
        client.send(json!(["1", "5", topic, "echo", {}])).await;
        assert_eq!(client.recv().await[4]["status"], "ok");
    }
    let crashes =
        snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| match value {
            DebugValue::Counter(count) if key.key().name() == "bennu_crashes_total" => Some(count),
            _ => None,
        });
    assert_eq!(crashes.collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn attack_037_replies_that_nobody_waits_for_do_no_harm() {
    let endpoint = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    client.send(json!(["1", "2", "room:a", "keep", {}])).await;
    client.send(json!(["1", "3", "room:a", "phx_leave", {}])).await;
    assert_eq!(client.recv().await[1], "3");
    assert_eq!(client.recv_event().await, "phx_close");
    client.hears_nothing().await;
    assert_eq!(TOO_LATE.with(|too_late| too_late.load(Ordering::Relaxed)), 1, "the reply was tried");

    // A reply may be given twice, as in Phoenix; clients ignore what they do not wait for.
    client.join("room:a").await;
    client.send(json!(["1", "4", "room:a", "twice", {}])).await;
    for n in [1, 2] {
        let reply = json!({"status": "ok", "response": {"n": n}});
        assert_eq!(client.recv().await, json!(["1", "4", "room:a", "phx_reply", reply]));
    }

    // A reply that a client makes up is an event like any other, and answers nothing.
    client.send(json!(["9", "9", "room:nowhere", "phx_reply", {"status": "ok", "response": {}}])).await;
    assert_eq!(client.recv().await, unmatched(json!("9"), json!("room:nowhere")));
    client.send(json!(["1", "5", "room:a", "phx_reply", {"status": "ok", "response": {}}])).await;
    assert_eq!(client.recv_event().await, "phx_error");
    expect_alive(&mut client).await;
}
