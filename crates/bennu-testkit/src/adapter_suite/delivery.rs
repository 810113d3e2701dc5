//! What holds while the engine is well.

use bennu_pubsub::CrossingError;

use super::Engine;
use super::node::{Blob, TestNode, eventually, options};

/// Packets of beacons that may come in between.
const BEACONS: u64 = 15;

const SENT: &str = "bennu_pubsub_sent_packets_total";
const RECEIVED: &str = "bennu_pubsub_received_packets_total";

/// What a node broadcasts to a topic is heard in that order, however many topics and nodes there are.
pub async fn messages_arrive_in_the_order_of_each_node(engine: &impl Engine) {
    const COUNT: u32 = 2_000;
    let [a, b, c] = TestNode::join_all(engine, ["a", "b", "c"]).await;
    let topics = ["room:1", "room:2", "room:3"];
    let mut listeners = Vec::new();
    for topic in topics {
        listeners.push(c.listen(topic).await);
    }
    for number in 0..COUNT {
        for topic in topics {
            a.broadcast(topic, number);
            b.broadcast(topic, COUNT + number);
        }
        if number % 100 == 0 {
            a.flush().await;
        }
    }
    for listener in &listeners {
        let heard = listener.hears(2 * COUNT as usize).await;
        let (of_a, of_b): (Vec<u32>, Vec<u32>) = heard.numbers.iter().partition(|number| **number < COUNT);
        assert_eq!(of_a, (0..COUNT).collect::<Vec<_>>());
        assert_eq!(of_b, (COUNT..2 * COUNT).collect::<Vec<_>>());
        assert_eq!(heard.missed, 0);
    }
}

/// Not the sender's own subscribers through the engine, and not others by any other way.
pub async fn nobody_hears_a_message_twice(engine: &impl Engine) {
    const COUNT: u32 = 500;
    let [a, b] = TestNode::join_all(engine, ["a", "b"]).await;
    let (at_a, at_b) = (a.listen("room:1").await, b.listen("room:1").await);
    for number in 0..COUNT {
        a.broadcast("room:1", number);
    }
    let all: Vec<u32> = (0..COUNT).collect();
    assert_eq!(at_a.heard().numbers, all, "the own node's hear it before the broadcast returns");
    at_b.hears(COUNT as usize).await;
    // Whatever the engine sent back to a came before the answer.
    b.broadcast("room:1", COUNT);
    at_a.hears(COUNT as usize + 1).await;
    let all: Vec<u32> = (0..=COUNT).collect();
    assert_eq!(at_a.heard().numbers, all);
    assert_eq!(at_b.heard().numbers, all);
}

/// Whatever they are, and also what engines have a meaning for.
pub async fn bytes_arrive_as_they_are(engine: &impl Engine) {
    let [a, b] = TestNode::join_all(engine, ["a", "b"]).await;
    let listener = b.listen("room:1").await;
    let every: Vec<u8> = (0..=255).collect();
    let blobs: Vec<Blob> = [
        &b""[..],
        b"\0",
        b"\r\n",
        b"PUB bennu.suite.all 0\r\n\r\nPING\r\n",
        b"*2\r\n$4\r\nPING\r\n",
        &[0xff, 0xfe, 0xc3, 0x28],
        &every,
        &every.repeat(1_000),
    ]
    .into_iter()
    .map(|bytes| Blob(bytes.to_vec()))
    .collect();
    for blob in &blobs {
        a.broadcast("room:1", blob.clone());
    }
    eventually("all of them were heard", || listener.heard().blobs.len() >= blobs.len()).await;
    assert_eq!(listener.heard().blobs, blobs);
}

/// The sender is told the size and the limit, its own node's subscribers have it, and what follows is as if nothing happened. What is just
/// not too large arrives.
pub async fn a_message_that_is_too_large_is_an_error_and_stays_here(engine: &impl Engine) {
    let [a, b] = TestNode::join_all(engine, ["a", "b"]).await;
    let (at_a, at_b) = (a.listen("room:1").await, b.listen("room:1").await);
    let mut size = 1 << 20;
    let (around, limit) = loop {
        match a.broadcast("room:1", Blob(vec![7; size])).crossing() {
            Err(CrossingError::TooLarge { size: whole, limit }) => break (whole - size, limit),
            other => assert_eq!(other, Ok(())),
        }
        size *= 2;
        assert!(size < 1 << 30, "no message is too large for it");
    };
    let largest = limit - around;
    assert_eq!(a.broadcast("room:1", Blob(vec![8; largest])).crossing(), Ok(()));
    let refused = a.broadcast("room:1", Blob(vec![9; largest + 1]));
    assert_eq!(refused.crossing(), Err(CrossingError::TooLarge { size: limit + 1, limit }));
    a.broadcast("room:1", 1_u32);

    let here = at_a.heard();
    assert_eq!(here.blobs.last(), Some(&Blob(vec![9; largest + 1])));
    let there = at_b.hears(1).await;
    assert_eq!(there.blobs.last(), Some(&Blob(vec![8; largest])));
    assert_eq!(there.missed, 0);
    assert!(a.count_of("bennu_pubsub_dropped_messages_total", "too_large") >= 2);
}

