//! Nodes of a cluster, and what a test waits for.

use std::time::Duration;

use bennu_pubsub::{ClusterOptions, Gap, LinkStatus, PubSub, Subscription};
use bennu_pubsub_nats::Nats;
use tokio::time::timeout;

/// Longer than anything takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that is not connected yet, and that soon notices a server which is silent.
pub(crate) fn node(name: &str, nats: Nats) -> PubSub {
    let options = ClusterOptions::new("a secret that the nodes of a test share").node(name).namespace("test");
    PubSub::cluster(nats.ping_interval(Duration::from_millis(300)), options).unwrap()
}

pub(crate) fn node_at(name: &str, url: &str) -> PubSub {
    node(name, Nats::from_url(url).unwrap())
}

pub(crate) async fn up(pubsub: &PubSub) {
    let mut changes = pubsub.link_changes().unwrap();
    let up = timeout(PATIENCE, changes.wait_for(LinkStatus::is_up)).await;
    up.unwrap_or_else(|_| panic!("{:?}", pubsub.link())).unwrap();
}

/// Waits until the link is down for a reason that has these words, and returns all of it.
pub(crate) async fn down(pubsub: &PubSub, words: &str) -> String {
    let mut changes = pubsub.link_changes().unwrap();
    let is_down = |status: &LinkStatus| reason(status).is_some_and(|reason| reason.contains(words));
    let status = timeout(PATIENCE, changes.wait_for(is_down)).await;
    let status = status.unwrap_or_else(|_| panic!("{:?} is not: {words}", pubsub.link())).unwrap();
    reason(&status).unwrap().to_owned()
}

fn reason(status: &LinkStatus) -> Option<&str> {
    match status {
        LinkStatus::Down { reason, .. } => Some(reason),
        _ => None,
    }
}

/// What `a` says is heard at `b`.
pub(crate) async fn meet(a: &PubSub, b: &PubSub) {
    up(a).await;
    up(b).await;
    let mut heard = b.subscribe("meeting");
    b.settle("meeting").await;
    a.broadcast("meeting", 1_u32);
    assert_eq!(next(&mut heard).await, Ok(1));
}

/// The next number, or how many were missed.
pub(crate) async fn next(subscription: &mut Subscription) -> Result<u32, u64> {
    let delivery = timeout(PATIENCE, subscription.recv()).await.unwrap().unwrap();
    match (delivery.get::<u32>(), delivery.get::<Gap>()) {
        (Some(number), _) => Ok(*number),
        (_, Some(gap)) => Err(gap.missed),
        (None, None) => panic!("{delivery:?}"),
    }
}

/// Takes `from..to`, each of which comes in order or is missed; returns how many were.
pub(crate) async fn account(subscription: &mut Subscription, from: u32, to: u32) -> u64 {
    let (mut missed, mut heard, mut last) = (0, 0, None);
    while missed + heard < u64::from(to - from) {
        match next(subscription).await {
            Ok(number) => {
                assert!(last.is_none_or(|last| last < number) && (from..to).contains(&number));
                (last, heard) = (Some(number), heard + 1);
            }
            Err(gap) => missed += gap,
        }
    }
    assert_eq!(missed + heard, u64::from(to - from));
    missed
}
