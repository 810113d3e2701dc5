//! Checks 99 to 107: binary frames of version 2.

use serde_json::{Value, json};

use crate::client::{Client, V2, broadcast, crashed, ok, unmatched};
use crate::server::checklist;
use crate::wire;

/// A push of the client.
fn push(join_ref: &str, reference: &str, topic: &str, event: &str, payload: &[u8]) -> Vec<u8> {
    let fields = [join_ref, reference, topic, event];
    let mut frame = vec![0];
    frame.extend(fields.map(|field| u8::try_from(field.len()).expect("fields are short")));
    fields.iter().for_each(|field| frame.extend(field.as_bytes()));
    frame.extend(payload);
    frame
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits are ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")).collect()
}

// Only check 99 speaks on `room:a` and only check 100 on `room:b`, so their bytes are the specification's.
#[test]
fn check_099_bytes_are_pushed_and_replied_as_bytes() {
    let mut client = Client::joined("room:a");
    client.send_binary(&hex("0001010603 31 32 726f6f6d3a61 62696e 00ff"));
    assert_eq!(client.receive_binary(), hex("00010607 31 726f6f6d3a61 62696e70757368 00ff"));
    assert_eq!(client.receive_binary(), hex("0101010602 31 32 726f6f6d3a61 6f6b 00ff"));
}

#[test]
fn check_100_bytes_are_broadcast_as_bytes() {
    let mut client = Client::joined("room:b");
    client.push("2", "room:b", "bcast_bin", json!({}));
    assert_eq!(client.receive_binary(), hex("020604 726f6f6d3a62 626d7367 010203"));
}

#[test]
fn check_101_an_empty_binary_join_ref_is_stale() {
    let mut client = Client::joined("room:101");
    client.send_binary(&push("", "2", "room:101", "echo", b"x"));
    client.expect_silence();
    client.expect_echo("room:101");
}

#[test]
fn check_102_an_empty_binary_ref_is_echoed() {
    let mut client = Client::joined("room:102");
    client.send_binary(&push("1", "", "room:102", "echo", b"x"));
    let header = [&[1, 1, 0, 8, 2][..], b"1", b"", b"room:102", b"ok"].concat();
    assert_eq!(client.receive_binary(), [&header[..], b"x"].concat());
}

#[test]
fn check_103_a_binary_push_for_an_unknown_topic_is_answered_in_text() {
    let mut client = Client::connect(V2);
    client.send_binary(&push("1", "2", "room:103", "echo", b"x"));
    client.expect(unmatched("2", "room:103"));
}

#[test]
fn check_104_a_binary_heartbeat_is_answered_in_text() {
    let mut client = Client::connect(V2);
    client.send_binary(&[&hex("0000010709")[..], b"9phoenixheartbeat"].concat());
    client.expect(ok(Value::Null, "9", "phoenix", json!({})));
}

#[test]
fn check_105_binary_frames_that_are_no_push_close_with_1011() {
    let whole = push("1", "2", "room:105", "echo", b"");
    let mut kind_1 = whole.clone();
    kind_1[0] = 1;
    let truncated = whole[..whole.len() - 1].to_vec();
    for frame in [kind_1, truncated, whole[..4].to_vec(), vec![]] {
        let mut client = Client::connect(V2);
        client.send_binary(&frame);
        client.expect_close(1011);
    }
}

#[test]
fn check_106_a_topic_of_255_bytes_can_be_broadcast_in_bytes_and_a_longer_one_not() {
    let topic = format!("room:106{}", "x".repeat(247));
    let mut client = Client::joined(&topic);
    client.push("2", &topic, "bcast_bin", json!({}));
    let header = [&[2, 0xff, 4][..], topic.as_bytes(), b"bmsg"].concat();
    assert_eq!(client.receive_binary(), [&header[..], &[1, 2, 3]].concat());

    let topic = format!("{topic}x");
    let mut client = Client::joined(&topic);
    client.push("2", &topic, "bcast", json!({"a": 1}));
    client.expect(broadcast(&topic, "msg", json!({"a": 1})));
    client.expect(ok("1", "2", &topic, json!({})));
    client.push("3", &topic, "bcast_bin", json!({}));
    client.expect(crashed("1", &topic));
}

#[test]
fn check_107_binary_lengths_count_bytes() {
    let topic = "room:é🚀";
    let mut client = Client::joined(topic);
    client.push("2", topic, "bcast_bin", json!({}));
    let header = [&[2, 0x0b, 4][..], topic.as_bytes(), b"bmsg"].concat();
    assert_eq!(client.receive_binary(), [&header[..], &[1, 2, 3]].concat());
}

#[test]
fn bytes_can_be_broadcast_from_the_server() {
    let mut client = Client::joined("room:bytes");
    let body = json!({"topic": "room:bytes", "event": "msg", "binary": "AP8="});
    assert!(crate::client::admin(checklist(), "/admin/broadcast", body));
    assert_eq!(client.receive_binary(), [&[2, 10, 3][..], b"room:bytesmsg", &[0, 0xff]].concat());
}

#[test]
fn a_binary_leave_leaves() {
    let mut client = Client::joined("room:bleave");
    client.wire.send(wire::BINARY, &push("1", "2", "room:bleave", "phx_leave", b""));
    client.expect(ok("1", "2", "room:bleave", json!({})));
    client.expect(crate::client::closed("1", "room:bleave"));
}

#[test]
fn a_ref_that_is_not_utf8_is_echoed_in_bytes_and_ends_what_would_put_it_into_json() {
    let mut client = Client::joined("room:bref2");
    let push = |event: &str| {
        let fields = [&[0, 1, 1, 10, event.len() as u8][..], b"1", &[0xff], b"room:bref2", event.as_bytes()];
        fields.concat()
    };
    client.send_binary(&push("echo"));
    assert_eq!(client.receive_binary(), [&[1, 1, 1, 10, 2][..], b"1", &[0xff], b"room:bref2ok"].concat());
    client.send_binary(&push("ok"));
    client.expect(crashed("1", "room:bref2"));
    // The answer to a topic that is not joined is the connection's own.
    client.send_binary(&push("ok"));
    client.expect_close(1011);
}
