//! Channels that have a policy for clients which read more slowly than messages come.

use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, BuildError, Channel, ChannelError, Channels, Context, Endpoint, Handled, HandlerResult,
    History, JoinRefusal, JoinRequest, Joined, LongPollOptions, SlowReader, SocketOptions, TerminateReason,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Client;
use crate::poller::Poller;

/// Bytes that may wait for a client in these tests.
const BACKLOG: usize = 256 * 1024;

/// Why channels ended, in order.
type Ends = Arc<Mutex<Vec<TerminateReason>>>;

struct Room {
    ends: Option<Ends>,
    /// Whether `after_join` waits.
    slow: bool,
}

impl Channel for Room {
    type Assigns = ();

    async fn join(request: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        let (ends, slow) = (request.route_value::<Ends>().cloned(), request.rest() == "slow");
        Ok(Joined::new(Room { ends, slow }))
    }

    async fn after_join(&mut self, _: &mut Context<()>) -> Result<(), ChannelError> {
        tokio::time::sleep(Duration::from_secs(if self.slow { 5 } else { 0 })).await;
        Ok(())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        match event {
            "wait" => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                cx.push("waited", payload)?;
                Handled::ok()
            }
            _ => Handled::reply(payload),
        }
    }

    async fn terminate(&mut self, reason: &TerminateReason, _: &mut Context<()>) {
        self.ends.iter().for_each(|ends| ends.lock().push(reason.clone()));
    }
}

#[derive(Deserialize)]
struct Keyed {
    key: Option<String>,
}

fn by_key() -> SlowReader {
    SlowReader::keep_latest(|_, payload| payload.parse::<Keyed>().ok()?.key)
}

/// A server whose topics are named after what they do about slow readers.
fn endpoint_with(options: SocketOptions, ends: Ends) -> Endpoint {
    let channels = Channels::new()
        .channel::<Room>("plain:*")
        .channel_with::<Room>("strict:*", ends.clone())
        .slow_reader(SlowReader::drop_oldest())
        .channel_with::<Room>("kept:*", ends)
        .history(History::last(10_000).events(["msg"]))
        .slow_reader(SlowReader::drop_oldest().lossy())
        .channel::<Room>("lossy:*")
        .slow_reader(SlowReader::drop_oldest().lossy())
        .channel::<Room>("roomy:*")
        .slow_reader(SlowReader::drop_oldest().lossy().max_backlog(BACKLOG * 3 / 4))
        .channel::<Room>("latest:*")
        .slow_reader(by_key())
        .channel::<Room>("conflated:*")
        .slow_reader(by_key().lossy().max_backlog_frames(1))
        .channel::<Room>("small:*")
        .slow_reader(SlowReader::disconnect().max_backlog_frames(10));
    Endpoint::builder(PubSub::local()).socket("/socket", AllowAnonymous, channels, options).build().unwrap()
}

fn options() -> SocketOptions {
    // Tests in which nobody reads for a while are not about time.
    let long = Duration::from_secs(1_000_000);
    SocketOptions::default().max_backlog(BACKLOG).timeout(long).write_timeout(long)
}

fn endpoint() -> Endpoint {
    endpoint_with(options(), Ends::default())
}

/// A client whose stream takes few bytes before it is full, in all these topics.
async fn narrow(endpoint: &Endpoint, topics: &[&str]) -> Client {
    let mut client = Client::connect_with(endpoint, "vsn=2.0.0", 1024).await;
    for topic in topics {
        client.send(json!(["1", "1", topic, "phx_join", {}])).await;
        assert_eq!(client.recv().await[4]["status"], "ok");
    }
    client
}

/// Broadcasts once, and lets the connections see it.
async fn broadcast(endpoint: &Endpoint, topic: &str, event: &str, payload: Value) {
    endpoint.broadcast(topic, event, payload).unwrap();
    tokio::task::yield_now().await;
}

/// Broadcasts `msg` with these numbers, some 600 bytes each.
async fn flood(endpoint: &Endpoint, topic: &str, numbers: std::ops::Range<u64>) {
    for n in numbers {
        broadcast(endpoint, topic, "msg", json!({"n": n, "fill": "x".repeat(550)})).await;
    }
}

