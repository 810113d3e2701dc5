//! Who connects.

use std::time::{Duration, SystemTime};

use bennu::token::SignOptions;
use bennu_testkit::{assert_closed, connect, refute_closed};
use serde_json::{Value, json};

use crate::site::{ADA, GRACE, LOBBY, client, connecting, site, token};

const DAY: u64 = 86_400;

#[tokio::test(start_paused = true)]
async fn only_a_good_token_connects() {
    let endpoint = site().endpoint;
    let tokens = endpoint.tokens();
    let signed_ago = |seconds| {
        let options = SignOptions::new().signed_at(SystemTime::now() - Duration::from_secs(seconds));
        let options = options.max_age(Duration::from_secs(10 * DAY));
        json!(tokens.sign_with("user socket", &ADA, &options).unwrap())
    };
    let good = token(&endpoint, ADA);
    // Of one user, with the signature of another.
    let (signature, others) = (good.rsplit_once('.').unwrap().1, token(&endpoint, GRACE));
    let tampered = format!("{}.{signature}", others.rsplit_once('.').unwrap().0);
    let elsewhere = token(&site().endpoint, ADA);
    for (name, token, connects) in [
        ("good", json!(good), true),
        ("almost a day old", signed_ago(DAY - 60), true),
        ("a day old", signed_ago(DAY + 1), false),
        ("tampered", json!(tampered), false),
        ("of another salt", json!(tokens.sign("admin", &ADA).unwrap()), false),
        ("of another site", json!(elsewhere), false),
        ("with other data", json!(tokens.sign("user socket", "ada").unwrap()), false),
        ("a list", json!([good]), false),
        ("no token", json!(""), false),
    ] {
        let connected = connect(&endpoint, "/socket", json!({ "token": token })).await;
        assert_eq!(connected.is_ok(), connects, "{name}");
    }
    let refused = connect(&endpoint, "/socket", json!({})).await.unwrap_err();
    assert_eq!(refused.status().unwrap(), 403);
}

#[tokio::test(start_paused = true)]
async fn topics_lead_to_their_channels_by_prefix() {
    let endpoint = site().endpoint;
    let ada = client(&endpoint, ADA).await;
    assert!(ada.join(LOBBY, json!({})).await.is_ok());
    assert!(ada.join("notifications:1", json!({})).await.is_ok());
    for topic in ["rooms:1", "room", "notifications", "phoenix", "user_socket:1"] {
        let refused = ada.join(topic, json!({})).await.unwrap_err();
        assert_eq!(refused.response, json!({"reason": "unmatched topic"}), "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_connections_are_closed_by_their_id_and_others_stay() {
    let endpoint = site().endpoint;
    let (web, phone) = (client(&endpoint, ADA).await, client(&endpoint, ADA).await);
    let grace = client(&endpoint, GRACE).await;
    endpoint.disconnect("user_socket:1");
    assert_closed!(web, 1001);
    assert_closed!(phone, 1001);
    refute_closed!(grace);
    assert!(connecting(&endpoint, ADA).await.is_ok(), "disconnected is not locked out");
}

#[tokio::test(start_paused = true)]
async fn a_device_has_a_short_name_or_is_a_web_page() {
    let endpoint = site().endpoint;
    for (device, expected) in
        [(json!("phone"), "phone"), (json!(null), ""), (json!("x".repeat(33)), "web"), (json!(["a"]), "web")]
    {
        let params = json!({ "token": token(&endpoint, ADA), "device": device });
        let socket = connect(&endpoint, "/socket", params).await.unwrap();
        let (_, room) = socket.join(LOBBY, json!({})).await.unwrap();
        let is_it = move |state: Value| state["1"]["metas"][0]["device"] == expected;
        bennu_testkit::assert_push!(room, "presence_state", is_it);
        socket.close().await;
    }
}
