//! Clients that read slowly, or send more than is taken.

use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, Context, Endpoint, Handled, HandlerResult, JoinRefusal, JoinRequest,
    Joined, SocketOptions,
};
use serde_json::json;

use crate::client::Client;

/// Bytes that may wait for a client in these tests.
const BACKLOG: usize = 16 * 1024;

struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, _: &mut Context<()>) -> HandlerResult {
        match event {
            "wait" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Handled::ok()
            }
            _ => Handled::reply(payload),
        }
    }
}

fn endpoint() -> Endpoint {
    let options = SocketOptions::default().max_backlog(BACKLOG).timeout(Duration::from_secs(3_600));
    Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, Channels::new().channel::<Room>("room:*"), options)
        .build()
        .unwrap()
}

/// A client whose stream takes few bytes before it is full.
async fn narrow(endpoint: &Endpoint) -> Client {
    let mut client = Client::connect_with(endpoint, "vsn=2.0.0", 1024).await;
    client.join("room:a").await;
    client
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_closed_with_1013_and_others_lose_nothing() {
    let endpoint = endpoint();
    let (mut slow, mut quick) = (narrow(&endpoint).await, narrow(&endpoint).await);
    for n in 0..100 {
        endpoint.broadcast("room:a", "msg", json!({"n": n, "fill": "x".repeat(500)})).unwrap();
        assert_eq!(quick.recv().await[4]["n"], n);
    }
    assert_eq!(slow.closed().await, 1013);
    quick.send(json!(["1", "2", "room:a", "echo", {}])).await;
    assert_eq!(quick.recv().await[1], "2");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_again_is_dropped() {
    let endpoint = endpoint();
    let slow = narrow(&endpoint).await;
    for _ in 0..100 {
        endpoint.broadcast("room:a", "msg", json!({"fill": "x".repeat(500)})).unwrap();
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(slow.has_ended());
    assert_eq!((endpoint.connection_count(), endpoint.pubsub().subscriber_count("room:a")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn replies_to_a_client_that_does_not_read_stop_the_reading_and_not_the_connection() {
    let endpoint = endpoint();
    let mut client = narrow(&endpoint).await;
    let fill = "x".repeat(500);
    // More than the backlog: the stream takes no more until replies are read.
    let mut sent = 0;
    loop {
        let message = json!(["1", sent.to_string(), "room:a", "echo", {"fill": fill}]);
        let sending = tokio::time::timeout(Duration::from_secs(1), client.send(message)).await;
        if sending.is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 200, "the server reads on without end");
    }
    assert!(!client.has_ended());
    for reference in 0..sent {
        assert_eq!(client.recv().await[1], reference.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn messages_behind_a_handler_that_waits_stop_the_reading() {
    let endpoint = endpoint();
    let mut client = narrow(&endpoint).await;
    client.send(json!(["1", "2", "room:a", "wait", {}])).await;
    let fill = "x".repeat(10_000);
    let mut sent = 0;
    loop {
        let message = json!(["1", "3", "room:a", "echo", {"fill": fill}]);
        if tokio::time::timeout(Duration::from_secs(1), client.send(message)).await.is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 100, "the server keeps everything");
    }
    assert!(!client.has_ended());
}
