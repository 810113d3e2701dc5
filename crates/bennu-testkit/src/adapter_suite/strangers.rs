//! What holds when others than nodes of the cluster have the engine, too.

use bennu_pubsub::ClusterOptions;

use super::Engine;
use super::node::{TestNode, eventually, options};

const REFUSED: &str = "bennu_pubsub_refused_packets_total";

/// Bytes of anybody are counted by what is wrong with them, and change nothing.
pub async fn what_no_node_has_sent_is_dropped_and_counted(engine: &impl Engine) {
    // With one bucket it is known on which subject a topic is.
    let nodes = ["a", "b"].map(|name| TestNode::join_with(engine, name, options(name).buckets(1)));
    TestNode::acquaint(&nodes).await;
    let [a, b] = nodes;
    let listener = b.listen("room:1").await;
    a.broadcast("room:1", 0_u32);
    listener.hears(1).await;
    let long = [1; 400];
    let packets: [(&str, &[u8]); 6] = [
        ("malformed", b""),
        ("version", b"hello"),
        ("malformed", &[1; 43]),
        ("mac", &[1; 44]),
        ("mac", &long),
        ("version", &[2; 400]),
    ];
    for subject in ["bennu.suite.b0", "bennu.suite.all"] {
        for (reason, packet) in packets {
            let before = b.count_of(REFUSED, reason);
            engine.inject(subject, packet).await;
            eventually(reason, || b.count_of(REFUSED, reason) > before).await;
        }
    }
    a.broadcast("room:1", 1_u32);
    let heard = listener.hears(2).await;
    assert_eq!((heard.numbers, heard.missed), (vec![0, 1], 0));
    assert_eq!(b.nodes().len(), 1);
}

/// Neither is what it says heard, nor does it count as a node; and it hears nothing.
pub async fn a_node_with_another_secret_is_not_heard(engine: &impl Engine) {
    let [a, b] = TestNode::join_all(engine, ["a", "b"]).await;
    let other = ClusterOptions::new("the secret of another cluster").node("c").namespace("suite");
    let stranger = TestNode::join_with(engine, "c", other);
    stranger.up().await;
    let (at_b, at_stranger) = (b.listen("room:1").await, stranger.listen("room:1").await);
    for number in 100..200_u32 {
        stranger.broadcast("room:1", number);
    }
    eventually("the stranger's packets are refused", || b.count_of(REFUSED, "mac") > 0).await;
    let before = stranger.count_of(REFUSED, "mac");
    a.broadcast("room:1", 1_u32);
    eventually("the others' are refused there", || stranger.count_of(REFUSED, "mac") > before).await;
    let heard = at_b.hears(1).await;
    assert_eq!((heard.numbers, heard.missed), (vec![1], 0));
    assert_eq!(at_stranger.heard().numbers, (100..200).collect::<Vec<_>>(), "its own alone");
    assert_eq!((b.nodes().len(), stranger.nodes().len()), (1, 0));
}
