//! Checks 34 to 72 and 74: the socket, in version 2.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, V2, admin, broadcast, closed, crashed, error, ok, reply, unmatched};
use crate::server::{Server, checklist};
use crate::wire::{self, Received};

#[test]
fn check_034_heartbeat_is_answered() {
    let mut client = Client::connect(V2);
    client.send(json!([null, "5", "phoenix", "heartbeat", {}]));
    client.expect(ok(Value::Null, "5", "phoenix", json!({})));
}

#[test]
fn check_035_heartbeat_reply_has_no_join_ref() {
    let mut client = Client::connect(V2);
    client.send(json!(["x", "6", "phoenix", "heartbeat", {}]));
    client.expect(ok(Value::Null, "6", "phoenix", json!({})));
}

#[test]
fn check_036_refs_keep_their_type() {
    let mut client = Client::connect(V2);
    client.send(json!([null, 7, "phoenix", "heartbeat", {}]));
    client.expect(ok(Value::Null, 7, "phoenix", json!({})));
    for reference in [json!(true), json!({"a": [1]}), json!("7"), json!(null)] {
        client.send(json!([null, reference, "phoenix", "heartbeat", {}]));
        client.expect(ok(Value::Null, reference, "phoenix", json!({})));
    }
}

#[test]
fn check_037_other_events_on_phoenix_are_unmatched() {
    let mut client = Client::connect(V2);
    client.send(json!([null, "5", "phoenix", "other", {}]));
    client.expect(unmatched("5", "phoenix"));
}

#[test]
fn check_038_join_is_answered() {
    let mut client = Client::connect(V2);
    client.send(json!(["1", "1", "room:038", "phx_join", {}]));
    client.expect(ok("1", "1", "room:038", json!({})));
}

#[test]
fn check_039_join_reply_tells_join_ref_from_ref() {
    let mut client = Client::connect(V2);
    client.send(json!(["11", "1", "room:039", "phx_join", {}]));
    client.expect(ok("11", "1", "room:039", json!({})));
}

#[test]
fn check_040_join_of_a_topic_without_route_is_unmatched() {
    let mut client = Client::connect(V2);
    client.send(json!(["1", "2", "nope", "phx_join", {}]));
    client.expect(unmatched("2", "nope"));
}

#[test]
fn check_041_exact_routes_match_no_longer_topic() {
    let mut client = Client::connect(V2);
    client.send(json!(["1", "1", "exact2", "phx_join", {}]));
    client.expect(unmatched("1", "exact2"));
    client.join("2", "exact");
}

#[test]
fn check_042_a_refused_join_is_an_error_reply_alone() {
    let mut client = Client::connect(V2);
    client.send(json!(["1", "1", "room:err", "phx_join", {}]));
    client.expect(error("1", "1", "room:err", json!({"reason": "nope"})));
    client.expect_silence();
}

#[test]
fn check_043_a_refused_topic_is_not_joined() {
    let mut client = Client::connect(V2);
    client.send(json!(["1", "1", "room:err", "phx_join", {}]));
    client.receive();
    client.expect_not_joined("room:err");
}

#[test]
fn check_044_a_join_that_crashes_is_answered_and_the_connection_lives() {
    let mut client = Client::connect(V2);
    client.send(json!(["1", "1", "room:crash", "phx_join", {}]));
    client.expect(error("1", "1", "room:crash", json!({"reason": "join crashed"})));
    client.join("2", "room:044");
}

#[test]
fn check_045_a_join_can_answer_with_a_payload() {
    let mut client = Client::connect(V2);
    client.send(json!(["1", "1", "room:reply", "phx_join", {"k": 1}]));
    client.expect(ok("1", "1", "room:reply", json!({"hello": {"k": 1}})));
}

#[test]
fn check_046_what_is_pushed_after_the_join_follows_its_reply() {
    let mut client = Client::joined("room:after");
    client.expect(json!(["1", null, "room:after", "welcome", {}]));
}

