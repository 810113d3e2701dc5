//! Case 12: requests that two servers may read in two ways.

use crate::peer::Peer;
use crate::running::{Running, Settings};

/// What would be smuggled, to a route that nobody asks for otherwise.
const SMUGGLED: &str = "GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n";

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{body}{SMUGGLED}")
}

#[tokio::test]
async fn attack_012_ambiguous_requests_are_answered_with_400_and_nothing_behind_them() {
    let server = Running::start(Settings::default()).await;
    let get = |headers: &str| format!("GET / HTTP/1.1\r\n{headers}\r\n\r\n{SMUGGLED}");
    for (what, request) in [
        ("two lengths that differ", post("/body", "Content-Length: 0\r\nContent-Length: 39", "")),
        ("two lengths that agree", post("/body", "Content-Length: 0\r\nContent-Length: 0", "")),
        ("a list of lengths", post("/body", "Content-Length: 0, 0", "")),
        ("a signed length", post("/body", "Content-Length: +0", "")),
        (
            "a length and an encoding",
            post("/body", "Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ),
        (
            "an encoding and a length",
            post("/body", "Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
        ),
        (
            "two encodings",
            post("/body", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ),
        ("an unknown encoding", post("/body", "Transfer-Encoding: xchunked", "")),
        ("an encoding after chunked", post("/body", "Transfer-Encoding: chunked, identity", "")),
        ("a name with a space", post("/body", "Content-Length : 0", "")),
        ("a folded line", get("Host: a\r\nX: 1\r\n 2")),
        ("two hosts", get("Host: a\r\nHost: b")),
        ("two hosts, line feeds alone", get("Host: a\nHost: b")),
        ("a carriage return in a value", get("Host: a\r\nX: 1\r2")),
        ("a NUL in a value", get("Host: a\r\nX: 1\x002")),
        ("a NUL in a name", get("Host: a\r\nX\x00: 1")),
        ("a line without a colon, as of a value with a line feed", get("Host: a\r\nX: 1\ninjected")),
        ("bad chunk size", post("/body", "Transfer-Encoding: chunked", "zz\r\n\r\n0\r\n\r\n")),
        ("negative chunk size", post("/body", "Transfer-Encoding: chunked", "-1\r\n\r\n0\r\n\r\n")),
        (
            "chunk size that overflows",
            post("/body", "Transfer-Encoding: chunked", "fffffffffffffffff\r\na\r\n0\r\n\r\n"),
        ),
        ("chunk longer than it says", post("/body", "Transfer-Encoding: chunked", "1\r\nabc\r\n0\r\n\r\n")),
    ] {
        let mut peer = Peer::open(server.address).await;
        peer.write(request).await;
        let answer = peer.answer().await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert_eq!(peer.try_answer().await.map(|answer| answer.status), None, "{what}");
    }
}

#[tokio::test]
async fn attack_012_a_bad_body_that_nobody_reads_ends_the_connection() {
    let server = Running::start(Settings::default()).await;
    let mut peer = Peer::open(server.address).await;
    peer.write(post("/unread", "Transfer-Encoding: chunked", "zz\r\n\r\n0\r\n\r\n")).await;
    assert_eq!(peer.answer().await.body, "not read");
    assert_eq!(peer.try_answer().await.map(|answer| answer.status), None);
}

#[tokio::test]
async fn requests_that_mean_one_thing_are_answered_one_after_the_other() {
    let server = Running::start(Settings::default()).await;
    let mut peer = Peer::open(server.address).await;
    let body = "GET / HTTP/1.1\r\nHost: b\r\nHost: c\r\n\r\n";
    let sized = post("/body", &format!("Content-Length: {}", body.len()), body);
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    peer.write(sized + &post("/body", "Transfer-Encoding: chunked", &chunked)).await;
    let length = body.len().to_string();
    for expected in [&length, "ready\n", &length, "ready\n"] {
        assert_eq!(peer.answer().await.body, expected);
    }
}

#[tokio::test]
async fn heads_without_end_are_answered_with_431() {
    let server = Running::start(Settings::default()).await;
    let many = "X: 1\r\n".repeat(101);
    let long = format!("X: {}\r\n", "1".repeat(64 * 1024));
    for headers in [many, long] {
        let mut peer = Peer::open(server.address).await;
        peer.write(format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).await;
        assert_eq!(peer.answer().await.status, 431);
        peer.ended().await;
    }
}
