//! What concerns one user.

use bennu_testkit::{assert_push, refute_push};
use serde_json::json;

use crate::site::{ADA, COMPILERS, GRACE, LOBBY, client, in_room, site};

#[tokio::test(start_paused = true)]
async fn notifications_are_for_their_user_alone() {
    let ada = client(&site().endpoint, ADA).await;
    assert!(ada.join("notifications:1", json!({})).await.is_ok());
    for topic in ["notifications:2", "notifications:01", "notifications:"] {
        let refused = ada.join(topic, json!({})).await.unwrap_err();
        assert_eq!(refused.response, json!({"reason": "unauthorized"}), "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mention_is_told_wherever_the_user_is_and_says_where() {
    let endpoint = site().endpoint;
    let grace = in_room(&endpoint, GRACE, LOBBY).await;
    let (_, notifications) = grace.socket().join("notifications:2", json!({})).await.unwrap();
    let ada = in_room(&endpoint, ADA, COMPILERS).await;
    ada.push("message:new", json!({"body": "what says @grace?"}));
    let mention = assert_push!(notifications, "mention");
    assert_eq!(mention, json!({"room_id": 2, "message_id": 1, "user_id": ADA}));
    ada.push("message:new", json!({"body": "grace?"}));
    refute_push!(notifications, "mention");
}