#[test]
fn check_047_an_event_on_a_topic_never_joined_is_unmatched() {
    let mut client = Client::connect(V2);
    client.send(json!(["1", "9", "room:047", "echo", {}]));
    client.expect(unmatched("9", "room:047"));
}

#[test]
fn check_048_leaving_a_topic_never_joined_is_ok_without_a_close() {
    let mut client = Client::connect(V2);
    client.send(json!(["1", "9", "room:048", "phx_leave", {}]));
    client.expect(ok("1", "9", "room:048", json!({})));
    client.expect_silence();
}

#[test]
fn check_049_a_leave_is_answered_and_then_closes() {
    let mut client = Client::joined("room:049");
    client.push("9", "room:049", "phx_leave", json!({}));
    client.expect(ok("1", "9", "room:049", json!({})));
    client.expect(closed("1", "room:049"));
}

#[test]
fn check_050_a_left_topic_is_not_joined() {
    let mut client = left("room:050");
    client.expect_not_joined("room:050");
}

#[test]
fn check_051_a_left_topic_can_be_joined_again() {
    let mut client = left("room:051");
    client.join("10", "room:051");
}

fn left(topic: &str) -> Client {
    let mut client = Client::joined(topic);
    client.push("9", topic, "phx_leave", json!({}));
    client.expect(ok("1", "9", topic, json!({})));
    client.expect(closed("1", topic));
    client
}

#[test]
fn check_052_a_stale_join_ref_is_ignored() {
    let mut client = Client::joined("room:052");
    client.send(json!(["0", "2", "room:052", "echo", {}]));
    client.expect_silence();
    client.expect_echo("room:052");
}

#[test]
fn check_053_a_null_join_ref_reaches_the_channel() {
    let mut client = Client::joined("room:053");
    client.send(json!([null, "2", "room:053", "echo", {"a": 1}]));
    client.expect(ok("1", "2", "room:053", json!({"a": 1})));
}

#[test]
fn check_054_a_join_ref_of_another_type_is_ignored() {
    let mut client = Client::joined("room:054");
    client.send(json!([1, "2", "room:054", "echo", {}]));
    client.expect_silence();
    client.expect_echo("room:054");
}

#[test]
fn check_055_a_leave_with_a_stale_join_ref_is_ignored() {
    let mut client = Client::joined("room:055");
    client.send(json!(["0", "2", "room:055", "phx_leave", {}]));
    client.expect_silence();
    client.expect_echo("room:055");
}

#[test]
fn check_056_a_join_without_join_ref_lends_its_ref_to_pushes_and_replies() {
    let (mut client, topic) = (Client::connect(V2), "room:056");
    client.send(json!([null, "1", topic, "phx_join", {}]));
    client.expect(ok(Value::Null, "1", topic, json!({})));
    client.send(json!([null, "2", topic, "push", {"a": 1}]));
    client.expect(json!(["1", null, topic, "pushed", {"a": 1}]));
    client.send(json!([null, "3", topic, "phx_leave", {}]));
    client.expect(ok("1", "3", topic, json!({})));
    client.expect(json!([null, null, topic, "phx_close", {}]));
}

#[test]
fn check_057_duplicate_join_replies_then_closes_the_old_then_welcomes() {
    joined_twice();
}

#[test]
fn check_058_after_a_duplicate_join_only_the_new_join_ref_counts() {
    let mut client = joined_twice();
    client.send(json!(["1", "3", "room:after", "echo", {}]));
    client.expect_silence();
    client.send(json!(["2", "4", "room:after", "echo", {}]));
    client.expect(ok("2", "4", "room:after", json!({})));
}

fn joined_twice() -> Client {
    let mut client = Client::joined("room:after");
    client.expect(json!(["1", null, "room:after", "welcome", {}]));
    client.join("2", "room:after");
    client.expect(closed("1", "room:after"));
    client.expect(json!(["2", null, "room:after", "welcome", {}]));
    client
}

