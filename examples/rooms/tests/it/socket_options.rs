//! The tutorial's socket options, all in one place; `compress` is issue 4.

use std::time::Duration;

use bennu::token::SecretKeyBase;
use bennu_testkit::{assert_closed, connect, refute_closed};
use rooms::{Chat, Pages, endpoint};
use serde_json::json;

use crate::site::{ADA, connecting, site, token};

#[tokio::test(start_paused = true)]
async fn the_options_are_those_of_the_tutorial() {
    let endpoint = site().endpoint;

    // timeout: 45_000
    let silent = connecting(&endpoint, ADA).without_heartbeat().await.unwrap();
    tokio::time::sleep(Duration::from_millis(44_800)).await;
    refute_closed!(silent);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_closed!(silent, 1002);

    // check_origin: ["//myapp.com", "//www.myapp.com"]
    for (origin, connects) in [
        (Some("https://myapp.com"), true),
        (Some("http://www.myapp.com:4000"), true),
        (None, true),
        (Some("https://chat.myapp.com"), false),
        (Some("https://myapp.com.evil.example"), false),
        (Some("http://localhost"), false),
        (Some("null"), false),
    ] {
        let client = connecting(&endpoint, ADA);
        let client = origin.map_or(client.clone(), |origin| client.header("origin", origin));
        let status = client.await.err().map(|error| error.status().unwrap().as_u16());
        assert_eq!(status, (!connects).then_some(403), "{origin:?}");
    }

    // longpoll: false
    assert!(endpoint.route("/socket/websocket").is_some());
    assert!(endpoint.route("/socket/longpoll").is_none());
}

#[tokio::test(start_paused = true)]
async fn pages_of_this_machine_connect_in_development() {
    let local = endpoint(&Chat::sample(), SecretKeyBase::random(), Pages::SiteAndLocal).unwrap();
    for (origin, connects) in [
        ("http://localhost:4002", true),
        ("http://127.0.0.1:4002", true),
        ("https://myapp.com", true),
        ("https://evil.example", false),
    ] {
        let params = json!({ "token": token(&local, ADA) });
        let connected = connect(&local, "/socket", params).header("origin", origin).await;
        assert_eq!(connected.is_ok(), connects, "{origin}");
    }
}
