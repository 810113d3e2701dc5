//! Checks 75 to 98: the channel, in version 2.

use serde_json::{Value, json};

use crate::client::{Client, admin, broadcast, closed, crashed, error, ok, reply};
use crate::server::checklist;

/// Sends an event with ref `"2"` on a freshly joined topic.
fn after(topic: &str, event: &str, payload: Value) -> Client {
    let mut client = Client::joined(topic);
    client.push("2", topic, event, payload);
    client
}

#[test]
fn check_075_a_bare_status_has_an_empty_response() {
    let mut client = after("room:075", "ok", json!({}));
    client.expect(ok("1", "2", "room:075", json!({})));
    client.push("3", "room:075", "err", json!({}));
    client.expect(error("1", "3", "room:075", json!({})));
}

#[test]
fn check_076_a_reply_may_have_any_status() {
    after("room:076", "weird", json!({})).expect(reply("1", "2", "room:076", "weird", json!({"a": 1})));
}

#[test]
fn check_077_no_reply_is_no_frame() {
    after("room:077", "noreply", json!({})).expect_silence();
}

#[test]
fn check_078_a_push_has_the_join_ref_and_no_ref() {
    let mut client = after("room:078", "push", json!({"a": [1, "x", null]}));
    client.expect(json!(["1", null, "room:078", "pushed", {"a": [1, "x", null]}]));
    client.expect_silence();
}

#[test]
fn check_079_a_message_may_be_replied_to_twice() {
    let mut client = after("room:079", "twice", json!({"a": 1}));
    client.expect(ok("1", "2", "room:079", json!({"a": 1})));
    client.expect(ok("1", "2", "room:079", json!({})));
}

#[test]
fn check_080_an_asynchronous_reply_comes_after_other_traffic() {
    let mut client = Client::joined("room:080");
    client.send_together([
        json!(["1", "8", "room:080", "async", {"a": 1}]),
        json!(["1", "9", "room:080", "echo", {"b": 2}]),
    ]);
    client.expect(ok("1", "9", "room:080", json!({"b": 2})));
    client.expect(ok("1", "8", "room:080", json!({"a": 1})));
}

#[test]
fn check_081_a_message_without_ref_is_replied_to_without_ref() {
    let mut client = Client::joined("room:081");
    client.send(json!(["1", null, "room:081", "echo", {"a": 1}]));
    client.expect(ok("1", Value::Null, "room:081", json!({"a": 1})));
}

#[test]
fn check_082_a_reply_carries_any_json() {
    for payload in [json!("text"), json!([1, [], {}]), json!(null), json!(1.5), json!(true)] {
        let mut client = after("room:082", "echo", payload.clone());
        client.expect(ok("1", "2", "room:082", payload));
    }
}