#[test]
fn check_059_the_channel_limit_counts_joined_channels() {
    let mut client = Client::connect(V2);
    for number in 0..100 {
        client.join("1", &format!("room:059-{number}"));
    }
    client.send(json!(["1", "2", "room:059-more", "phx_join", {}]));
    client.expect(error("1", "2", "room:059-more", json!({"reason": "too many channels joined"})));
    client.push("3", "room:059-7", "phx_leave", json!({}));
    client.expect(ok("1", "3", "room:059-7", json!({})));
    client.expect(closed("1", "room:059-7"));
    client.join("4", "room:059-more");
}

/// In place of check 60, which Phoenix answers by holding up everything.
#[test]
fn slow_join_holds_up_nothing_else() {
    let mut client = Client::joined("room:060");
    client.send(json!(["2", "2", "room:slow", "phx_join", {}]));
    for reference in ["a", "b", "c"] {
        client.send(json!(["2", reference, "room:slow", "echo", {"from": reference}]));
    }
    client.push("4", "room:060", "echo", json!({}));
    client.send(json!([null, "5", "phoenix", "heartbeat", {}]));
    client.expect(ok("1", "4", "room:060", json!({})));
    client.expect(ok(Value::Null, "5", "phoenix", json!({})));
    client.expect(ok("2", "2", "room:slow", json!({})));
    for reference in ["a", "b", "c"] {
        client.expect(ok("2", reference, "room:slow", json!({"from": reference})));
    }
}

#[test]
fn check_061_connections_join_one_topic_independently() {
    let (mut one, mut two) = (Client::joined("room:061"), Client::joined("room:061"));
    one.push("2", "room:061", "phx_leave", json!({}));
    one.expect(ok("1", "2", "room:061", json!({})));
    one.expect(closed("1", "room:061"));
    two.expect_echo("room:061");
}

#[test]
fn check_062_elements_after_the_fifth_are_ignored() {
    let mut client = Client::joined("room:062");
    client.send(json!(["1", "2", "room:062", "echo", {"a": 1}, "more"]));
    client.expect(ok("1", "2", "room:062", json!({"a": 1})));
}

#[test]
fn check_063_an_array_of_four_closes_with_1011() {
    closes_with(1011, wire::TEXT, br#"["1","2","room:063","echo"]"#);
}

#[test]
fn check_064_what_is_no_message_closes_with_1011() {
    for text in [
        "nope",
        "",
        r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}"#,
        r#"[null,"1","phoenix","heartbeat",{}] x"#,
        r#"[null,"1","phoenix","heartbeat",{"a":NaN}]"#,
        r#"[null,"1","phoenix","heartbeat",{"a":1e400}]"#,
        r#"[null,"1","phoenix","heartbeat",{"a":"\ud800"}]"#,
        r#"[null,"1","phoenix","heartbeat",{"a":01}]"#,
        "\u{feff}[null,\"1\",\"phoenix\",\"heartbeat\",{}]",
        "[null,\"1\",\"phoenix\",\"heartbeat\",{\"a\":\"\n\"}]",
    ] {
        closes_with(1011, wire::TEXT, text.as_bytes());
    }
}

