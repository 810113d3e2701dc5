//! A client that stops reading: the queue of its connection is bounded.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Client, V2};
use crate::server::Server;
use crate::wire::Received;

const TOPIC: &str = "room:flood";
const BROADCAST: usize = 256 * 1024;
/// More than the bound and all buffers of the kernel together.
const BROADCASTS: usize = 160;

#[test]
fn a_client_that_stops_reading_is_disconnected_and_others_get_everything() {
    let server = Server::start("bench", &[]);
    let connect = || {
        let mut client = Client::connect_to(server.address, V2);
        client.join("1", TOPIC);
        client
    };
    let (mut stuck, mut sender, mut reader) = (connect(), connect(), connect());
    let text = "x".repeat(BROADCAST);
    for number in 0..BROADCASTS {
        sender.push("2", TOPIC, "shout", json!({"number": number, "text": text}));
        for client in [&mut sender, &mut reader] {
            assert_eq!(client.receive()[4]["number"], number, "everyone else gets every broadcast");
        }
    }
    assert!(received_until_the_end(&mut stuck) < BROADCASTS, "the stuck client cannot have got everything");
    sender.expect_echo(TOPIC);
    reader.expect_echo(TOPIC);
}

/// Reads what is still under way, and counts it, until 1013 or the end of TCP.
fn received_until_the_end(client: &mut Client) -> usize {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut count = 0;
    while Instant::now() < deadline {
        match client.wire.receive() {
            Received::Text(_) => count += 1,
            Received::Close(Some((1013, _))) | Received::End => return count,
            other => panic!("a slow reader is closed with 1013, not {other:?}"),
        }
    }
    panic!("the stuck client is still connected");
}

#[test]
fn a_client_that_reads_late_but_in_time_misses_nothing() {
    let server = Server::start("bench", &[]);
    let connect = || {
        let mut client = Client::connect_to(server.address, V2);
        client.join("1", TOPIC);
        client
    };
    let (mut late, mut sender) = (connect(), connect());
    for number in 0..1_000 {
        sender.push("2", TOPIC, "shout", json!({"number": number}));
    }
    for number in 0..1_000 {
        assert_eq!(sender.receive()[4]["number"], number);
    }
    for number in 0..1_000 {
        assert_eq!(late.receive()[4]["number"], number);
    }
}

#[test]
fn a_client_that_sends_and_never_reads_is_not_read_for_ever() {
    let server = Server::start("bench", &[]);
    let mut client = Client::connect_to(server.address, V2);
    client.join("1", TOPIC);
    let text = "x".repeat(BROADCAST);
    let message = json!(["1", "2", TOPIC, "echo", {"text": text}]).to_string();
    let frame = crate::wire::frame(true, crate::wire::TEXT, message.as_bytes());
    client.wire.give_up_writing_after(Duration::from_secs(2));
    let sent = (0..BROADCASTS).take_while(|_| client.wire.write_if_open(&frame)).count();
    assert!(sent < BROADCASTS, "the server took in {sent} messages whose replies nobody read");
}
