//! Checks 108 to 115: version 1.

use serde_json::{Value, json};

use crate::client::{self, Client, V1};
use crate::wire;

fn message(topic: &str, event: &str, payload: Value, reference: &str) -> Value {
    json!({"topic": topic, "event": event, "payload": payload, "ref": reference})
}

fn reply(topic: &str, status: &str, response: Value, reference: &str) -> Value {
    message(topic, "phx_reply", json!({"status": status, "response": response}), reference)
}

fn push(topic: &str, event: &str, payload: Value) -> Value {
    json!({"topic": topic, "event": event, "payload": payload, "ref": null})
}

fn joined(topic: &str) -> Client {
    let mut client = Client::connect(V1);
    client.send(message(topic, "phx_join", json!({}), "1"));
    client.expect(reply(topic, "ok", json!({}), "1"));
    client
}

fn after(topic: &str, event: &str, payload: Value) -> Client {
    let mut client = joined(topic);
    client.send(message(topic, event, payload, "2"));
    client
}

#[test]
fn check_108_a_reply_has_exactly_four_members() {
    joined("room:108");
}

#[test]
fn check_109_no_frame_ever_has_a_join_ref() {
    let mut client = Client::connect(V1);
    let topic = "room:109";
    let mut send = |event: &str, expected: usize| -> Vec<Value> {
        let mut message = message(topic, event, json!({}), "5");
        // Even when the client sends one.
        message["join_ref"] = json!("5");
        client.send(message);
        (0..expected).map(|_| client.receive()).collect()
    };
    let frames = [("phx_join", 1), ("echo", 1), ("push", 1), ("bcast", 2), ("icpt", 1), ("phx_leave", 2)];
    for (event, expected) in frames {
        for frame in send(event, expected) {
            let members: Vec<_> = frame.as_object().expect("an object").keys().cloned().collect();
            assert_eq!(members, ["event", "payload", "ref", "topic"], "{event}: {frame}");
        }
    }
}

#[test]
fn check_110_a_leave_is_answered_and_closes_without_ref() {
    let mut client = after("room:110", "phx_leave", json!({}));
    client.expect(reply("room:110", "ok", json!({}), "2"));
    client.expect(push("room:110", "phx_close", json!({})));
}

#[test]
fn check_111_a_crash_has_no_ref() {
    let mut client = after("room:111", "crash", json!({}));
    client.expect(push("room:111", "phx_error", json!({"reason": "channel_crash"})));
}

#[test]
fn check_112_what_is_no_whole_object_closes_with_1011() {
    for text in [
        r#"{"topic":"phoenix","event":"heartbeat","payload":{}}"#,
        r#"{"topic":"phoenix","event":"heartbeat","ref":"1"}"#,
        r#"{"topic":"phoenix","payload":{},"ref":"1"}"#,
        r#"{"event":"heartbeat","payload":{},"ref":"1"}"#,
        r#"[null,"1","phoenix","heartbeat",{}]"#,
    ] {
        let mut client = Client::connect(V1);
        client.send_text(text);
        client.expect_close(1011);
    }
}

#[test]
fn check_113_a_broadcast_may_be_any_json() {
    let mut client = after("room:113", "bcast", json!("text"));
    client.expect(push("room:113", "msg", json!("text")));
    client.expect(reply("room:113", "ok", json!({}), "2"));
}

#[test]
fn check_114_each_client_gets_a_broadcast_in_its_own_version() {
    let mut old = joined("room:114");
    let mut new = Client::joined("room:114");
    new.push("2", "room:114", "bcast", json!({"a": 1}));
    new.expect(client::broadcast("room:114", "msg", json!({"a": 1})));
    new.expect(client::ok("1", "2", "room:114", json!({})));
    old.expect(push("room:114", "msg", json!({"a": 1})));
}

#[test]
fn check_115_json_in_a_binary_frame_is_accepted() {
    let mut client = Client::connect(V1);
    let heartbeat = message("phoenix", "heartbeat", json!({}), "1").to_string();
    client.wire.send(wire::BINARY, heartbeat.as_bytes());
    client.expect(reply("phoenix", "ok", json!({}), "1"));
}

#[test]
fn the_first_of_two_equal_members_wins() {
    let mut client = Client::connect(V1);
    client.send_text(
        r#"{"topic":"phoenix","event":"heartbeat","event":"other","payload":{},"ref":"1","ref":"2"}"#,
    );
    client.expect(reply("phoenix", "ok", json!({}), "1"));
}
