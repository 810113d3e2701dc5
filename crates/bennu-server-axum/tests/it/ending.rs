//! How a server ends.

use std::time::{Duration, Instant};

use bennu_server::DrainOptions;

use crate::peer::Peer;
use crate::running::{Running, Settings};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end_and_sockets_get_1012() {
    let mut server = Running::start(Settings::default()).await;
    let mut keep_alive = Peer::open(server.address).await;
    keep_alive.write(GET).await;
    assert_eq!(keep_alive.answer().await.body, "hello");
    let mut silent = Peer::open(server.address).await;
    let (mut idle, mut joined) =
        (Peer::connect(server.address).await, Peer::joined(server.address, "room:a").await);
    server.stop();
    assert_eq!((idle.closed().await, joined.closed().await), (1012, 1012));
    keep_alive.ended().await;
    silent.ended().await;
    drop((idle, joined));
    server.ended().await;
}

#[tokio::test]
async fn nobody_is_let_in_after_the_signal() {
    let mut server = Running::start(Settings::default()).await;
    let address = server.address;
    Peer::connect(address).await;
    server.stop();
    server.ended().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_hangs_and_a_client_that_reads_nothing_are_cut_off_at_the_deadline() {
    let drain = DrainOptions::default().deadline(Duration::from_secs(2));
    let mut server = Running::start(Settings { drain, ..Settings::default() }).await;
    let mut hanging = Peer::open(server.address).await;
    hanging.write("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut deaf = Peer::open_narrow(server.address).await.upgraded().await;
    deaf.join("room:a").await;
    let fill = "x".repeat(100_000);
    for _ in 0..100 {
        // Until its backlog is full; it never reads any of it.
        server.endpoint.broadcast("room:a", "fill", serde_json::json!({ "fill": fill })).unwrap();
    }
    let mut other = Peer::open(server.address).await;
    other.write(GET).await;
    other.answer().await;
    let began = Instant::now();
    server.stop();
    server.ended().await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(10), "{took:?}");
    hanging.ended().await;
}

#[tokio::test]
async fn readiness_is_a_route() {
    let server = Running::start(Settings::default()).await;
    let mut probe = Peer::open(server.address).await;
    for (ready, status) in [(true, 200), (false, 503), (true, 200)] {
        let _unready = (!ready).then(|| server.endpoint.unready());
        probe.write("GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(probe.answer().await.status, status);
    }
}
