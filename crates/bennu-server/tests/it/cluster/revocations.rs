//! Disconnects and revocations that cross nodes, and those that did not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bennu_pubsub::PubSub;
use bennu_server::{Revocation, SocketOptions};
use bennu_testkit::Hub;

use super::{LONG, SHORT, pubsub};
use crate::credentials::{Served, connect, token};

async fn served(hub: &Hub, name: &str) -> (PubSub, Served) {
    let pubsub = pubsub(hub, name);
    hub.up(&[&pubsub]).await;
    let served = Served::on(&pubsub, SocketOptions::default());
    tokio::time::sleep(SHORT).await;
    (pubsub, served)
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_reaches_the_connections_of_all_nodes() {
    let hub = Hub::new();
    let ((_, a), (_, b)) = (served(&hub, "a").await, served(&hub, "b").await);
    hub.subscribe_delay(Duration::from_millis(300));
    let mut client = connect(&b, &token("u:1", 0, 1_000)).await.unwrap();
    let mut other = connect(&b, &token("u:2", 0, 1_000)).await.unwrap();
    // The handshake has waited for the engine, so nothing is missed from here on.
    a.endpoint.disconnect("u:1");
    assert_eq!(client.closed().await, 1001);
    other.hears_nothing().await;
    assert!(connect(&b, &token("u:1", 0, 1_000)).await.is_ok(), "nothing is revoked");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_closes_and_bars_on_all_nodes() {
    let hub = Hub::new();
    let ((_, a), (_, b)) = (served(&hub, "a").await, served(&hub, "b").await);
    let mut client = connect(&b, &token("u:1", 0, 1_000)).await.unwrap();
    a.pass(10).await;
    a.endpoint.revoke("u:1");
    assert_eq!(client.closed().await, 1001);
    assert_eq!(connect(&b, &token("u:1", 0, 1_000)).await.err(), Some(403));
    assert!(connect(&b, &token("u:1", 20, 1_000)).await.is_ok(), "a newer credential");
}

#[tokio::test(start_paused = true)]
async fn attack_049_a_revocation_that_was_lost_on_the_way_is_learned_and_closes_what_is_open() {
    for fault in ["lost", "partition", "outage", "long partition"] {
        let hub = Hub::new();
        let ((pubsub_a, a), (pubsub_b, b)) = (served(&hub, "a").await, served(&hub, "b").await);
        a.pass(5).await;
        let mut old = connect(&b, &token("u:1", 0, 1_000)).await.unwrap();
        let mut fresh = connect(&b, &token("u:1", 100, 1_000)).await.unwrap();
        let mut unknown = connect(&b, &token("u:1", 0, 1_000).replace("/0/", "/-/")).await.unwrap();
        let mut other = connect(&b, &token("u:2", 0, 1_000)).await.unwrap();
        match fault {
            "lost" => {
                hub.lose_next(2);
                a.endpoint.revoke("u:1");
            }
            "outage" => {
                hub.stop();
                tokio::time::sleep(SHORT).await;
                // Only its queue would have it, and that goes with the node: another one has to tell.
                a.endpoint.restore_revocations([Revocation::new("u:1", at(5))]);
                hub.start();
                hub.up(&[&pubsub_a, &pubsub_b]).await;
            }
            _ => {
                hub.partition(&["a"], &["b"]);
                a.endpoint.revoke("u:1");
                let time = if fault == "partition" { 5 } else { 40 };
                tokio::time::sleep(Duration::from_secs(time)).await;
                hub.heal();
            }
        }
        for client in [&mut old, &mut unknown] {
            assert_eq!(client.closed_within(Duration::from_secs(30)).await, 1001, "{fault}");
        }
        assert_eq!(connect(&b, &token("u:1", 0, 1_000)).await.err(), Some(403), "{fault}");
        fresh.hears_nothing().await;
        other.hears_nothing().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_later_learns_what_was_revoked_in_parts_and_tells_what_it_knows() {
    let hub = Hub::new();
    let (_, a) = served(&hub, "a").await;
    // Some hundred kilobytes.
    let revoked = (0..5_000).map(|n| Revocation::new(format!("user_socket:{n:020}"), at(0)));
    a.endpoint.restore_revocations(revoked);
    a.pass(100).await;
    let (_, b) = served(&hub, "b").await;
    b.put_clock(100);
    b.endpoint.restore_revocations([Revocation::new("u:b", at(100))]);
    tokio::time::sleep(LONG).await;
    assert_eq!(b.endpoint.revocations().len(), 5_001);
    assert_eq!(a.endpoint.revocations(), b.endpoint.revocations());
    let (_, c) = served(&hub, "c").await;
    tokio::time::sleep(LONG).await;
    assert_eq!(c.endpoint.revocations(), b.endpoint.revocations());
    let carried = hub.carried();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let carried = hub.carried() - carried;
    assert!(carried < 60, "{carried} packets: who knows the same says little but that it is there");
}
