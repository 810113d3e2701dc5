//! Attack case 49: the engine restarts, is slow, flaps, stops, or cuts us off.

use std::time::Duration;

use bennu_engines::{Proxy, RedisServer};
use bennu_pubsub::PubSub;

use crate::account::{Account, Numbered};
use crate::nodes::{ask, connected, down, up};

/// What a fault has to leave alone: this node's own subscribers.
async fn delivers_here(pubsub: &PubSub) {
    let mut here = pubsub.subscribe("here");
    pubsub.broadcast("here", "still".to_owned());
    assert_eq!(here.recv().await.unwrap().get::<String>().unwrap(), "still");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_a_restarted_redis_is_found_again_and_what_waited_arrives() {
    let server = RedisServer::start().await.unwrap();
    let (a, b) = (connected("a", &server.url()).await, connected("b", &server.url()).await);
    let mut there = b.subscribe("room");
    b.settle("room").await;
    a.broadcast("room", Numbered::new(1));
    Account::of(&mut there, 1).await;

    server.kill();
    down(&a, "").await;
    down(&b, "").await;
    delivers_here(&a).await;
    a.broadcast("room", Numbered::new(2));
    server.restart().await.unwrap();
    up(&a).await;
    up(&b).await;
    b.settle("room").await;
    a.broadcast("room", Numbered::new(3));
    // The second one waited for the server; whether b was there before a is chance.
    let account = Account::of(&mut there, 2).await;
    assert_eq!(account.numbers.last(), Some(&3));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_redis_is_subscribed_to_again_in_a_few_round_trips() {
    let server = RedisServer::start().await.unwrap();
    let node = connected("a", &server.url()).await;
    let topics: Vec<_> = (0..3_000).map(|room| node.subscribe(format!("room:{room}"))).collect();
    for room in 0..topics.len() {
        node.settle(format!("room:{room}")).await;
    }
    let before: Vec<String> = ask(&server, &["PUBSUB", "CHANNELS", "bennu:*"]).await;
    assert!(before.len() > 900, "{}", before.len());

    server.restart().await.unwrap();
    up(&node).await;
    let after: Vec<String> = ask(&server, &["PUBSUB", "CHANNELS", "bennu:*"]).await;
    assert_eq!(after.len(), before.len());
    let statistics: String = ask(&server, &["INFO", "stats"]).await;
    let reads = statistics.lines().find_map(|line| line.strip_prefix("total_reads_processed:")).unwrap();
    let reads: u32 = reads.trim().parse().unwrap();
    assert!(reads < 100, "{} subjects took {reads} reads of the server", after.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_a_redis_that_stops_is_noticed_and_told() {
    let server = RedisServer::start().await.unwrap();
    let url = format!("{}?timeout_ms=300", server.url());
    let (a, b) = (connected("a", &url).await, connected("b", &url).await);
    let mut there = b.subscribe("room");
    b.settle("room").await;

    server.pause();
    let reason = down(&a, "").await;
    assert!(reason.starts_with("the server has not answered"), "{reason}");
    down(&b, "").await;
    delivers_here(&a).await;
    a.broadcast("room", Numbered::new(1));

    server.resume();
    up(&a).await;
    up(&b).await;
    a.broadcast("room", Numbered::new(2));
    Account::of(&mut there, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_a_slow_redis_keeps_order_and_carries_many_in_one_round_trip() {
    const MESSAGES: u64 = 2_000;
    let server = RedisServer::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let slow = connected("slow", &proxy.url(&server.url())).await;
    let other = connected("other", &server.url()).await;
    let mut there = other.subscribe("room");
    other.settle("room").await;
    proxy.delay(Duration::from_millis(100));
    let reads = || async {
        let statistics: String = ask(&server, &["INFO", "commandstats"]).await;
        let line = statistics.lines().find(|line| line.starts_with("cmdstat_publish:")).unwrap_or("calls=0,");
        line.split("calls=").nth(1).unwrap().split(',').next().unwrap().parse::<u64>().unwrap()
    };
    let before = reads().await;
    for number in 1..=MESSAGES {
        slow.broadcast("room", Numbered::new(number));
    }
    let account = Account::of(&mut there, MESSAGES).await;
    assert_eq!(account.missed, 0, "{account:?}");
    // One after another they would have taken 400 seconds, and 2,000 commands.
    let publishes = reads().await - before;
    assert!(publishes < MESSAGES / 10, "{publishes}");
    assert!(slow.link().is_up());
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_a_flapping_redis_is_tried_with_growing_pauses_and_all_is_accounted_for() {
    const MESSAGES: u64 = 300;
    let server = RedisServer::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let flapping = connected("flapping", &proxy.url(&server.url())).await;
    let steady = connected("steady", &server.url()).await;
    let mut there = flapping.subscribe("room");
    flapping.settle("room").await;
    steady.broadcast("room", Numbered::new(1));
    Account::of(&mut there, 1).await;

    let tried = proxy.accepted();
    for round in 0..6 {
        proxy.cut();
        down(&flapping, "").await;
        delivers_here(&flapping).await;
        for number in 0..MESSAGES / 6 {
            steady.broadcast("room", Numbered::new(2 + round * MESSAGES / 6 + number));
        }
        steady.flush().await;
        proxy.heal();
        up(&flapping).await;
    }
    // Each session takes two connections; a pause that starts anew with each of them would try far more often.
    let tried = proxy.accepted() - tried;
    assert!(tried <= 40, "{tried}");
    steady.broadcast("room", Numbered::new(2 + MESSAGES));
    let account = Account::of(&mut there, MESSAGES + 1).await;
    assert_eq!(account.numbers.last(), Some(&(2 + MESSAGES)));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_who_is_cut_for_a_full_buffer_comes_back_and_counts_what_was_lost() {
    const MESSAGES: u64 = 600;
    let limits = "client-output-buffer-limit pubsub 512kb 0 0";
    let server = RedisServer::start_with(limits).await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    // The server's cut is to be what ends the session, not our own patience.
    let slow = connected("slow", &format!("{}?timeout_ms=60000", proxy.url(&server.url()))).await;
    let other = connected("other", &server.url()).await;
    let mut there = slow.subscribe("room");
    slow.settle("room").await;
    other.broadcast("room", Numbered::new(1));
    Account::of(&mut there, 1).await;

    proxy.freeze();
    for number in 2..=MESSAGES {
        other.broadcast("room", Numbered { number, ballast: "x".repeat(64 << 10) });
        other.flush().await;
    }
    assert!(server.log().contains("overcoming of output buffer limits"), "{}", server.log());
    proxy.heal();
    down(&slow, "the server closed the connection").await;
    up(&slow).await;
    other.broadcast("room", Numbered::new(MESSAGES + 1));
    let account = Account::of(&mut there, MESSAGES).await;
    assert!(account.missed > 0, "{account:?}");
    assert_eq!(account.numbers.last(), Some(&(MESSAGES + 1)));
}