#[test]
fn nesting_over_128_closes_with_1011() {
    let deep = |depth: usize| {
        let payload = "[".repeat(depth) + &"]".repeat(depth);
        format!(r#"[null,"1","phoenix","heartbeat",{payload}]"#)
    };
    let mut client = Client::connect(V2);
    client.send_text(&deep(100));
    client.expect(ok(Value::Null, "1", "phoenix", json!({})));
    closes_with(1011, wire::TEXT, deep(200).as_bytes());
    closes_with(1011, wire::TEXT, deep(1_000_000).as_bytes());
}

#[test]
fn check_065_text_that_is_not_utf8_closes_with_1007() {
    closes_with(1007, wire::TEXT, b"[null,\"1\",\"phoenix\",\"heartbeat\",\"\xff\"]");
}

fn closes_with(code: u16, opcode: u8, payload: &[u8]) {
    let mut client = Client::connect(V2);
    client.wire.send(opcode, payload);
    client.expect_close(code);
}

#[test]
fn check_066_a_numeric_topic_is_unmatched_and_echoed() {
    let mut client = Client::connect(V2);
    client.send(json!(["1", "1", 42, "phx_join", {}]));
    client.expect(unmatched("1", 42));
}

#[test]
fn check_067_a_ping_between_fragments_is_answered_first() {
    let mut client = Client::connect(V2);
    let message = json!([null, "1", "phoenix", "heartbeat", {}]).to_string();
    let (first, second) = message.as_bytes().split_at(10);
    client.wire.write(&wire::frame(false, wire::TEXT, first));
    client.wire.send(wire::PING, b"between");
    client.wire.write(&wire::frame(true, wire::CONTINUATION, second));
    assert_eq!(client.wire.receive(), Received::Pong(b"between".to_vec()));
    client.expect(ok(Value::Null, "1", "phoenix", json!({})));
}

#[test]
fn check_068_a_pong_carries_the_payload_of_its_ping() {
    let mut client = Client::connect(V2);
    for payload in [&b""[..], b"hello", &[0xff; 125]] {
        client.wire.send(wire::PING, payload);
        assert_eq!(client.wire.receive(), Received::Pong(payload.to_vec()));
    }
    client.wire.send(wire::PONG, b"unasked");
    client.expect_alive();
}

#[test]
fn check_069_a_close_of_the_client_is_answered_with_1000() {
    let mut client = Client::connect(V2);
    client.wire.send(wire::CLOSE, &wire::close_body(1000, "bye"));
    client.expect_close(1000);
}

#[test]
fn check_070_an_application_close_code_is_answered_with_1000() {
    let mut client = Client::connect(V2);
    client.wire.send(wire::CLOSE, &wire::close_body(4001, ""));
    client.expect_close(1000);
}

#[test]
fn close_codes_of_the_client_are_answered_as_by_bandit() {
    let bodies = [
        ("none", vec![], 1000),
        ("1001", wire::close_body(1001, ""), 1000),
        ("1011", wire::close_body(1011, ""), 1000),
        ("3000", wire::close_body(3000, ""), 1000),
        ("999", wire::close_body(999, ""), 1002),
        ("1005", wire::close_body(1005, ""), 1002),
        ("one byte", vec![3], 1002),
        ("a reason that is not UTF-8", vec![3, 0xe8, 0xff], 1002),
    ];
    for (name, body, code) in bodies {
        let mut client = Client::connect(V2);
        client.wire.send(wire::CLOSE, &body);
        assert_eq!(client.wire.receive(), Received::Close(Some((code, String::new()))), "{name}");
    }
}

#[test]
fn breaches_of_rfc_6455_close_with_1002() {
    let heartbeat = br#"[null,"1","phoenix","heartbeat",{}]"#;
    let unmasked = [&[0x80 | wire::TEXT, heartbeat.len() as u8], &heartbeat[..]].concat();
    let mut reserved = wire::frame(true, wire::TEXT, heartbeat);
    reserved[0] |= 0x40;
    let breaches = [
        ("unmasked", unmasked),
        ("reserved bit", reserved),
        ("unknown opcode", wire::frame(true, 0x3, b"")),
        ("continuation of nothing", wire::frame(true, wire::CONTINUATION, b"x")),
        ("fragmented ping", wire::frame(false, wire::PING, b"x")),
        ("long ping", wire::frame(true, wire::PING, &[0; 126])),
        (
            "text inside a fragmented message",
            [wire::frame(false, wire::TEXT, b"["), wire::frame(true, wire::TEXT, heartbeat)].concat(),
        ),
    ];
    for (name, bytes) in breaches {
        let mut client = Client::connect(V2);
        client.wire.write(&bytes);
        assert_eq!(client.wire.receive(), Received::Close(Some((1002, String::new()))), "{name}");
    }
}

#[test]
fn a_frame_over_the_limit_closes_with_1009_before_it_has_come() {
    let mut client = Client::connect(V2);
    let header = [&[0x80 | wire::TEXT, 0xff][..], &10_000_001_u64.to_be_bytes(), &[1, 2, 3, 4]].concat();
    client.wire.write(&header);
    assert_eq!(client.wire.receive(), Received::Close(Some((1009, String::new()))));
}

#[test]
fn check_071_silence_closes_and_pings_keep_open() {
    let path = "/idle/1/websocket?vsn=2.0.0";
    let (mut silent, mut pinging) = (Client::connect(path), Client::connect(path));
    let started = Instant::now();
    // More often than the checklist's 300 ms, so that a busy machine does not fail the check.
    for _ in 0..6 {
        sleep(Duration::from_millis(200));
        pinging.wire.send(wire::PING, b"");
        assert_eq!(pinging.wire.receive(), Received::Pong(vec![]));
    }
    silent.expect_close(1002);
    pinging.expect_close(1002);
    assert!(started.elapsed() >= Duration::from_millis(1_700), "pings moved the deadline");
}

#[test]
fn an_idle_connection_is_closed_after_its_timeout_and_not_before() {
    let mut client = Client::connect("/idle/1/websocket?vsn=2.0.0");
    let started = Instant::now();
    client.expect_close(1002);
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_millis(490), "closed after {elapsed:?}");
}

