//! Cases 9 and 10: connections that are begun and not used.

use std::time::Duration;

use bennu_server_axum::ServerLimits;
use tokio::io::AsyncWriteExt as _;

use crate::peer::Peer;
use crate::running::{Running, Settings};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn limits() -> ServerLimits {
    ServerLimits::default()
        .header_timeout(Duration::from_millis(500))
        .body_timeout(Duration::from_millis(500))
        .write_timeout(Duration::from_millis(500))
        .keep_alive_timeout(Duration::from_millis(1_500))
}

async fn start(limits: ServerLimits) -> Running {
    Running::start(Settings { limits, ..Settings::default() }).await
}

/// Writes a byte at a time until the server ends the connection.
async fn drip(mut peer: Peer, text: &str) {
    for byte in text.bytes().chain(std::iter::repeat(b'x')) {
        if peer.stream.write_all(&[byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn attack_009_heads_and_bodies_that_come_too_slowly_are_cut_off_and_others_served() {
    let server = start(limits()).await;
    let mut other = Peer::joined(server.address, "room:a").await;
    let body = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    let chunk = "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n";
    for (what, sent) in
        [("nothing", ""), ("half a head", "GET / HTTP/1.1\r\nX: "), ("body", body), ("chunk", chunk)]
    {
        let mut silent = Peer::open(server.address).await;
        silent.write(sent).await;
        if let Some(answer) = silent.try_answer().await {
            assert_eq!(answer.status, 400, "{what}");
        }
        silent.ended().await;
        let mut dripping = Peer::open(server.address).await;
        dripping.write(sent).await;
        tokio::time::timeout(crate::peer::PATIENCE, drip(dripping, "")).await.expect(what);
        other.expect_echo("room:a").await;
    }
}

#[tokio::test]
async fn attack_009_the_head_of_a_later_request_has_to_come_in_time_too() {
    let server = start(limits().keep_alive_timeout(Duration::from_secs(60))).await;
    let mut peer = Peer::open(server.address).await;
    peer.write(GET).await;
    peer.answer().await;
    peer.write("GET /").await;
    peer.ended().await;
}

#[tokio::test]
async fn a_kept_connection_waits_longer_than_a_head_and_not_for_ever() {
    let server = start(limits()).await;
    let mut peer = Peer::open(server.address).await;
    peer.write(GET).await;
    peer.answer().await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    peer.write(GET).await;
    assert_eq!(peer.answer().await.status, 200);
    peer.ended().await;
}

#[tokio::test]
async fn timeouts_of_requests_leave_handlers_and_sockets_alone() {
    let server = start(limits()).await;
    let mut waiting = Peer::open(server.address).await;
    waiting.write("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut socket = Peer::joined(server.address, "room:a").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    socket.expect_echo("room:a").await;
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(100), waiting.stream.peek(&mut byte)).await;
    assert!(read.is_err(), "a handler may take its time: {read:?}");
}

#[tokio::test]
async fn attack_010_connections_that_never_ask_are_bounded_and_end() {
    let server = start(limits().max_connections(20)).await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(Peer::open(server.address).await);
    }
    // Behind them all, in the kernel's queue, and served as the ones before it run into their timeout.
    let mut honest = Peer::open(server.address).await;
    honest.write(GET).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), honest.stream.peek(&mut byte)).await;
    assert!(early.is_err(), "more than 20 were let in");
    assert!(!server.endpoint.is_ready());
    assert_eq!(honest.answer().await.status, 200);
    for peer in &mut flood {
        peer.ended().await;
    }
}

#[tokio::test]
async fn a_socket_keeps_its_place_until_it_ends() {
    let server = start(limits().max_connections(1)).await;
    let mut socket = Peer::joined(server.address, "room:a").await;
    let mut second = Peer::open(server.address).await;
    second.write(GET).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(300), second.stream.peek(&mut byte)).await;
    assert!(early.is_err(), "the socket's place was given away");
    socket.expect_echo("room:a").await;
    drop(socket);
    assert_eq!(second.answer().await.status, 200);
}

#[tokio::test]
async fn frames_that_come_right_behind_the_upgrade_request_are_not_lost() {
    let server = start(limits()).await;
    let mut peer = Peer::open(server.address).await;
    let join = br#"["1","1","room:a","phx_join",{}]"#;
    let frame =
        bennu_protocol::websocket::encode_masked(bennu_protocol::websocket::Opcode::Text, join, [1, 2, 3, 4]);
    peer.write([crate::peer::UPGRADE.as_bytes(), &frame].concat()).await;
    assert_eq!(peer.answer().await.status, 101);
    assert_eq!(peer.recv().await[3], "phx_reply");
}
