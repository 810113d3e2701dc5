//! The admin endpoints, over the network; that other machines may not use them is tested in the binary.

use serde_json::json;

use crate::client::{Client, admin, broadcast};
use crate::server::checklist;
use crate::wire::{get, request};

#[test]
fn a_broadcast_without_subscribers_is_fine() {
    let body = json!({"topic": "room:nobody", "event": "msg", "payload": {}});
    assert!(admin(checklist(), "/admin/broadcast", body));
}

#[test]
fn a_broadcast_that_a_subscriber_cannot_get_is_an_error() {
    let mut client = Client::joined("room:admin1");
    let body = json!({"topic": "room:admin1", "event": "msg", "payload": "text"});
    assert!(!admin(checklist(), "/admin/broadcast", body));
    let body = json!({"topic": "room:admin1", "event": "msg", "payload": {"a": 1}});
    assert!(admin(checklist(), "/admin/broadcast", body));
    client.expect(broadcast("room:admin1", "msg", json!({"a": 1})));
}

#[test]
fn disconnecting_nobody_is_fine() {
    assert!(admin(checklist(), "/admin/disconnect", json!({"id": "u:nobody"})));
}

#[test]
fn a_page_in_a_browser_cannot_use_them() {
    // A form can post plain text to any site without asking; JSON it cannot.
    let headers = [("Content-Type", "text/plain")];
    let body = r#"{"id":"u:1"}"#;
    assert_eq!(request(checklist(), "POST", "/admin/disconnect", &headers, body).status, 415);
    assert_eq!(get(checklist(), "/admin/disconnect").status, 405);
}