/// All that comes until nothing comes any more.
async fn read_all(client: &mut Client) -> Vec<Value> {
    let mut messages = Vec::new();
    while let Some(message) = client.recv_soon().await {
        messages.push(message);
    }
    messages
}

/// The numbers of the `msg` broadcasts of a topic.
fn numbers(messages: &[Value], topic: &str) -> Vec<u64> {
    let of_topic = messages.iter().filter(|message| message[2] == topic && message[3] == "msg");
    of_topic.map(|message| message[4]["n"].as_u64().unwrap()).collect()
}

fn events<'a>(messages: &'a [Value], topic: &str) -> Vec<&'a str> {
    let of_topic = messages.iter().filter(|message| message[2] == topic);
    of_topic.map(|message| message[3].as_str().unwrap()).collect()
}

/// What was counted of slow readers since this was last asked: how often, and how many broadcasts were dropped.
fn counted(snapshotter: &Snapshotter, route: &str, policy: &str) -> (u64, usize) {
    let (mut episodes, mut dropped) = (0, 0);
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<&str> = key.key().labels().map(metrics::Label::value).collect();
        let DebugValue::Counter(count) = value else { continue };
        match key.key().name() {
            "bennu_slow_readers_total" if labels == ["/socket", route, policy] => episodes += count,
            "bennu_dropped_broadcasts_total" if labels == ["/socket", route, policy] => {
                dropped += count as usize;
            }
            _ => {}
        }
    }
    (episodes, dropped)
}

#[tokio::test(start_paused = true)]
async fn a_lossy_channel_drops_the_oldest_and_goes_on() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();
    let mut client = narrow(&endpoint, &["lossy:a"]).await;
    for round in 1..=2 {
        flood(&endpoint, "lossy:a", 0..1_000).await;
        let got = numbers(&read_all(&mut client).await, "lossy:a");
        assert!(got.is_sorted() && got.last() == Some(&999), "{got:?}");
        // A quarter of the backlog, the 64 that the transport had taken, and what the stream held.
        assert!((165..185).contains(&got.len()), "{}", got.len());
        let (episodes, dropped) = counted(&recorder.snapshotter(), "lossy:*", "drop_oldest");
        assert_eq!((episodes, dropped + got.len()), (1, 1_000), "round {round}");
    }
    client.send(json!(["1", "2", "lossy:a", "echo", {"n": 1}])).await;
    assert_eq!(client.recv().await[4]["response"], json!({"n": 1}));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_up_gets_everything() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();
    let topics = ["lossy:a", "strict:a", "latest:a", "conflated:a", "kept:a"];
    let mut client = narrow(&endpoint, &topics).await;
    for n in 0..200 {
        for topic in topics {
            broadcast(&endpoint, topic, "msg", json!({"n": n, "key": "k"})).await;
            let message = client.recv().await;
            assert_eq!((&message[2], &message[4]["n"]), (&json!(topic), &json!(n)));
        }
    }
    assert_eq!(counted(&recorder.snapshotter(), "lossy:*", "drop_oldest"), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_strict_channel_tells_the_truth_where_the_hole_is_and_can_be_joined_anew() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let ends = Ends::default();
    let endpoint = endpoint_with(options(), ends.clone());
    let mut client = narrow(&endpoint, &["strict:a"]).await;
    flood(&endpoint, "strict:a", 0..1_000).await;
    assert_eq!(*ends.lock(), [TerminateReason::SlowReader]);
    assert_eq!(endpoint.pubsub().subscriber_count("strict:a"), 0);
    let messages = read_all(&mut client).await;
    let got = numbers(&messages, "strict:a");
    assert_eq!(got, (0..got.len() as u64).collect::<Vec<_>>(), "no hole before the client is told");
    let end = json!(["1", "1", "strict:a", "phx_error", {"reason": "slow_reader"}]);
    assert_eq!((messages.last(), messages.len()), (Some(&end), got.len() + 1));
    let (episodes, dropped) = counted(&recorder.snapshotter(), "strict:*", "drop_oldest");
    // What came after the channel had ended was for nobody.
    assert!(episodes == 1 && (1..1_000 - got.len()).contains(&dropped), "{episodes}, {dropped}");
    client.join("strict:a").await;
    broadcast(&endpoint, "strict:a", "msg", json!({"n": 1_000})).await;
    assert_eq!(client.recv().await[4]["n"], 1_000);
}

