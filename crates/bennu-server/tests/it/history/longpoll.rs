//! Positions and replays of clients that poll.

use std::time::Duration;

use bennu_server::{DrainOptions, Endpoint, History, LongPollOptions, SocketOptions};
use serde_json::{Value, json};

use super::{builder, shout, since};
use crate::poller::Poller;

/// Bytes that may wait for a client in these tests.
const BACKLOG: usize = 16 * 1024;

fn endpoint() -> Endpoint {
    let options = SocketOptions::default().longpoll(LongPollOptions::new()).max_backlog(BACKLOG);
    builder(History::last(1_000), options).build().unwrap()
}

/// A client that joined `topic`, what the reply said, and the messages that came with it.
async fn joined(endpoint: &Endpoint, topic: &str, params: Value) -> (Poller, Value, Vec<Value>) {
    let poller = Poller::open(endpoint).await;
    let (response, messages) = join(&poller, topic, "1", params).await;
    (poller, response, messages)
}

async fn join(poller: &Poller, topic: &str, reference: &str, params: Value) -> (Value, Vec<Value>) {
    assert_eq!(poller.post([json!([reference, reference, topic, "phx_join", params])]).await, 200);
    let (status, mut messages) = poller.poll().await;
    assert_eq!(status, 200);
    let reply = messages.remove(0);
    assert_eq!((&reply[3], &reply[4]["status"]), (&json!("phx_reply"), &json!("ok")), "{reply}");
    (reply[4]["response"].clone(), messages)
}

/// The epoch of a topic to which nobody is joined any more, after so many broadcasts.
async fn kept(endpoint: &Endpoint, broadcasts: u64) -> Value {
    let (other, response) = super::joined(endpoint, "room:a", json!({})).await;
    other.cut().await;
    fill(endpoint, 1..=broadcasts);
    response["epoch"].clone()
}

/// Broadcasts some 560 bytes for each of these numbers.
fn fill(endpoint: &Endpoint, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        endpoint.broadcast("room:a", "msg", json!({"n": n, "fill": "x".repeat(500)})).unwrap();
    }
}

/// Polls until the broadcast of this offset has come; the offsets in order, and how many polls it took.
async fn offsets_until(poller: &Poller, mut messages: Vec<Value>, last: u64) -> (Vec<u64>, usize) {
    let mut polls = 0;
    while messages.last().is_none_or(|message| message[4]["phx_offset"] != last) {
        let (status, more) = poller.poll().await;
        assert_eq!(status, 200, "{} of {last} came", messages.len());
        messages.extend(more);
        polls += 1;
    }
    (messages.iter().map(|message| message[4]["phx_offset"].as_u64().unwrap()).collect(), polls)
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_lost_is_recovered_over_polls_and_over_a_websocket() {
    let endpoint = endpoint();
    let (poller, response, _) = joined(&endpoint, "room:a", json!({})).await;
    shout(&endpoint, "room:a", 1);
    assert_eq!(poller.poll().await.1[0][4], json!({"n": 1, "phx_offset": 1}));
    // Nobody polls: the session ends, and the topic remembers.
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(endpoint.connection_count(), 0);
    for n in 2..=4 {
        shout(&endpoint, "room:a", n);
    }
    let position = json!({"epoch": response["epoch"], "offset": 1, "recovered": true});
    let (poller, response, messages) = joined(&endpoint, "room:a", since(&response["epoch"], 1)).await;
    assert_eq!(response, position);
    assert_eq!(offsets_until(&poller, messages, 4).await.0, [2, 3, 4]);
    let (mut client, response) = super::joined(&endpoint, "room:a", since(&response["epoch"], 1)).await;
    assert_eq!(response, position);
    for offset in 2..=4 {
        super::assert_offset(&mut client, offset).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_goes_on_with_every_poll_and_live_broadcasts_wait_behind_it() {
    let endpoint = endpoint();
    let epoch = kept(&endpoint, 100).await;
    let (poller, response, messages) = joined(&endpoint, "room:a", since(&epoch, 0)).await;
    assert_eq!(response["recovered"], true);
    assert!(messages.len() < 100, "all of it was queued at once");
    fill(&endpoint, 101..=105);
    let (offsets, polls) = offsets_until(&poller, messages, 105).await;
    assert_eq!(offsets, (1..=105).collect::<Vec<_>>());
    assert!(polls > 3, "{polls} polls for more than three backlogs");
    assert_eq!(poller.poll().await, (204, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_polling_amid_a_replay_recovers_the_rest() {
    let endpoint = endpoint();
    let epoch = kept(&endpoint, 60).await;
    let (_, _, messages) = joined(&endpoint, "room:a", since(&epoch, 0)).await;
    let last = messages.len() as u64;
    assert!((1..60).contains(&last));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(endpoint.connection_count(), 0, "the session has ended, its replay with it");
    let (poller, response, messages) = joined(&endpoint, "room:a", since(&epoch, last)).await;
    assert_eq!(response["recovered"], true);
    assert_eq!(offsets_until(&poller, messages, 60).await.0, (last + 1..=60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_join_that_replaces_a_channel_amid_its_replay_begins_anew() {
    let endpoint = endpoint();
    // Four backlogs may be on their way at once, so the second replay fits only if the first has ended.
    let epoch = kept(&endpoint, 100).await;
    let (poller, _, messages) = joined(&endpoint, "room:a", since(&epoch, 0)).await;
    let heard = messages.len() as u64;
    // Taken once what is queued of the first replay has been fetched.
    let rejoin = tokio::spawn({
        let (poller, params) = (poller.clone(), since(&epoch, heard));
        async move { poller.post([json!(["2", "2", "room:a", "phx_join", params])]).await }
    });
    let mut messages = Vec::new();
    let is_last = |message: &Value| message[4]["phx_offset"] == 100;
    while !messages.last().is_some_and(is_last) {
        messages.extend(poller.poll().await.1);
    }
    assert_eq!(rejoin.await.unwrap(), 200);
    let reply = messages.iter().position(|message| message[3] == "phx_reply").unwrap();
    assert_eq!(messages[reply][4]["response"]["recovered"], true);
    let close = messages.iter().position(|message| message[3] == "phx_close").unwrap();
    assert_eq!(close, reply + 1);
    let replayed = messages[close + 1..].iter().map(|message| message[4]["phx_offset"].as_u64().unwrap());
    assert_eq!(replayed.collect::<Vec<_>>(), (heard + 1..=100).collect::<Vec<_>>());
    assert_eq!(poller.poll().await, (204, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_drain_amid_a_replay_ends_the_session() {
    let endpoint = endpoint();
    let epoch = kept(&endpoint, 100).await;
    let (poller, _, _) = joined(&endpoint, "room:a", since(&epoch, 0)).await;
    let drained = tokio::spawn({
        let endpoint = endpoint.clone();
        async move { endpoint.drain(DrainOptions::default()).await }
    });
    // What was queued before the end still comes.
    assert_eq!(poller.poll().await.0, 200);
    let report = drained.await.unwrap();
    assert_eq!((report.closed, report.left), (1, 0));
}
