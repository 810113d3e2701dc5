//! Credentials that should let nobody in any more.

use std::time::Duration;

use bennu_pubsub::PubSub;
use bennu_server::{AtExpiry, SocketOptions};
use serde_json::json;

use crate::credentials::{CLOSED, Served, connect, token};

#[tokio::test(start_paused = true)]
async fn attack_052_an_expired_credential_ends_its_connection_at_once_or_after_a_grace() {
    for (at_expiry, ends_at) in
        [(AtExpiry::Disconnect, 100), (AtExpiry::DisconnectAfter(Duration::from_secs(20)), 120)]
    {
        let served = Served::new(SocketOptions::default().at_expiry(at_expiry));
        let mut client = connect(&served, &token("u:1", 0, 100)).await.unwrap();
        client.join("room:a").await;
        served.pass(ends_at - 1).await;
        // Whoever goes on talking with what has expired does not put the end off.
        client.send(json!(["1", "2", "room:a", "echo", {}])).await;
        assert!(!client.has_ended(), "{at_expiry:?}");
        served.pass(2).await;
        assert_eq!(client.closed().await, CLOSED, "{at_expiry:?}");
        assert_eq!(connect(&served, &token("u:1", 0, 100)).await.err(), Some(403), "{at_expiry:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn attack_052_revoking_a_user_closes_and_bars_all_its_sockets_on_every_node() {
    let pubsub = PubSub::local();
    let nodes =
        [Served::on(&pubsub, SocketOptions::default()), Served::on(&pubsub, SocketOptions::default())];
    let mut clients = Vec::new();
    for served in &nodes {
        for id in ["u:1", "u:1", "u:2"] {
            clients.push((id, connect(served, &token(id, 0, 1_000)).await.unwrap()));
        }
    }
    nodes[0].pass(10).await;
    nodes[0].endpoint.revoke("u:1");
    for (id, client) in &mut clients {
        match *id {
            "u:1" => assert_eq!(client.closed().await, 1001),
            _ => client.hears_nothing().await,
        }
    }
    for served in &nodes {
        assert_eq!(connect(served, &token("u:1", 0, 1_000)).await.err(), Some(403));
        assert!(connect(served, &token("u:2", 0, 1_000)).await.is_ok());
    }
}
