//! Cases 22, 45 and 46: clients that make us write, and do not read.

use std::time::{Duration, Instant};

use bennu_protocol::websocket::{Item, Opcode, encode_masked};
use bennu_server::SocketOptions;
use bennu_server_axum::ServerLimits;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::{PATIENCE, Peer};
use crate::running::{Running, Settings};

/// Waits until so many sockets are connected.
async fn connected(server: &Running, count: usize) {
    let reached = async {
        while server.endpoint.connection_count() != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("the slow client is still there");
}

#[tokio::test]
async fn attack_022_a_ping_flood_gets_few_pongs_and_starves_nobody() {
    const PINGS: usize = 1_000_000;
    let server = Running::start(Settings::default()).await;
    let mut other = Peer::joined(server.address, "room:a").await;
    let flood = Peer::connect(server.address).await;
    let (mut reading, mut writing) = flood.stream.into_split();
    let pings = encode_masked(Opcode::Ping, b"", [0; 4]).repeat(1_000);
    let flooding = tokio::spawn(async move {
        for _ in 0..PINGS / 1_000 {
            writing.write_all(&pings).await.unwrap();
        }
        writing
    });
    let counting = tokio::spawn(async move {
        let (mut total, mut buffer) = (0, [0; 4096]);
        loop {
            let read = tokio::time::timeout(Duration::from_secs(1), reading.read(&mut buffer));
            match read.await {
                Ok(read) => total += read.unwrap(),
                Err(_) => return total,
            }
        }
    });
    let mut slowest = Duration::ZERO;
    while !flooding.is_finished() {
        let sent = Instant::now();
        other.expect_echo("room:a").await;
        slowest = slowest.max(sent.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _writing = flooding.await.unwrap();
    // An empty pong has two bytes.
    let pongs = counting.await.unwrap() / 2;
    assert!((1..PINGS / 20).contains(&pongs), "{pongs} pongs");
    assert!(slowest < Duration::from_secs(2), "an echo took {slowest:?}");
}

#[tokio::test]
async fn attack_022_a_ping_flood_that_reads_no_pongs_is_not_read_without_end() {
    let socket = SocketOptions::default().write_timeout(Duration::from_secs(2));
    // Else the kernel takes pongs for megabytes before any of them waits.
    let limits = ServerLimits::default().send_buffer(16 * 1024);
    let server = Running::start(Settings { socket, limits, ..Settings::default() }).await;
    let flood = Peer::open_narrow(server.address).await.upgraded().await;
    let (_reading, mut writing) = flood.stream.into_split();
    // A few at a time: of all that one read finds only the last is answered.
    let pings = encode_masked(Opcode::Ping, &[b'x'; 125], [0; 4]).repeat(4);
    let flooding = async { while writing.write_all(&pings).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, flooding).await.expect("it is read for ever");
    connected(&server, 0).await;
}

#[tokio::test]
async fn attack_045_a_reader_that_stops_is_dropped_and_the_others_get_all_in_order() {
    const MESSAGES: u64 = 300;
    let socket = SocketOptions::default().max_backlog(256 * 1024);
    let server = Running::start(Settings { socket, ..Settings::default() }).await;
    let mut deaf = Peer::open_narrow(server.address).await.upgraded().await;
    deaf.join("room:a").await;
    let began = Instant::now();
    let mut readers = Vec::new();
    for _ in 0..5 {
        let mut peer = Peer::joined(server.address, "room:a").await;
        readers.push(tokio::spawn(async move {
            let mut delays = Vec::new();
            for n in 0..MESSAGES {
                let message = peer.recv().await;
                assert_eq!(message[4]["n"], n);
                delays.push(began.elapsed().as_millis() as u64 - message[4]["sent_ms"].as_u64().unwrap());
            }
            (delays, peer)
        }));
    }
    // 64 KiB each: several MB a second, more than the kernel keeps for who does not read.
    let fill = "x".repeat(64 * 1024);
    for n in 0..MESSAGES {
        let sent_ms = began.elapsed().as_millis() as u64;
        server
            .endpoint
            .broadcast("room:a", "msg", json!({"n": n, "sent_ms": sent_ms, "fill": fill}))
            .unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (mut delays, mut peers) = (Vec::new(), Vec::new());
    for reader in readers {
        let (its, peer) = reader.await.unwrap();
        delays.extend(its);
        peers.push(peer);
    }
    delays.sort_unstable();
    let p99 = delays[delays.len() * 99 / 100];
    assert!(p99 < 1_000, "p99 was {p99} ms");
    connected(&server, 5).await;
}

#[tokio::test]
async fn attack_046_a_socket_that_takes_a_byte_now_and_then_is_dropped() {
    let socket = SocketOptions::default().max_backlog(64 << 20).write_timeout(Duration::from_secs(1));
    let server = Running::start(Settings { socket, ..Settings::default() }).await;
    let mut slow = Peer::open_narrow(server.address).await.upgraded().await;
    slow.join("room:a").await;
    let fill = "x".repeat(1 << 20);
    for _ in 0..32 {
        server.endpoint.broadcast("room:a", "msg", json!({ "fill": fill })).unwrap();
    }
    let reading = tokio::spawn(async move {
        let mut byte = [0];
        while slow.stream.read(&mut byte).await.is_ok_and(|count| count == 1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    connected(&server, 0).await;
    reading.abort();
}

#[tokio::test]
async fn attack_046_a_response_that_nobody_reads_is_given_up() {
    let limits = ServerLimits::default().write_timeout(Duration::from_secs(1)).max_connections(1);
    let server = Running::start(Settings { limits, ..Settings::default() }).await;
    let mut slow = Peer::open_narrow(server.address).await;
    slow.write("GET /long HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // It has the only place, which is given away once it has taken too little for too long.
    let mut next = Peer::open(server.address).await;
    next.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(next.answer().await.status, 200);
    drop(slow);
}

#[tokio::test]
async fn a_reader_that_is_slow_but_reads_gets_everything() {
    let socket = SocketOptions::default().max_backlog(64 << 20).write_timeout(Duration::from_secs(2));
    let server = Running::start(Settings { socket, ..Settings::default() }).await;
    let mut slow = Peer::open_narrow(server.address).await.upgraded().await;
    slow.join("room:a").await;
    let fill = "x".repeat(500_000);
    for n in 0..12 {
        server.endpoint.broadcast("room:a", "msg", json!({"n": n, "fill": fill})).unwrap();
    }
    for n in 0..12 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        match slow.next().await {
            Some(Item::Text(text)) => {
                let message: serde_json::Value = serde_json::from_slice(&text).unwrap();
                assert_eq!(message[4]["n"], n);
            }
            other => panic!("expected a message, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reader_that_stops_misses_what_is_lossy_and_nothing_else() {
    const CURSORS: u64 = 400;
    const ROOM: usize = 40;
    let server = Running::start(Settings::default()).await;
    let mut slow = Peer::open_narrow(server.address).await.upgraded().await;
    slow.join("room:a").await;
    slow.join("cursors:a").await;
    let fill = "x".repeat(64 * 1024);
    // 25 MB: more than the kernel keeps and more than may wait.
    for n in 0..CURSORS {
        server.endpoint.broadcast("cursors:a", "cursor", json!({"n": n, "fill": fill})).unwrap();
        if n % 10 == 0 {
            server.endpoint.broadcast("room:a", "msg", json!({ "n": n / 10 })).unwrap();
            slow.send(json!(["1", format!("echo {}", n / 10), "room:a", "echo", {}])).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (mut cursors, mut room, mut replies) = (Vec::new(), Vec::new(), Vec::new());
    while cursors.last() != Some(&(CURSORS - 1)) || room.len() < ROOM || replies.len() < ROOM {
        let message = slow.recv().await;
        match (message[2].as_str().unwrap(), message[3].as_str().unwrap()) {
            ("cursors:a", "cursor") => cursors.push(message[4]["n"].as_u64().unwrap()),
            ("room:a", "msg") => room.push(message[4]["n"].as_u64().unwrap()),
            ("room:a", "phx_reply") => replies.push(message[1].as_str().unwrap().to_owned()),
            _ => panic!("{message}"),
        }
    }
    assert_eq!(room, (0..ROOM as u64).collect::<Vec<_>>());
    assert_eq!(replies, (0..ROOM).map(|n| format!("echo {n}")).collect::<Vec<_>>());
    assert!(cursors.is_sorted() && cursors.len() < CURSORS as usize, "{cursors:?}");
    slow.expect_echo("cursors:a").await;
}

#[tokio::test]
async fn attack_045_a_reader_that_stops_on_a_lossy_channel_is_dropped_all_the_same() {
    let socket = SocketOptions::default().write_timeout(Duration::from_secs(1));
    let server = Running::start(Settings { socket, ..Settings::default() }).await;
    let mut deaf = Peer::open_narrow(server.address).await.upgraded().await;
    deaf.join("cursors:a").await;
    let fill = "x".repeat(64 * 1024);
    let began = Instant::now();
    while server.endpoint.connection_count() > 0 {
        server.endpoint.broadcast("cursors:a", "cursor", json!({ "fill": fill })).unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(began.elapsed() < PATIENCE, "the deaf client is still there");
    }
}

#[tokio::test]
async fn with_a_small_send_buffer_the_kernel_keeps_little_for_who_does_not_read() {
    let limits = ServerLimits::default().write_timeout(Duration::from_secs(1)).max_connections(1);
    let server =
        Running::start(Settings { limits: limits.send_buffer(16 * 1024), ..Settings::default() }).await;
    let mut slow = Peer::open_narrow(server.address).await;
    slow.write("GET /long HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut next = Peer::open(server.address).await;
    next.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(next.answer().await.status, 200, "the only place is free again");
    let mut kept = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, slow.stream.read_to_end(&mut kept)).await;
    // Whether the end is in order or not, this is all there was.
    let _ = reading.expect("the server has not closed the connection");
    assert!((1..128 * 1024).contains(&kept.len()), "{} bytes", kept.len());
}