#[tokio::test(start_paused = true)]
async fn where_a_history_is_kept_nothing_is_lost_in_the_end() {
    let ends = Ends::default();
    let endpoint = endpoint_with(options(), ends.clone());
    let mut client = Client::connect_with(&endpoint, "vsn=2.0.0", 1024).await;
    client.send(json!(["1", "1", "kept:a", "phx_join", {}])).await;
    let epoch = client.recv().await[4]["response"]["epoch"].clone();
    flood(&endpoint, "kept:a", 0..300).await;
    assert_eq!(*ends.lock(), [TerminateReason::SlowReader], "lossy or not");
    let mut got = Vec::new();
    for join_ref in 2.. {
        let messages = read_all(&mut client).await;
        got.extend(numbers(&messages, "kept:a"));
        let Some(end) = messages.iter().find(|message| message[3] == "phx_error") else { break };
        assert_eq!(end[4]["reason"], "slow_reader");
        let recover = json!({"recover": {"epoch": epoch, "offset": got.len()}});
        client.send(json!([join_ref.to_string(), "1", "kept:a", "phx_join", recover])).await;
        assert_eq!(client.recv().await[4]["response"]["recovered"], true);
    }
    assert_eq!(got, (0..300).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_a_history_does_not_keep_is_lost_without_a_word_if_the_channel_is_lossy() {
    let ends = Ends::default();
    let endpoint = endpoint_with(options(), ends.clone());
    let mut client = narrow(&endpoint, &["kept:a"]).await;
    for n in 0..500 {
        // One in a hundred is kept.
        let event = if n % 100 == 0 { "msg" } else { "cursor" };
        broadcast(&endpoint, "kept:a", event, json!({"n": n, "fill": "x".repeat(550)})).await;
    }
    let messages = read_all(&mut client).await;
    assert_eq!(numbers(&messages, "kept:a"), [0, 100, 200, 300, 400]);
    assert!(messages.len() < 200, "{}", messages.len());
    assert_eq!(messages.last().unwrap()[4]["n"], 499);
    assert!(ends.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_presence_diff_is_dropped_by_no_policy_without_a_word() {
    let endpoint = endpoint();
    let mut client = narrow(&endpoint, &["lossy:a", "conflated:a"]).await;
    for n in 0..500 {
        let event = if n % 100 == 0 { "presence_diff" } else { "cursor" };
        for topic in ["lossy:a", "conflated:a"] {
            broadcast(&endpoint, topic, event, json!({"n": n, "key": "k", "fill": "x".repeat(550)})).await;
        }
    }
    let messages = read_all(&mut client).await;
    let events_of = |topic| events(&messages, topic);
    assert_eq!(events_of("lossy:a").iter().filter(|event| **event == "presence_diff").count(), 5);
    assert!(!events_of("lossy:a").contains(&"phx_error"));
    // This one has no room for more than one message, so it cannot keep two diffs.
    assert_eq!(events_of("conflated:a").last(), Some(&"phx_error"));
}

#[tokio::test(start_paused = true)]
async fn the_newest_value_of_each_key_is_kept_in_order() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();
    let mut client = narrow(&endpoint, &["latest:a"]).await;
    for n in 0..2_000 {
        // One key stops early; one message has none.
        let key = match n {
            0..300 => json!(format!("k{}", n % 5)),
            700 => Value::Null,
            _ => json!(format!("k{}", n % 4)),
        };
        broadcast(&endpoint, "latest:a", "msg", json!({"n": n, "key": key, "fill": "x".repeat(550)})).await;
    }
    let messages = read_all(&mut client).await;
    let got = numbers(&messages, "latest:a");
    assert!(got.is_sorted(), "{got:?}");
    assert_eq!(got[got.len() - 6..], [299, 700, 1_996, 1_997, 1_998, 1_999]);
    assert_eq!(events(&messages, "latest:a").iter().find(|event| **event == "phx_error"), None);
    let (episodes, dropped) = counted(&recorder.snapshotter(), "latest:*", "keep_latest");
    assert_eq!((episodes, dropped + got.len()), (1, 2_000));
}

#[tokio::test(start_paused = true)]
async fn when_the_newest_of_all_keys_are_too_many_the_channel_ends() {
    let endpoint = endpoint();
    let mut client = narrow(&endpoint, &["latest:a", "conflated:a"]).await;
    for n in 0..500 {
        for topic in ["latest:a", "conflated:a"] {
            let key = n.to_string();
            broadcast(&endpoint, topic, "msg", json!({"n": n, "key": key, "fill": "x".repeat(550)})).await;
        }
    }
    let messages = read_all(&mut client).await;
    assert_eq!(events(&messages, "latest:a").last(), Some(&"phx_error"));
    let lossy = numbers(&messages, "conflated:a");
    assert!(lossy.is_sorted() && lossy.last() == Some(&499), "{lossy:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flooded_channel_costs_the_others_of_its_connection_nothing() {
    let endpoint = endpoint();
    let mut client = narrow(&endpoint, &["plain:a", "lossy:a", "strict:a"]).await;
    for n in 0..500_u64 {
        flood(&endpoint, "lossy:a", n..n + 1).await;
        if n < 20 {
            flood(&endpoint, "strict:a", n..n + 1).await;
        }
        if n % 10 == 0 {
            flood(&endpoint, "plain:a", n / 10..n / 10 + 1).await;
            client.send(json!(["1", (1_000 + n / 10).to_string(), "plain:a", "echo", {}])).await;
        }
    }
    let messages = read_all(&mut client).await;
    assert_eq!(numbers(&messages, "plain:a"), (0..50).collect::<Vec<_>>());
    assert_eq!(numbers(&messages, "strict:a"), (0..20).collect::<Vec<_>>());
    let replies: Vec<_> = messages.iter().filter_map(|message| message[1].as_str()).collect();
    assert_eq!(replies, (1_000..1_050).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(numbers(&messages, "lossy:a").last(), Some(&499));
    // A reply keeps its place among the broadcasts.
    let of_plain: Vec<_> = messages.iter().filter(|message| message[2] == "plain:a").collect();
    assert!(of_plain.chunks(2).all(|pair| pair[0][3] == "msg" && pair[1][3] == "phx_reply"), "{of_plain:?}");
}

#[tokio::test(start_paused = true)]
async fn before_a_connection_is_closed_everything_gives_way_that_may() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();
    let mut client = narrow(&endpoint, &["plain:a", "lossy:a", "strict:a"]).await;
    flood(&endpoint, "plain:a", 0..350).await;
    flood(&endpoint, "lossy:a", 0..40).await;
    flood(&endpoint, "strict:a", 0..30).await;
    let given_way = || {
        let lossy = counted(&recorder.snapshotter(), "lossy:*", "drop_oldest");
        (lossy, endpoint.pubsub().subscriber_count("strict:a"))
    };
    assert_eq!(given_way(), ((0, 0), 1));
    flood(&endpoint, "plain:a", 350..376).await;
    let ((episodes, dropped), strict) = given_way();
    assert!(episodes == 1 && (1..40).contains(&dropped) && strict == 1, "{episodes}, {dropped}, {strict}");
    flood(&endpoint, "plain:a", 376..420).await;
    let (_, strict) = given_way();
    assert_eq!((strict, endpoint.connection_count()), (0, 1), "the strict channel has ended");
    flood(&endpoint, "plain:a", 420..460).await;
    assert_eq!(client.closed().await, 1013);
    let (closed, _) = counted(&recorder.snapshotter(), "plain:*", "disconnect");
    assert_eq!(closed, 1);
}

#[tokio::test(start_paused = true)]
async fn what_can_be_dropped_does_not_stop_the_reading() {
    let endpoint = endpoint();
    let mut client = narrow(&endpoint, &["roomy:a"]).await;
    // More than half of the backlog.
    flood(&endpoint, "roomy:a", 0..600).await;
    for n in 0..100 {
        let message = json!(["1", n.to_string(), "roomy:a", "echo", {}]);
        let sending = tokio::time::timeout(Duration::from_secs(1), client.send(message)).await;
        sending.expect("the server reads no more");
    }
    let messages = read_all(&mut client).await;
    assert_eq!(messages.iter().filter(|message| message[3] == "phx_reply").count(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_closed_whatever_the_policy() {
    let options = options().write_timeout(Duration::from_secs(30));
    let endpoint = endpoint_with(options, Ends::default());
    let client = narrow(&endpoint, &["lossy:a"]).await;
    for n in 0..29 {
        flood(&endpoint, "lossy:a", n * 10..n * 10 + 10).await;
        assert_eq!(endpoint.connection_count(), 1, "after {n} s");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((endpoint.connection_count(), client.has_ended()), (0, true));
}

#[tokio::test(start_paused = true)]
async fn messages_are_bounded_in_number_too() {
    let endpoint = endpoint_with(options().max_backlog_frames(100), Ends::default());
    let mut client = narrow(&endpoint, &["plain:a"]).await;
    for n in 0..500 {
        broadcast(&endpoint, "plain:a", "msg", json!({ "n": n })).await;
    }
    assert_eq!(client.closed().await, 1013);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_disconnects_may_have_a_bound_of_its_own() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();
    let mut client = narrow(&endpoint, &["small:a"]).await;
    for n in 0..150 {
        broadcast(&endpoint, "small:a", "msg", json!({ "n": n })).await;
    }
    assert_eq!(client.closed().await, 1013);
    assert_eq!(counted(&recorder.snapshotter(), "small:*", "disconnect"), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_is_done_before_its_channel_ends() {
    let ends = Ends::default();
    let endpoint = endpoint_with(options(), ends.clone());
    let mut client = narrow(&endpoint, &["strict:a"]).await;
    client.send(json!(["1", "2", "strict:a", "wait", {}])).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    flood(&endpoint, "strict:a", 0..500).await;
    assert!(ends.lock().is_empty());
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(*ends.lock(), [TerminateReason::SlowReader]);
    let messages = read_all(&mut client).await;
    let after: Vec<_> =
        events(&messages, "strict:a").into_iter().skip_while(|event| *event == "msg").collect();
    assert_eq!(after, ["waited", "phx_reply", "phx_error"]);
}

#[tokio::test(start_paused = true)]
async fn too_much_behind_after_join_ends_the_channel() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();
    let mut client = narrow(&endpoint, &["lossy:slow"]).await;
    flood(&endpoint, "lossy:slow", 0..200).await;
    assert_eq!(read_all(&mut client).await, Vec::<Value>::new(), "after_join is not done");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let messages = read_all(&mut client).await;
    assert_eq!(events(&messages, "lossy:slow").last(), Some(&"phx_error"));
    let got = numbers(&messages, "lossy:slow");
    assert_eq!(got, (0..got.len() as u64).collect::<Vec<_>>());
    let (_, dropped) = counted(&recorder.snapshotter(), "lossy:*", "drop_oldest");
    assert_eq!(got.len() + dropped, 200);
}

#[tokio::test(start_paused = true)]
async fn clients_that_poll_too_seldom_are_slow_readers_too() {
    let endpoint = endpoint_with(options().longpoll(LongPollOptions::new()), Ends::default());
    let poller = Poller::open(&endpoint).await;
    poller.join("lossy:a").await;
    poller.join("strict:a").await;
    for n in 0..500 {
        flood(&endpoint, "lossy:a", n..n + 1).await;
        flood(&endpoint, "strict:a", n..n + 1).await;
    }
    let (status, messages) = poller.poll().await;
    assert_eq!(status, 200);
    // Nothing had been taken before, so here it is exactly what the policies leave.
    let lossy = numbers(&messages, "lossy:a");
    assert_eq!(lossy, (500 - lossy.len() as u64..500).collect::<Vec<_>>());
    assert_eq!(events(&messages, "strict:a"), ["phx_error"]);
}

#[test]
fn a_policy_in_front_of_the_first_channel_is_a_build_error() {
    let channels = Channels::new().slow_reader(SlowReader::drop_oldest()).channel::<Room>("room:*");
    let built = Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
        .build();
    assert_eq!(built.unwrap_err(), BuildError::SlowReaderWithoutChannel { path: "/socket".to_owned() });
}