#[test]
fn check_072_disconnect_closes_all_connections_of_the_id() {
    let connect = |uid| Client::connect(&format!("{V2}&uid={uid}"));
    let (mut one, mut two, mut other) = (connect("072-9"), connect("072-9"), connect("072-8"));
    one.join("1", "room:072");
    other.join("1", "room:072");
    assert!(admin(checklist(), "/admin/disconnect", json!({"id": "u:072-9"})));
    one.expect_close(1001);
    two.expect_close(1001);
    other.expect_silence();
    other.expect_echo("room:072");
}

#[test]
fn a_broadcast_of_disconnect_on_the_id_closes_too_and_other_events_do_nothing() {
    let mut client = Client::connect(&format!("{V2}&uid=072-b"));
    let event = |event: &str| json!({"topic": "u:072-b", "event": event, "payload": {}});
    assert!(admin(checklist(), "/admin/broadcast", event("other")));
    client.expect_silence();
    assert!(admin(checklist(), "/admin/broadcast", event("disconnect")));
    client.expect_close(1001);
}

#[test]
fn check_074_a_dropped_connection_ends_its_channels_and_their_presences() {
    let mut staying = Client::joined("room:074");
    let mut leaving = Client::joined("room:074");
    leaving.push("2", "room:074", "track", json!({"key": "u", "meta": {}}));
    let joined = staying.receive();
    assert_eq!(joined[3], "presence_diff");
    drop(leaving);
    let metas = joined[4]["joins"]["u"].clone();
    staying.expect(broadcast("room:074", "presence_diff", json!({"joins": {}, "leaves": {"u": metas}})));
}

#[test]
fn the_channel_limit_can_be_set() {
    let server = Server::start("checklist", &["--max-channels", "1"]);
    let mut client = Client::connect_to(server.address, V2);
    client.join("1", "room:a");
    client.send(json!(["2", "2", "room:b", "phx_join", {}]));
    client.expect(error("2", "2", "room:b", json!({"reason": "too many channels joined"})));
    // A duplicate join frees its own place first.
    client.join("3", "room:a");
    client.expect(closed("1", "room:a"));
}

#[test]
fn a_duplicate_join_that_is_refused_ends_the_old_channel_nevertheless() {
    let mut client = Client::joined("room:dup");
    client.push("2", "room:dup", "crash", json!({}));
    client.expect(crashed("1", "room:dup"));
    client.expect_not_joined("room:dup");
    client.send(json!(["3", "4", "room:dup", "phx_leave", {}]));
    client.expect(reply("3", "4", "room:dup", "ok", json!({})));
}
