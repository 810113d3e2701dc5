//! Which join refs reach a channel: the default rule and the strict one.

use std::net::SocketAddr;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::client::{Client, V2, ok};
use crate::server::{Server, checklist};

fn strict() -> SocketAddr {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("checklist", &["--strict-join-ref"])).address
}

/// Joins with `join_ref` and `reference`, then sends `echo` with `used` and tells whether it is answered.
fn reaches(address: SocketAddr, join_ref: &Value, reference: &Value, used: &Value) -> bool {
    let (mut client, topic) = (Client::connect_to(address, V2), "room:refs");
    client.send(json!([join_ref, reference, topic, "phx_join", {}]));
    client.expect(ok(join_ref.clone(), reference.clone(), topic, json!({})));
    client.send(json!([used, "e", topic, "echo", {}]));
    client.send(json!([null, "h", "phoenix", "heartbeat", {}]));
    let first = client.receive();
    if first[1] == "h" {
        return false;
    }
    let own = if join_ref.is_null() { reference } else { join_ref };
    assert_eq!(first, ok(own.clone(), "e", topic, json!({})));
    true
}

/// Join ref, ref, the join ref used afterwards, and whether each rule lets it through.
fn rows() -> Vec<(Value, Value, Value, bool, bool)> {
    vec![
        (json!("10"), json!("11"), json!("10"), true, true),
        (json!("10"), json!("11"), json!(null), true, true),
        (json!("10"), json!("11"), json!("11"), true, false),
        (json!(0), json!(2), json!(2), true, false),
        (json!(0), json!(2), json!("2"), false, false),
        (json!(0), json!(2), json!("0"), false, false),
        (json!(0), json!(2), json!(0), true, true),
        (json!(null), json!("7"), json!(null), true, true),
        (json!(null), json!("7"), json!("7"), true, false),
        (json!(null), json!("7"), json!(7), false, false),
        (json!("10"), json!(null), json!("10"), true, true),
        (json!("10"), json!("11"), json!(""), false, false),
        (json!("10"), json!("11"), json!(false), false, false),
    ]
}

#[test]
fn by_default_the_joins_join_ref_its_ref_and_null_reach_the_channel() {
    for (join_ref, reference, used, lenient, _) in rows() {
        let reached = reaches(checklist(), &join_ref, &reference, &used);
        assert_eq!(reached, lenient, "joined with {join_ref} and {reference}, then {used}");
    }
}

#[test]
fn under_the_strict_rule_only_the_joins_join_ref_and_null_reach_the_channel() {
    for (join_ref, reference, used, _, strictly) in rows() {
        let reached = reaches(strict(), &join_ref, &reference, &used);
        assert_eq!(reached, strictly, "joined with {join_ref} and {reference}, then {used}");
    }
}

#[test]
fn binary_join_refs_are_text() {
    let push = |join_ref: &str| {
        let mut frame = vec![0, join_ref.len() as u8, 1, 10, 4];
        frame.extend([join_ref, "e", "room:bref1", "echo"].concat().as_bytes());
        frame
    };
    for (join_ref, reference, used, reached) in [
        (json!("10"), json!("11"), "10", true),
        (json!("10"), json!("11"), "11", true),
        (json!(10), json!(11), "10", false),
        (json!("10"), json!("11"), "null", false),
    ] {
        let mut client = Client::connect(V2);
        client.send(json!([join_ref, reference, "room:bref1", "phx_join", {}]));
        client.receive();
        client.send_binary(&push(used));
        if reached {
            client.receive_binary();
        }
        client.expect_alive();
    }
}

#[test]
fn a_leave_follows_the_same_rule() {
    let mut client = Client::connect(V2);
    client.send(json!([0, 2, "room:refleave", "phx_join", {}]));
    client.expect(ok(0, 2, "room:refleave", json!({})));
    client.send(json!([2, 3, "room:refleave", "phx_leave", {}]));
    client.expect(ok(0, 3, "room:refleave", json!({})));
    client.expect(json!([0, 0, "room:refleave", "phx_close", {}]));
}
