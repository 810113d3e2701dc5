//! What holds when the engine, or a link to it, is not well.

use std::time::Duration;

use tokio::time::sleep;

use super::Engine;
use super::node::{Blob, TestNode, options};

/// When the engine dies and comes back, nodes find each other again, and all that was broadcast meanwhile was heard or is counted.
pub async fn nodes_hear_each_other_after_a_restart_of_the_engine(engine: &impl Engine) {
    let [a, b] = TestNode::join_all(engine, ["a", "b"]).await;
    let listener = b.listen("room:1").await;
    let mut sent = 0;
    let mut broadcast = |count: u32| {
        for number in sent..sent + count {
            assert_eq!(a.broadcast("room:1", number).crossing(), Ok(()));
        }
        sent += count;
        sent
    };
    broadcast(10);
    listener.hears(10).await;
    for _ in 0..2 {
        broadcast(100);
        engine.stop().await;
        a.down().await;
        b.down().await;
        broadcast(100);
        engine.start().await;
        a.up().await;
        b.up().await;
        b.settle("room:1").await;
        let sent = broadcast(100);
        let heard = listener.accounts_for(sent).await;
        assert_eq!(heard.numbers.last(), Some(&(sent - 1)), "the last ones were sent when all was well");
    }
}

/// Local delivery asks no engine, and takes no longer than ever.
pub async fn an_outage_does_not_reach_local_subscribers(engine: &impl Engine) {
    let [a, b] = TestNode::join_all(engine, ["a", "b"]).await;
    let listener = a.listen("room:1").await;
    engine.stop().await;
    a.down().await;
    b.down().await;
    for number in 0..1_000_u32 {
        assert_eq!(a.broadcast("room:1", number).crossing(), Ok(()));
    }
    assert_eq!(listener.heard().numbers, (0..1_000).collect::<Vec<_>>(), "before anything else could run");
    let late = a.listen("room:2").await;
    a.broadcast("room:2", 1_u32);
    assert_eq!(late.heard().numbers, [1], "and nobody waits for the engine to subscribe");
}

/// A node whose link was cut learns how many messages it missed, even if they were the last ones.
pub async fn what_is_lost_is_counted_even_if_nothing_follows(engine: &impl Engine) {
    let [a, b] = TestNode::join_all(engine, ["a", "b"]).await;
    let listener = b.listen("room:1").await;
    a.broadcast("room:1", 0_u32);
    listener.hears(1).await;

    engine.cut("b");
    a.broadcast_each("room:1", 1..101).await;
    engine.heal("b");
    let heard = listener.accounts_for(101).await;
    assert_eq!(b.count("bennu_pubsub_missed_messages_total"), heard.missed);

    b.up().await;
    b.settle("room:1").await;
    a.broadcast("room:1", 101_u32);
    assert_eq!(listener.accounts_for(102).await.numbers.last(), Some(&101));
}

/// When more is broadcast than the engine takes, the queue stays within its bound, the oldest go, and the others learn how many. Then all goes
/// on in order.
pub async fn a_stalled_engine_loses_the_oldest_and_counts_them(engine: &impl Engine) {
    const QUEUE: usize = 256 << 10;
    let a = TestNode::join_with(engine, "a", options("a").queue(QUEUE));
    let nodes = [a, TestNode::join(engine, "b")];
    TestNode::acquaint(&nodes).await;
    let [a, b] = nodes;
    let listener = b.listen("room:1").await;
    a.broadcast("room:1", 0_u32);
    listener.hears(1).await;

    engine.stall().await;
    // More than all buffers of the operating system take between the two.
    let ballast = Blob(vec![0; 64 << 10]);
    let mut sent: u32 = 1;
    let dropped = || a.count_of("bennu_pubsub_dropped_messages_total", "queue_full");
    while dropped() < 200 {
        a.broadcast("room:1", ballast.clone());
        a.broadcast("room:1", sent);
        sent += 1;
        assert!(a.queue_bytes() <= QUEUE as f64, "{} bytes wait", a.queue_bytes());
        assert!(sent < 100_000, "the engine takes everything");
        // Lets the adapter send what it can.
        tokio::task::yield_now().await;
    }
    engine.go_on().await;
    // Those with ballast count, too: each number has one beside it.
    let blobs = u64::from(sent) - 1;
    let all = u64::from(sent) + blobs;
    let accounted = || {
        let heard = listener.heard();
        heard.numbers.len() as u64 + heard.blobs.len() as u64 + heard.missed
    };
    super::node::eventually("everything is accounted for", || accounted() >= all).await;
    assert_eq!(accounted(), all);
    let heard = listener.heard();
    assert!(heard.missed >= dropped(), "{} missed, {} dropped", heard.missed, dropped());
    assert!(heard.numbers.is_sorted_by(|left, right| left < right));

    b.up().await;
    a.up().await;
    b.settle("room:1").await;
    let missed = listener.heard().missed;
    for number in sent..sent + 100 {
        a.broadcast("room:1", number);
    }
    super::node::eventually("it goes on", || listener.heard().numbers.last() == Some(&(sent + 99))).await;
    let heard = listener.heard();
    assert!(heard.numbers.ends_with(&(sent..sent + 100).collect::<Vec<_>>()));
    assert_eq!(heard.missed, missed);
}

/// However often a link breaks under traffic, each message is heard once or counted.
pub async fn a_flapping_link_is_accounted_for(engine: &impl Engine) {
    let [a, b] = TestNode::join_all(engine, ["a", "b"]).await;
    let listener = b.listen("room:1").await;
    a.broadcast("room:1", 0_u32);
    listener.hears(1).await;
    let mut sent = 1;
    for round in 0..12 {
        let node = if round % 3 == 0 { "a" } else { "b" };
        engine.cut(node);
        for pace in 0..20 {
            a.broadcast("room:1", sent);
            sent += 1;
            if pace == 10 {
                engine.heal(node);
            }
            sleep(Duration::from_millis(10)).await;
        }
        if round % 4 == 3 {
            a.up().await;
            b.up().await;
        }
    }
    listener.accounts_for(sent).await;
    b.settle("room:1").await;
    a.broadcast("room:1", sent);
    assert_eq!(listener.accounts_for(sent + 1).await.numbers.last(), Some(&sent));
}
