//! Checks 132 to 136: presence on one node.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::client::{Client, V2, broadcast, closed, ok};
use crate::server::clients as clients_application;

/// Tracks or updates `key`, and returns the new `phx_ref` and the diff that this client gets,
/// whichever comes first.
fn track(client: &mut Client, topic: &str, event: &str, key: &str, meta: Value) -> (String, Value) {
    client.push("t", topic, event, json!({"key": key, "meta": meta}));
    let (first, second) = (client.receive(), client.receive());
    let (reply, diff) = if first[3] == "phx_reply" { (first, second) } else { (second, first) };
    let reference = reply[4]["response"]["ref"].as_str().unwrap_or_else(|| panic!("no ref in {reply}"));
    assert_eq!(reply, ok("1", "t", topic, json!({"ref": reference})));
    (reference.to_owned(), diff)
}

fn diff(topic: &str, joins: Value, leaves: Value) -> Value {
    broadcast(topic, "presence_diff", json!({"joins": joins, "leaves": leaves}))
}

fn list(client: &mut Client, topic: &str) -> Value {
    client.push("l", topic, "list", json!({}));
    let mut state = client.receive();
    let payload = state[4].take();
    assert_eq!(state, json!(["1", null, topic, "presence_state", null]));
    payload
}

#[test]
fn check_132_a_track_is_a_diff_for_all_subscribers() {
    let topic = "room:132";
    let (mut one, mut two) = (Client::joined(topic), Client::joined(topic));
    let (reference, seen) = track(&mut one, topic, "track", "u1", json!({"n": 1}));
    let joins = json!({"u1": {"metas": [{"n": 1, "phx_ref": reference}]}});
    assert_eq!(seen, diff(topic, joins.clone(), json!({})));
    two.expect(diff(topic, joins, json!({})));
}

#[test]
fn check_133_a_second_meta_of_a_key_is_a_diff_of_that_meta_alone() {
    let topic = "room:133";
    let (mut one, mut two) = (Client::joined(topic), Client::joined(topic));
    let (first, _) = track(&mut one, topic, "track", "u1", json!({"n": 1}));
    two.receive();
    let (second, seen) = track(&mut two, topic, "track", "u1", json!({"n": 2}));
    let joins = json!({"u1": {"metas": [{"n": 2, "phx_ref": second}]}});
    assert_eq!(seen, diff(topic, joins.clone(), json!({})));
    one.expect(diff(topic, joins, json!({})));
    let mut metas = list(&mut one, topic)["u1"]["metas"].take();
    let metas = metas.as_array_mut().expect("metas are a list");
    metas.sort_by_key(|meta| meta["n"].as_u64());
    assert_eq!(*metas, [json!({"n": 1, "phx_ref": first}), json!({"n": 2, "phx_ref": second})]);
}

#[test]
fn check_134_an_update_is_one_diff_of_a_join_and_a_leave() {
    let topic = "room:134";
    let mut client = Client::joined(topic);
    let (old, _) = track(&mut client, topic, "track", "u1", json!({"n": 1, "gone": true}));
    let (new, seen) = track(&mut client, topic, "update", "u1", json!({"n": 2}));
    assert_ne!(old, new);
    let joins = json!({"u1": {"metas": [{"n": 2, "phx_ref": new, "phx_ref_prev": old}]}});
    let leaves = json!({"u1": {"metas": [{"n": 1, "gone": true, "phx_ref": old}]}});
    assert_eq!(seen, diff(topic, joins.clone(), leaves));
    assert_eq!(list(&mut client, topic), joins);
}

#[test]
fn check_135_leaving_a_channel_is_a_diff_for_those_who_stay() {
    let topic = "room:135";
    let (mut leaving, mut staying) = (Client::joined(topic), Client::joined(topic));
    let (reference, _) = track(&mut leaving, topic, "track", "u1", json!({}));
    staying.receive();
    leaving.push("2", topic, "phx_leave", json!({}));
    leaving.expect(ok("1", "2", topic, json!({})));
    leaving.expect(closed("1", topic));
    let leaves = json!({"u1": {"metas": [{"phx_ref": reference}]}});
    staying.expect(diff(topic, json!({}), leaves));
}