#[test]
fn numbers_come_back_with_their_value() {
    let payload = r#"{"big":123456789012345678901234567890,"float":1.10,"minus_zero":-0.0,"exponent":1e2}"#;
    let mut client = Client::joined("room:numbers");
    client.send_text(&format!(r#"["1","2","room:numbers","echo",{payload}]"#));
    let crate::wire::Received::Text(text) = client.wire.receive() else { panic!("a text frame") };
    assert!(text.contains("123456789012345678901234567890"), "{text}");
    let received: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(received[4]["response"], serde_json::from_str::<Value>(payload).unwrap());
}

#[test]
fn check_083_a_broadcast_reaches_all_and_the_sender_before_its_reply() {
    let mut other = Client::joined("room:083");
    let mut sender = after("room:083", "bcast", json!({"a": 1}));
    let message = broadcast("room:083", "msg", json!({"a": 1}));
    sender.expect(message.clone());
    sender.expect(ok("1", "2", "room:083", json!({})));
    other.expect(message);
}

#[test]
fn check_084_broadcast_from_leaves_the_sender_out() {
    let mut other = Client::joined("room:084");
    let mut sender = after("room:084", "bcast_from", json!({"a": 1}));
    sender.expect(ok("1", "2", "room:084", json!({})));
    sender.expect_silence();
    other.expect(broadcast("room:084", "msg", json!({"a": 1})));
}

#[test]
fn check_085_an_intercepted_broadcast_is_pushed_by_each_subscriber() {
    let mut other = Client::connect(crate::client::V2);
    other.join("77", "room:085");
    let mut sender = after("room:085", "icpt", json!({"a": 1}));
    sender.expect(json!(["1", null, "room:085", "icpt", {"a": 1, "x": 1}]));
    other.expect(json!(["77", null, "room:085", "icpt", {"a": 1, "x": 1}]));
}

#[test]
fn check_086_a_broadcast_from_the_server_looks_like_a_clients() {
    let mut client = Client::joined("room:086");
    let body = json!({"topic": "room:086", "event": "msg", "payload": {"a": 1}});
    assert!(admin(checklist(), "/admin/broadcast", body));
    client.expect(broadcast("room:086", "msg", json!({"a": 1})));
}

#[test]
fn check_087_a_broadcast_that_is_no_object_crashes_its_channel_in_version_2() {
    after("room:087", "bcast", json!("text")).expect(crashed("1", "room:087"));
}

#[test]
fn check_088_a_panic_is_phx_error_alone_and_the_connection_lives() {
    let mut client = after("room:088", "crash", json!({}));
    client.expect(crashed("1", "room:088"));
    client.expect_silence();
    client.expect_alive();
}

#[test]
fn check_089_a_killed_channel_is_phx_error_alone() {
    let mut client = after("room:089", "kill", json!({}));
    client.expect(crashed("1", "room:089"));
    client.expect_silence();
    client.expect_alive();
}

#[test]
fn check_090_a_crashed_topic_is_free_and_can_be_joined_again() {
    let mut client = after("room:090", "crash", json!({}));
    client.expect(crashed("1", "room:090"));
    client.expect_not_joined("room:090");
    client.join("4", "room:090");
}

#[test]
fn check_091_a_stop_in_good_order_is_phx_close() {
    for event in ["stop_normal", "stop_shutdown"] {
        let mut client = after("room:091", event, json!({}));
        client.expect(closed("1", "room:091"));
        client.expect_silence();
        client.expect_not_joined("room:091");
    }
}

#[test]
fn check_092_a_stop_for_another_reason_is_phx_error() {
    after("room:092", "stop_other", json!({})).expect(crashed("1", "room:092"));
}

#[test]
fn check_093_a_stop_can_reply_first() {
    let mut client = after("room:093", "stop_reply", json!({}));
    client.expect(ok("1", "2", "room:093", json!({"bye": 1})));
    client.expect(closed("1", "room:093"));
}

#[test]
fn check_094_an_unknown_event_crashes_the_channel() {
    after("room:094", "unknown", json!({})).expect(crashed("1", "room:094"));
    after("exact", "anything", json!({})).expect(crashed("1", "exact"));
}

#[test]
fn check_095_reserved_events_of_a_client_are_ordinary_events() {
    for event in ["phx_close", "phx_reply", "phx_error"] {
        after("room:095", event, json!({})).expect(crashed("1", "room:095"));
    }
}

#[test]
fn check_096_a_crash_leaves_other_channels_untouched() {
    let mut client = Client::joined("room:096");
    client.join("2", "room:096-other");
    client.push("3", "room:096", "crash", json!({}));
    client.expect(crashed("1", "room:096"));
    client.send(json!(["2", "4", "room:096-other", "echo", {"a": 1}]));
    client.expect(ok("2", "4", "room:096-other", json!({"a": 1})));
}

#[test]
fn check_097_a_hundred_messages_at_once_are_answered_in_order() {
    let mut client = Client::joined("room:097");
    client.send_together((0..100).map(|n| json!(["1", n.to_string(), "room:097", "echo", {"n": n}])));
    for n in 0..100 {
        client.expect(ok("1", n.to_string(), "room:097", json!({"n": n})));
    }
}

#[test]
fn check_098_unicode_comes_back_equal() {
    let topic = "room:é🚀098";
    let mut client = after(topic, "echo", json!({"é": "🚀\u{2028}"}));
    client.expect(ok("1", "2", topic, json!({"é": "🚀\u{2028}"})));
    // The same, written with escapes.
    client.send_text(r#"["1","3","room:\u00e9\ud83d\ude80098","echo",{"a":"\ud83d\ude80"}]"#);
    client.expect(ok("1", "3", topic, json!({"a": "🚀"})));
}
