//! How nodes find each other, come, and go.

use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bennu_engines::{Port, Proxy};
use bennu_pubsub::{ClusterOptions, Gap, LinkStatus, PubSub, Subscription};
use bennu_pubsub_zenoh::Zenoh;
use tokio::time::timeout;

/// Longer than anything takes on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Nobody listens there but who is told to, also when that node is gone, as long as the tests run: no connection of another test gets its port.
pub(crate) fn free_address() -> SocketAddr {
    static RESERVED: Mutex<Vec<Port>> = Mutex::new(Vec::new());
    let port = Port::reserve().unwrap();
    let address = port.address();
    RESERVED.lock().unwrap().push(port);
    address
}

pub(crate) fn node(name: &str, zenoh: Zenoh) -> PubSub {
    PubSub::cluster(zenoh, ClusterOptions::new("a secret that the nodes of a test share").node(name)).unwrap()
}

/// Waits until each has heard of all others.
pub(crate) async fn meet(nodes: &[&PubSub]) {
    let names: Vec<_> = nodes.iter().map(|node| node.node().to_string()).collect();
    let unheard = |node: &&PubSub| {
        let heard: Vec<_> = node.nodes().iter().map(|other| other.name.to_string()).collect();
        let others = names.iter().filter(|name| **name != node.node().to_string());
        others.filter(|name| !heard.contains(name)).cloned().collect::<Vec<_>>()
    };
    let met = async {
        while nodes.iter().any(|node| !unheard(node).is_empty()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(PATIENCE, met).await.is_err() {
        panic!("of {names:?} they did not hear of {:?}", nodes.iter().map(unheard).collect::<Vec<_>>());
    }
}

pub(crate) async fn reason(node: &PubSub) -> String {
    let mut changes = node.link_changes().unwrap();
    let says_why =
        |status: &LinkStatus| matches!(status, LinkStatus::Down { reason, .. } if reason.contains(':'));
    let status = timeout(PATIENCE, changes.wait_for(says_why)).await.expect("a reason").unwrap();
    format!("{status:?}")
}

pub(crate) async fn crosses(from: &PubSub, to: &PubSub) {
    // A topic that nobody else is heard on, nor was missed.
    static TOPICS: AtomicU64 = AtomicU64::new(0);
    let topic = format!("room:{}", TOPICS.fetch_add(1, Ordering::Relaxed));
    let mut there = to.subscribe(&topic);
    to.settle(&topic).await;
    from.broadcast(&topic, from.node().to_string());
    let heard = timeout(PATIENCE, there.recv()).await.expect("it crosses").unwrap();
    assert_eq!(heard.get::<String>(), Some(&from.node().to_string()), "{:?}", heard.get::<Gap>());
}

/// Receives until so many were heard or counted as missed, and returns how many were missed.
async fn account(subscription: &mut Subscription, messages: u64) -> u64 {
    let (mut heard, mut missed) = (0, 0);
    while heard + missed < messages {
        let delivery = timeout(PATIENCE, subscription.recv()).await;
        let delivery =
            delivery.unwrap_or_else(|_| panic!("{heard} heard, {missed} missed of {messages}")).unwrap();
        match delivery.get::<Gap>() {
            Some(gap) => missed += gap.missed,
            None => heard += 1,
        }
    }
    assert_eq!(heard + missed, messages);
    missed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_url_does_for_every_process_of_a_machine() {
    let url = format!("zenoh://{}", free_address());
    let zenoh = Zenoh::from_url(&url).unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(name, zenoh.clone()));
    meet(&[&a, &b, &c]).await;
    for (from, to) in [(&a, &b), (&b, &a), (&b, &c), (&c, &b), (&c, &a)] {
        crosses(from, to).await;
    }

    // Whichever of them listened there is not needed by the others.
    drop(a);
    crosses(&b, &c).await;
    crosses(&c, &b).await;
    drop(b);
    let d = node("d", zenoh.clone());
    meet(&[&c, &d]).await;
    crosses(&c, &d).await;
    crosses(&d, &c).await;
    let b = node("b", zenoh);
    meet(&[&b, &c, &d]).await;
    crosses(&b, &c).await;
    crosses(&d, &b).await;
}

#[tokio::test]
async fn a_runtime_of_one_thread_will_do() {
    let zenoh = Zenoh::from_url(&format!("zenoh://{}", free_address())).unwrap();
    let (a, b) = (node("a", zenoh.clone()), node("b", zenoh));
    meet(&[&a, &b]).await;
    crosses(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_flushed_has_arrived() {
    const MESSAGES: usize = 100;
    let zenoh = Zenoh::from_url(&format!("zenoh://{}", free_address())).unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(name, zenoh.clone()));
    meet(&[&a, &b, &c]).await;
    let mut there = [b.subscribe("room"), c.subscribe("room")];
    b.settle("room").await;
    c.settle("room").await;
    for _ in 0..10 {
        for _ in 0..MESSAGES {
            a.broadcast("room", "x".repeat(16 << 10));
        }
        a.flush().await;
        // A program that ends now leaves nothing unsaid.
        let arrived = there.each_mut().map(|there| std::iter::from_fn(|| there.try_recv()).count());
        assert_eq!(arrived, [MESSAGES; 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_told_and_tried_again() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let zenoh = Zenoh::from_url(&format!("zenoh://?listen={address}")).unwrap();
    let a = node("a", zenoh);
    let reason = reason(&a).await;
    assert!(reason.contains(&address.to_string()), "{reason}");
    drop(other);
    timeout(PATIENCE, a.link_changes().unwrap().wait_for(LinkStatus::is_up))
        .await
        .expect("it listens")
        .unwrap();
    let b = node("b", Zenoh::new([address.to_string()]));
    meet(&[&a, &b]).await;
    crosses(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_nothing_is_cut_off_and_the_others_go_on() {
    const MESSAGES: u64 = 1_000;
    let [at_a, at_b] = [free_address(), free_address()];
    let proxy = Proxy::start(at_a).await.unwrap();
    let zenoh = |addresses: Vec<SocketAddr>| {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Zenoh::new(addresses).gossip(false).timeout(Duration::from_secs(2))
    };
    let a = node("a", zenoh(vec![]).listen(at_a.to_string()));
    let stuck = node("stuck", zenoh(vec![proxy.address()]).listen(at_b.to_string()));
    let c = node("c", zenoh(vec![at_a, at_b]).listen(free_address().to_string()));
    meet(&[&a, &stuck, &c]).await;
    let (mut at_stuck, mut at_c) = (stuck.subscribe("room"), c.subscribe("room"));
    stuck.settle("room").await;
    c.settle("room").await;
    a.broadcast("room", String::new());
    assert_eq!((account(&mut at_stuck, 1).await, account(&mut at_c, 1).await), (0, 0));

    proxy.freeze();
    for _ in 0..MESSAGES {
        a.broadcast("room", "x".repeat(64 << 10));
        a.flush().await;
    }
    assert_eq!(account(&mut at_c, MESSAGES).await, 0);
    proxy.heal();
    assert!(account(&mut at_stuck, MESSAGES).await > 0);
    crosses(&a, &stuck).await;
}
