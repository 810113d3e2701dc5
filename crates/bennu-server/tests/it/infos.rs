//! Messages that do not come from the client.

use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, ChannelError, Channels, Context, Endpoint, Handled, HandlerResult, Info,
    JoinRefusal, JoinRequest, Joined, SocketOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::Client;

/// What a worker publishes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Progress {
    percent: u8,
}

/// Not to be serialised: goes to one channel of this process.
struct Tick(std::time::Instant);

/// Makes the channel send itself the next one.
struct Babble;

struct Follower;

impl Channel for Follower {
    type Assigns = ();

    const INTERCEPT: &'static [&'static str] = &["secret"];

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Follower))
    }

    async fn after_join(&mut self, cx: &mut Context<()>) -> Result<(), ChannelError> {
        if &**cx.topic() == "job:slow" {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        cx.subscribe("news");
        cx.subscribe("news");
        cx.broadcast("own", json!({}))?;
        cx.handle().send(Tick(std::time::Instant::now()));
        if &**cx.topic() == "job:slow" {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        cx.push("state", json!({}))?;
        Ok(())
    }

    async fn handle_in(&mut self, event: &str, _: Payload, cx: &mut Context<()>) -> HandlerResult {
        match event {
            "babble" => {
                cx.handle().send(Babble);
                Handled::ok()
            }
            "panic" => panic!("asked to panic"),
            "mute" => {
                cx.unsubscribe("news");
                Handled::ok()
            }
            _ => Handled::unknown_event(event),
        }
    }

    async fn handle_out(&mut self, event: &str, _: Payload, cx: &mut Context<()>) -> HandlerResult {
        cx.push(event, json!({"redacted": true}))?;
        Handled::no_reply()
    }

    async fn handle_info(&mut self, info: Info, cx: &mut Context<()>) -> HandlerResult {
        if let Some(progress) = info.get::<Progress>() {
            cx.push("progress", progress)?;
        } else if let Some(broadcast) = info.broadcast() {
            cx.push("heard", json!({"topic": info.topic(), "event": broadcast.event()}))?;
        } else {
            match info.take::<Tick>().map_err(Info::take::<Babble>) {
                Ok(Tick(at)) => cx.push("tick", json!({"in_the_past": at <= std::time::Instant::now()}))?,
                Err(Ok(Babble)) => cx.handle().send(Babble),
                Err(Err(_)) => {}
            }
        }
        Handled::no_reply()
    }
}

fn endpoint() -> Endpoint {
    let channels = Channels::new().channel::<Follower>("job:*");
    Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
        .build()
        .unwrap()
}

async fn joined(endpoint: &Endpoint) -> Client {
    let mut client = Client::connect(endpoint).await;
    client.join("job:1").await;
    assert_eq!(client.recv_event().await, "state");
    assert_eq!(client.recv_event().await, "own");
    assert_eq!(client.recv().await[4], json!({"in_the_past": true}));
    client
}

#[tokio::test(start_paused = true)]
async fn a_typed_message_on_the_own_topic_goes_to_handle_info_and_never_to_the_wire_by_itself() {
    let endpoint = endpoint();
    let mut client = joined(&endpoint).await;
    endpoint.pubsub().broadcast("job:1", Progress { percent: 7 });
    assert_eq!(client.recv().await, json!(["1", null, "job:1", "progress", {"percent": 7}]));
    endpoint.pubsub().broadcast("job:1", "text that nobody asks for".to_owned());
    client.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn broadcasts_on_a_subscribed_topic_go_to_handle_info_once() {
    let endpoint = endpoint();
    let mut client = joined(&endpoint).await;
    endpoint.broadcast("news", "flash", json!({})).unwrap();
    assert_eq!(client.recv().await[4], json!({"topic": "news", "event": "flash"}));
    client.hears_nothing().await;
    client.send(json!(["1", "2", "job:1", "mute", {}])).await;
    assert_eq!(client.recv_event().await, "phx_reply");
    endpoint.broadcast("news", "flash", json!({})).unwrap();
    client.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn only_intercepted_events_visit_the_channel() {
    let endpoint = endpoint();
    let mut client = joined(&endpoint).await;
    endpoint.broadcast("job:1", "secret", json!({"pin": 1234})).unwrap();
    endpoint.broadcast("job:1", "open", json!({"n": 1})).unwrap();
    assert_eq!(client.recv().await, json!([null, null, "job:1", "open", {"n": 1}]));
    assert_eq!(client.recv().await, json!(["1", null, "job:1", "secret", {"redacted": true}]));
}

#[tokio::test(start_paused = true)]
async fn broadcasts_wait_for_after_join_and_keep_their_order() {
    let endpoint = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("job:slow").await;
    for n in 0..3 {
        endpoint.broadcast("job:slow", "change", json!({ "n": n })).unwrap();
    }
    client.hears_nothing().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(client.recv_event().await, "state");
    // The order of the broadcasts, with the one of after_join itself in its second half.
    for n in 0..3 {
        assert_eq!(client.recv().await[4], json!({ "n": n }));
    }
    assert_eq!(client.recv_event().await, "own");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_ended_leaves_no_subscription() {
    let endpoint = endpoint();
    let mut client = joined(&endpoint).await;
    let subscribers = |topic| endpoint.pubsub().subscriber_count(topic);
    assert_eq!((subscribers("job:1"), subscribers("news")), (1, 1));
    client.send(json!(["1", "2", "job:1", "phx_leave", {}])).await;
    assert_eq!(client.recv_event().await, "phx_reply");
    assert_eq!(client.recv_event().await, "phx_close");
    assert_eq!((subscribers("job:1"), subscribers("news")), (0, 0));
    client.join("job:1").await;
    for event in ["state", "own", "tick"] {
        assert_eq!(client.recv_event().await, event);
    }
    client.send(json!(["1", "3", "job:1", "panic", {}])).await;
    assert_eq!(client.recv_event().await, "phx_error");
    assert_eq!((subscribers("job:1"), subscribers("news")), (0, 0));
    client.join("job:1").await;
    client.cut().await;
    assert_eq!((subscribers("job:1"), subscribers("news")), (0, 0));
}

#[tokio::test]
async fn a_channel_that_never_stops_talking_to_itself_holds_up_nobody_else() {
    let endpoint = endpoint();
    let (mut babbler, mut other) = (joined(&endpoint).await, joined(&endpoint).await);
    // The second join's broadcast was for both.
    assert_eq!(babbler.recv_event().await, "own");
    babbler.send(json!(["1", "2", "job:1", "babble", {}])).await;
    assert_eq!(babbler.recv().await[1], "2");
    for client in [&mut other, &mut babbler] {
        client.send(json!([null, "3", "phoenix", "heartbeat", {}])).await;
        assert_eq!(client.recv().await[1], "3");
    }
}
