//! How nodes that lost each other meet again, and newcomers them.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bennu_engines::Proxy;
use bennu_pubsub::{LinkStatus, PubSub};
use bennu_pubsub_zenoh::Zenoh;
use tokio::time::timeout;

use crate::meeting::{PATIENCE, crosses, free_address, meet, node};

fn listed(addresses: &[SocketAddr]) -> Zenoh {
    Zenoh::new(addresses.iter().map(ToString::to_string))
}

/// Waits until each listens somewhere.
async fn are_up(nodes: &[&PubSub]) {
    for node in nodes {
        let mut changes = node.link_changes().unwrap();
        timeout(PATIENCE, changes.wait_for(LinkStatus::is_up)).await.expect("a session").unwrap();
    }
}

/// Waits until a node lists no other but these.
async fn is_left_with(node: &PubSub, others: &[&str]) {
    let left = async {
        while node.nodes().iter().any(|other| !others.contains(&other.name.as_str())) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, left).await.expect("who ended is not listed");
}

/// What is sent by each of them reaches the next.
async fn all_cross(nodes: &[&PubSub]) {
    meet(nodes).await;
    for (from, to) in nodes.iter().zip(nodes.iter().cycle().skip(1)) {
        crosses(from, to).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_found_the_address_taken_meet_when_nobody_listens_there_any_more() {
    let address = free_address();
    // As a node that is about to end, whose process is replaced by the next one.
    let ending = TcpListener::bind(address).unwrap();
    let [a, b] = ["a", "b"].map(|name| node(name, listed(&[address])));
    are_up(&[&a, &b]).await;
    drop(ending);
    all_cross(&[&a, &b]).await;
    // Whoever took the address over is not needed, and somebody else takes it.
    drop(a);
    let c = node("c", listed(&[address]));
    all_cross(&[&b, &c]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_islands_meet_when_the_listed_address_is_free_again() {
    let address = free_address();
    let ending = TcpListener::bind(address).unwrap();
    let hubs = [free_address(), free_address()];
    let [north, south] = hubs.map(|hub| node("hub", Zenoh::new([""; 0]).listen(hub.to_string())));
    are_up(&[&north, &south]).await;
    let [a, b] = ["a", "b"].map(|name| node(name, listed(&[address, hubs[0]])));
    let [c, d] = ["c", "d"].map(|name| node(name, listed(&[address, hubs[1]])));
    meet(&[&north, &a, &b]).await;
    meet(&[&south, &c, &d]).await;
    drop((north, south));
    for (island, other) in [([&a, &b], "b"), ([&b, &a], "a"), ([&c, &d], "d"), ([&d, &c], "c")] {
        is_left_with(island[0], &[other]).await;
        crosses(island[0], island[1]).await;
    }
    drop(ending);
    all_cross(&[&a, &b, &c, &d]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_islands_meet_when_a_new_node_listens_at_the_listed_address() {
    let address = free_address();
    let ending = TcpListener::bind(address).unwrap();
    let hubs = [free_address(), free_address()];
    let [north, south] = hubs.map(|hub| node("hub", Zenoh::new([""; 0]).listen(hub.to_string())));
    are_up(&[&north, &south]).await;
    // They were told where to listen, so they take nothing over.
    let elsewhere = |hub| listed(&[address, hub]).listen(free_address().to_string());
    let [a, b] = ["a", "b"].map(|name| node(name, elsewhere(hubs[0])));
    let [c, d] = ["c", "d"].map(|name| node(name, elsewhere(hubs[1])));
    meet(&[&north, &a, &b]).await;
    meet(&[&south, &c, &d]).await;
    drop((north, south));
    drop(ending);
    let e = node("e", listed(&[address]));
    all_cross(&[&a, &b, &c, &d, &e]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_lost_each_other_alone_are_introduced_by_a_third() {
    let [at_a, at_b] = [free_address(), free_address()];
    let proxy = Proxy::start(at_b).await.unwrap();
    let a = node("a", Zenoh::new([""; 0]).listen(at_a.to_string()));
    let b = node("b", listed(&[at_a]).listen(at_b.to_string()));
    meet(&[&a, &b]).await;
    // It knows b's other address alone, and a from b.
    let c = node("c", listed(&[proxy.address()]));
    all_cross(&[&a, &b, &c]).await;
    proxy.cut();
    crosses(&a, &c).await;
    let mut at_c = c.subscribe("again");
    c.settle("again").await;
    let again = async {
        loop {
            b.broadcast("again", "again".to_owned());
            let heard = timeout(Duration::from_millis(100), at_c.recv()).await;
            if heard.is_ok_and(|heard| heard.unwrap().get::<String>().is_some()) {
                return;
            }
        }
    };
    // The first may have been on its way when the link was cut.
    timeout(PATIENCE, again).await.expect("b is heard at c again");
    crosses(&c, &b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_and_race_for_the_address_meet() {
    let zenoh = listed(&[free_address()]);
    let nodes = ["a", "b", "c", "d"].map(|name| node(name, zenoh.clone()));
    all_cross(&nodes.each_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_after_another_is_replaced_and_all_meet() {
    let zenoh = listed(&[free_address()]);
    let [mut eldest, mut middle] = ["a", "b"].map(|name| node(name, zenoh.clone()));
    for name in ["c", "d", "e", "f", "g"] {
        meet(&[&eldest, &middle]).await;
        // The newcomer looks for somebody while the one that ends may still listen there.
        drop(eldest);
        let newest = node(name, zenoh.clone());
        all_cross(&[&middle, &newest]).await;
        (eldest, middle) = (middle, newest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_says_goodbye() {
    let zenoh = listed(&[free_address()]);
    let a = node("a", zenoh.clone());
    for name in ["b", "c", "d", "e"] {
        let ending = node(name, zenoh.clone());
        meet(&[&a, &ending]).await;
        drop(ending);
        // One that does not is listed for 16 s.
        timeout(Duration::from_secs(10), is_left_with(&a, &[])).await.expect("a goodbye");
    }
}
