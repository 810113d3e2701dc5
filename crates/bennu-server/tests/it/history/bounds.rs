//! Slow clients, long absences, many topics.

use std::time::Duration;

use bennu_server::{Endpoint, History, SocketOptions};
use serde_json::{Value, json};

use super::{assert_offset, builder, endpoint, join, joined, shout, since};
use crate::client::Client;

/// Bytes that may wait for a client in these tests.
const BACKLOG: usize = 16 * 1024;

/// An endpoint that keeps more than may wait for a client.
fn narrow() -> Endpoint {
    builder(History::last(1_000), SocketOptions::default().max_backlog(BACKLOG)).build().unwrap()
}

/// Broadcasts some 560 bytes for each of these numbers.
fn fill(endpoint: &Endpoint, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        endpoint.broadcast("room:a", "msg", json!({"n": n, "fill": "x".repeat(500)})).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_cut_off_with_1013_recovers_all_of_it() {
    let endpoint = narrow();
    let mut slow = Client::connect_with(&endpoint, "vsn=2.0.0", 4 * 1024).await;
    let epoch = join(&mut slow, "room:a", json!({})).await["epoch"].clone();
    for n in 1..=80 {
        fill(&endpoint, n..=n);
        tokio::task::yield_now().await;
    }
    // What is in front of the close frame still reaches the client.
    let (received, code) = slow.recv_until_closed().await;
    assert_eq!(code, 1013);
    let offset = received.len() as u64;
    assert!(offset * 560 < 80 * 560 - BACKLOG as u64, "{offset} of 80 came through");

    let (mut client, response) = joined(&endpoint, "room:a", since(&epoch, offset)).await;
    assert_eq!(response, json!({"epoch": epoch, "offset": offset, "recovered": true}));
    for n in offset + 1..=80 {
        assert_offset(&mut client, n).await;
    }
    client.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_follows_as_the_client_reads_and_live_broadcasts_wait_behind_it() {
    let endpoint = narrow();
    let (_other, response) = joined(&endpoint, "room:a", json!({})).await;
    fill(&endpoint, 1..=80);
    let mut slow = Client::connect_with(&endpoint, "vsn=2.0.0", 1024).await;
    join(&mut slow, "room:a", since(&response["epoch"], 0)).await;
    // Of the replay no more than half of the bound is queued, so these do not find too much waiting.
    for n in 81..=90 {
        fill(&endpoint, n..=n);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for n in 1..=90 {
        assert_offset(&mut slow, n).await;
    }
    slow.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_replay_is_cut_off_as_any_other() {
    let endpoint = narrow();
    let (_other, response) = joined(&endpoint, "room:a", json!({})).await;
    fill(&endpoint, 1..=80);
    let mut slow = Client::connect_with(&endpoint, "vsn=2.0.0", 1024).await;
    join(&mut slow, "room:a", since(&response["epoch"], 0)).await;
    for n in 81..=120 {
        fill(&endpoint, n..=n);
        tokio::task::yield_now().await;
    }
    assert_eq!(slow.closed().await, 1013);
}

#[tokio::test(start_paused = true)]
async fn a_replay_of_more_than_four_backlogs_is_lost_and_the_connection_goes_on() {
    let endpoint = narrow();
    let (_other, response) = joined(&endpoint, "room:a", json!({})).await;
    fill(&endpoint, 1..=200);
    for (offset, recovered) in [(0, false), (100, true)] {
        let (mut client, response) = joined(&endpoint, "room:a", since(&response["epoch"], offset)).await;
        assert_eq!(response["recovered"], recovered, "from {offset}");
        client.send(json!(["1", "2", "room:a", "unknown", {}])).await;
        let replayed = if recovered { 200 - offset } else { 0 };
        for n in 1..=replayed {
            assert_offset(&mut client, offset + n).await;
        }
        assert_eq!(client.recv_event().await, "phx_error");
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_remembered_for_its_age_after_the_last_channel_has_gone() {
    for (away, remembered) in [(50, true), (70, false)] {
        let endpoint = endpoint(History::last(10).max_age(Duration::from_secs(60)));
        let (client, response) = joined(&endpoint, "room:a", json!({})).await;
        client.cut().await;
        tokio::time::sleep(Duration::from_secs(away - 1)).await;
        shout(&endpoint, "room:a", 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (mut client, response) = joined(&endpoint, "room:a", since(&response["epoch"], 0)).await;
        assert_eq!(response["recovered"], remembered, "{away} s");
        if remembered {
            assert_offset(&mut client, 1).await;
        }
        client.hears_nothing().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_quiet_longest_is_lost_when_all_topics_take_too_much() {
    let endpoint =
        builder(History::last(1_000), SocketOptions::default()).history_budget(100_000).build().unwrap();
    let mut members = Vec::new();
    for topic in ["room:old", "room:new"] {
        members.push(joined(&endpoint, topic, json!({})).await);
        for _ in 0..20 {
            endpoint.broadcast(topic, "msg", json!({"fill": "x".repeat(1_000)})).unwrap();
        }
    }
    let epoch = |member: usize, members: &[(Client, Value)]| members[member].1["epoch"].clone();
    for (member, topic, offset, recovered) in
        [(0, "room:old", 19, false), (0, "room:old", 20, true), (1, "room:new", 0, true)]
    {
        let params = since(&epoch(member, &members), offset);
        let (_client, response) = joined(&endpoint, topic, params).await;
        assert_eq!(response["recovered"], recovered, "{topic} from {offset}");
    }
}