/// A topic costs the nodes nothing that have no subscriber of it.
pub async fn nodes_hear_of_topics_with_subscribers_alone(engine: &impl Engine) {
    const COUNT: u32 = 100;
    let [a, b, c] = TestNode::join_all(engine, ["a", "b", "c"]).await;
    let _elsewhere = b.listen("another:topic").await;
    let listener = c.listen("room:1").await;
    let before = (b.count(RECEIVED), c.count(RECEIVED));
    a.broadcast_each("room:1", 0..COUNT).await;
    listener.hears(COUNT as usize).await;
    let received = (b.count(RECEIVED) - before.0, c.count(RECEIVED) - before.1);
    assert!(received.0 <= BEACONS, "{} packets came to a node that wants none", received.0);
    assert!(received.1 >= u64::from(COUNT), "{} packets came to the other", received.1);
}

/// A broadcast is published once, and crosses once to each node.
pub async fn one_packet_crosses_whatever_the_number_of_subscribers(engine: &impl Engine) {
    const COUNT: u32 = 50;
    let [a, b] = TestNode::join_all(engine, ["a", "b"]).await;
    let mut listeners = Vec::new();
    for _ in 0..100 {
        listeners.push(b.listen("room:1").await);
    }
    let before = (a.count(SENT), b.count(RECEIVED));
    a.broadcast_each("room:1", 0..COUNT).await;
    for listener in &listeners {
        listener.hears(COUNT as usize).await;
    }
    let crossed = (a.count(SENT) - before.0, b.count(RECEIVED) - before.1);
    let expected = u64::from(COUNT)..=u64::from(COUNT) + BEACONS;
    assert!(expected.contains(&crossed.0) && expected.contains(&crossed.1), "{crossed:?}");
}

/// Neither do its packets come any more; and who comes back hears again.
pub async fn who_unsubscribes_hears_no_more(engine: &impl Engine) {
    const COUNT: u32 = 50;
    let a = TestNode::join(engine, "a");
    let b = TestNode::join_with(engine, "b", options("b").linger(std::time::Duration::ZERO));
    let [a, b] = {
        let nodes = [a, b];
        TestNode::acquaint(&nodes).await;
        nodes
    };
    let listener = b.listen("room:1").await;
    a.broadcast("room:1", 0_u32);
    listener.hears(1).await;
    drop(listener);

    let mut rounds = 0;
    loop {
        let before = b.count(RECEIVED);
        a.broadcast_each("room:1", 0..COUNT).await;
        // What one node hears on its own subject comes behind what came before.
        let direct = b.count(RECEIVED);
        a.direct_broadcast("b", "room:1", 0_u32).expect("it is small");
        eventually("the direct one came", || b.count(RECEIVED) > direct).await;
        if b.count(RECEIVED) - before <= BEACONS {
            break;
        }
        rounds += 1;
        assert!(rounds < 100, "packets still come");
    }
    let listener = b.listen("room:1").await;
    a.broadcast("room:1", 7_u32);
    assert_eq!(listener.hears(1).await.numbers, [7]);
}

/// What is sent to one node is heard there alone; that may be the own one, and none.
pub async fn what_is_direct_reaches_one_node(engine: &impl Engine) {
    let [a, b, c] = TestNode::join_all(engine, ["a", "b", "c"]).await;
    let (at_a, at_b, at_c) = (a.listen("room:1").await, b.listen("room:1").await, c.listen("room:1").await);
    for (node, number) in [("b", 1_u32), ("c", 2), ("a", 3), ("nobody", 4), ("b", 5)] {
        a.direct_broadcast(node, "room:1", number).expect("it is small");
    }
    a.broadcast("room:1", 6_u32);
    at_b.hears(3).await;
    at_c.hears(2).await;
    // The order between a node's own subject and a topic's is not promised.
    let sorted = |mut numbers: Vec<u32>| {
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(sorted(at_a.heard().numbers), [3, 6]);
    assert_eq!(sorted(at_b.heard().numbers), [1, 5, 6]);
    assert_eq!(sorted(at_c.heard().numbers), [2, 6]);
}

/// The engine has a subscription when `settle` returns, so what is broadcast after that is heard.
pub async fn who_has_settled_misses_nothing(engine: &impl Engine) {
    let [a, b] = TestNode::join_all(engine, ["a", "b"]).await;
    for number in 0..50 {
        let topic = format!("late:{number}");
        let listener = b.listen(&topic).await;
        a.broadcast(&topic, number);
        assert_eq!(listener.hears(1).await.numbers, [number]);
    }
}

/// The last words of a node that ends are heard, and that it is gone is known at once.
pub async fn who_ends_sends_what_is_left(engine: &impl Engine) {
    const COUNT: u32 = 1_000;
    let b = TestNode::join(engine, "b");
    let listener = b.listen("room:1").await;
    for round in 1..=5 {
        let a = TestNode::join(engine, "a");
        a.up().await;
        b.up().await;
        b.settle("room:1").await;
        eventually("they have met", || a.nodes().len() == 1 && b.nodes().len() == 1).await;
        for number in 0..COUNT {
            a.broadcast("room:1", number);
        }
        drop(a);
        let heard = listener.hears(round * COUNT as usize).await;
        assert_eq!((heard.numbers.len(), heard.missed), (round * COUNT as usize, 0));
        let said = tokio::time::Instant::now();
        eventually("its end is known", || b.nodes().is_empty()).await;
        assert!(said.elapsed() < std::time::Duration::from_secs(10), "it said goodbye");
    }
}