#[test]
fn check_136_a_key_is_listed_until_its_last_meta_has_left() {
    let topic = "room:136";
    let (mut one, mut two) = (Client::joined(topic), Client::joined(topic));
    let mut watching = Client::joined(topic);
    let (first, _) = track(&mut one, topic, "track", "u1", json!({}));
    let (second, _) = {
        two.receive();
        track(&mut two, topic, "track", "u1", json!({}))
    };
    watching.receive();
    watching.receive();
    drop(one);
    watching.expect(diff(topic, json!({}), json!({"u1": {"metas": [{"phx_ref": first}]}})));
    assert_eq!(list(&mut watching, topic), json!({"u1": {"metas": [{"phx_ref": second}]}}));
    drop(two);
    watching.expect(diff(topic, json!({}), json!({"u1": {"metas": [{"phx_ref": second}]}})));
    assert_eq!(list(&mut watching, topic), json!({}));
}

#[test]
fn a_crash_is_a_leave_too() {
    let topic = "room:pcrash";
    let (mut crashing, mut staying) = (Client::joined(topic), Client::joined(topic));
    let (reference, _) = track(&mut crashing, topic, "track", "u1", json!({}));
    staying.receive();
    crashing.push("2", topic, "crash", json!({}));
    staying.expect(diff(topic, json!({}), json!({"u1": {"metas": [{"phx_ref": reference}]}})));
}

#[test]
fn a_phx_ref_has_sixteen_characters() {
    let topic = "room:prefs";
    let mut client = Client::joined(topic);
    let (reference, _) = track(&mut client, topic, "track", "u1", json!({}));
    assert_eq!(reference.len(), 16, "{reference}");
}

#[test]
fn a_joining_client_gets_the_state_before_any_diff() {
    let mut clients: Vec<Client> = Vec::new();
    for user in ["ada", "bob", "eve"] {
        let mut client = Client::connect_to(clients_application(), V2);
        client.send(json!(["1", "1", "room:state", "phx_join", {"user": user}]));
        client.expect(ok("1", "1", "room:state", json!({"joined": "room:state"})));
        let state = client.receive();
        assert_eq!((&state[3], &state[0]), (&json!("presence_state"), &json!("1")));
        assert!(state[4][user]["metas"][0]["online_at"].is_u64(), "{state}");
        clients.push(client);
        for client in &mut clients {
            let diff = client.receive();
            assert_eq!((&diff[3], diff[4]["joins"].get(user).is_some()), (&json!("presence_diff"), true));
        }
    }
}

/// The refs of a state, or of one side of a diff.
fn refs(presences: &Value) -> impl Iterator<Item = String> {
    let entries = presences.as_object().into_iter().flat_map(|keys| keys.values());
    let metas = entries.flat_map(|entry| entry["metas"].as_array().expect("metas are a list"));
    metas.map(|meta| meta["phx_ref"].as_str().expect("a ref is text").to_owned())
}

/// Joins, and takes in what is told until the server has answered a last question.
fn visit(topic: &str, user: &str) {
    let mut client = Client::connect_to(clients_application(), V2);
    client.send(json!(["1", "1", topic, "phx_join", {"user": user}]));
    client.expect(ok("1", "1", topic, json!({"joined": topic})));
    let state = client.receive();
    assert_eq!((&state[3], &state[0]), (&json!("presence_state"), &json!("1")));
    let mut seen: HashSet<String> = refs(&state[4]).collect();
    client.send(json!([null, "2", "phoenix", "heartbeat", {}]));
    loop {
        let message = client.receive();
        if message[3] == "phx_reply" {
            return;
        }
        assert_eq!(message[3], "presence_diff", "{message}");
        seen.extend(refs(&message[4]["joins"]));
        for left in refs(&message[4]["leaves"]) {
            assert!(seen.remove(&left), "{left} leaves unseen: {message}");
        }
    }
}

#[test]
fn no_client_that_joins_amid_others_is_told_of_the_leave_of_somebody_it_never_saw() {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            // A topic is told at once until it is busy, so there are several.
            scope.spawn(move || {
                (0..40).for_each(|round| {
                    visit(&format!("room:amid{}", round / 4), &format!("{thread}-{round}"))
                });
            });
        }
    });
}

#[test]
fn attack_033_a_key_that_javascript_objects_have_is_refused_and_does_not_crash_the_channel() {
    for user in ["__proto__", "constructor", "toString", "", &"k".repeat(1 << 20)] {
        let mut client = Client::connect_to(clients_application(), V2);
        client.send(json!(["1", "1", "room:keys", "phx_join", {"user": user}]));
        assert_eq!(client.receive()[4]["response"], json!({"reason": "invalid presence key"}), "{user}");
    }
    let mut client = Client::joined("room:keys");
    client.push("2", "room:keys", "track", json!({"key": "__proto__", "meta": {}}));
    assert_eq!(client.receive()[4]["status"], "error");
    client.push("3", "room:keys", "echo", json!({}));
    client.expect(ok("1", "3", "room:keys", json!({})));
}
