//! What a client does when the link or the server fails.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bennu_client::{ChannelEnd, ChannelStatus, JoinError, Provider, PushError, SendBuffer, Socket};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::link::Link;
use super::tally::Tally;
use super::{assert_echoes, config, joined, server, within_patience};
use crate::server::checklist;

#[tokio::test]
async fn a_thousand_channels_of_one_socket_come_back_when_the_link_breaks() {
    let server = server("thousand", &["--max-channels", "1000"]).await;
    let link = Link::to(server.address).await;
    let socket = Socket::start(config(link.url("/socket"))).unwrap();
    let topics = (0..1_000).map(|number| format!("room:{number}"));
    let channels: Vec<_> = topics.map(|topic| socket.channel_join(topic, json!({})).unwrap()).collect();
    let joins = join_all(channels.iter().map(|channel| channel.joined()));
    assert!(within_patience(joins).await.iter().all(Result::is_ok));
    for round in 1..=2 {
        let numbered = channels.iter().enumerate();
        let echoes = numbered.map(|(number, channel)| async move {
            assert_echoes(channel, &json!({"number": number})).await;
        });
        join_all(echoes).await;
        assert_eq!(link.accepted(), round, "all over one connection");
        link.cut();
    }
}

#[tokio::test]
async fn a_server_that_is_killed_is_found_again_when_it_is_back() {
    let first = server("killed", &[]).await;
    let link = Link::to(first.address).await;
    let socket = Socket::start(config(link.url("/socket"))).unwrap();
    let channel = joined(&socket, "room:1").await;
    // The server answers nothing, and dies.
    let unanswered = {
        let channel = channel.clone();
        tokio::spawn(async move { channel.push("noreply", json!({})).await })
    };
    assert_echoes(&channel, &json!("behind it")).await;
    drop(first);
    assert_eq!(within_patience(unanswered).await.unwrap(), Err(PushError::Unconfirmed));
    let held = {
        let channel = channel.clone();
        tokio::spawn(async move { assert_echoes(&channel, &json!("held until it is back")).await })
    };
    let second = server("back", &[]).await;
    link.lead_to(second.address);
    within_patience(held).await.unwrap();
}

#[tokio::test]
async fn each_push_over_a_flapping_link_is_accounted_for() {
    let link = Link::to(checklist()).await;
    link.delay(Duration::from_millis(3));
    let socket = Socket::start(config(link.url("/socket"))).unwrap();
    let mut pushing = Vec::new();
    for room in 0..10 {
        let channel = joined(&socket, &format!("room:flapping-{room}")).await;
        pushing.push(tokio::spawn(async move {
            let mut tally = Tally::default();
            for number in 0..100 {
                let reply = channel.push("echo", json!(number)).await;
                tally.count(&reply);
                if let Ok(reply) = reply {
                    assert_eq!(reply.parse::<Value>().unwrap(), json!(number), "the reply is to this push");
                }
            }
            (channel, tally)
        }));
    }
    let all = join_all(pushing);
    tokio::pin!(all);
    let ended = loop {
        tokio::select! {
            ended = &mut all => break ended,
            () = tokio::time::sleep(Duration::from_millis(60)) => link.cut(),
        }
    };
    let (channels, tallies): (Vec<_>, Vec<_>) = ended.into_iter().map(Result::unwrap).unzip();
    let tally: Tally = tallies.into_iter().sum();
    assert_eq!(tally.replied + tally.unconfirmed, 1_000, "{tally:?}");
    assert!(tally.replied > 0 && tally.unconfirmed > 0, "{tally:?}");
    for channel in &channels {
        assert_echoes(channel, &json!("healed")).await;
    }
}

#[tokio::test]
async fn a_half_open_link_is_found_by_a_heartbeat() {
    let link = Link::to(checklist()).await;
    let config = config(link.url("/socket")).heartbeat_interval(Duration::from_millis(200));
    let socket = Socket::start(config.connect_timeout(Duration::from_millis(200))).unwrap();
    let channel = joined(&socket, "room:half-open").await;
    link.half_open();
    let swallowed = within_patience(channel.push("echo", json!(1)).into_future()).await;
    assert_eq!(swallowed, Err(PushError::Unconfirmed));
    assert!(!socket.is_connected());
    link.heal();
    assert_echoes(&channel, &json!(2)).await;
}

#[tokio::test]
async fn what_is_pushed_without_a_link_waits_or_is_refused_when_it_is_too_much() {
    let link = Link::to(checklist()).await;
    let config = config(link.url("/socket")).send_buffer(SendBuffer::default().max_pushes(2));
    let socket = Socket::start(config).unwrap();
    let channel = joined(&socket, "room:full").await;
    link.refuse();
    let mut statuses = socket.statuses();
    within_patience(async { while statuses.next().await.unwrap().is_connected() {} }).await;
    let pushes = join_all((0..3).map(|number| channel.push("echo", json!(number)).into_future()));
    let mut pushes = tokio::spawn(pushes);
    // What finds no room is known at once; the others wait.
    tokio::select! {
        _ = &mut pushes => panic!("the link is down"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    link.heal();
    let mut tally = Tally::default();
    within_patience(pushes).await.unwrap().iter().for_each(|outcome| tally.count(outcome));
    assert_eq!(tally, Tally { replied: 2, buffer_full: 1, ..Tally::default() });
}

#[tokio::test]
async fn each_connection_has_the_token_of_its_time() {
    let link = Link::to(checklist()).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let token = Provider::from_fn(move || format!("token-{}", counter.fetch_add(1, Ordering::Relaxed) + 1));
    let socket = Socket::start(config(link.url("/auth")).auth_token(token)).unwrap();
    let channel = joined(&socket, "room:token").await;
    for connection in 1..=3 {
        let info = channel.push("info", json!({})).retry_unconfirmed().await.unwrap();
        let info: Value = info.parse().unwrap();
        assert_eq!(info["auth_token"], format!("token-{connection}"), "{info}");
        assert_eq!(asked.load(Ordering::Relaxed), connection);
        link.cut();
        within_patience(async {
            while socket.is_connected() {
                tokio::task::yield_now().await
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_join_that_the_server_refuses_is_told_and_tried_again_when_it_is_wanted() {
    let socket = Socket::start(config(super::url(checklist(), "/socket"))).unwrap();
    let refused = within_patience(socket.join("room:err", json!({})).into_future()).await;
    let Err(JoinError::Refused { response, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(response.parse::<Value>().unwrap(), json!({"reason": "nope"}));
    assert!(socket.channel("room:err").is_none(), "one attempt, and nothing is left of it");

    let channel = socket.channel_join("room:err", json!({})).unwrap();
    let mut statuses = channel.statuses();
    let mut failures = 0;
    within_patience(async {
        while failures < 3 {
            failures += usize::from(matches!(statuses.next().await.unwrap(), ChannelStatus::Errored { .. }));
        }
    })
    .await;
    channel.stop();
    assert_eq!(within_patience(channel.ended()).await, ChannelEnd::Left);
    let other = joined(&socket, "room:beside").await;
    assert_echoes(&other, &json!(1)).await;
}
