//! Who is here, with which devices.

use std::time::SystemTime;

use bennu_testkit::{assert_push, connect};
use serde_json::json;

use crate::site::{ADA, GRACE, LOBBY, client, in_room, site, token};

#[tokio::test(start_paused = true)]
async fn the_state_has_times_devices_and_names() {
    let endpoint = site().endpoint;
    let socket = client(&endpoint, ADA).await;
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let (_, room) = socket.join(LOBBY, json!({})).await.unwrap();
    let state =
        assert_push!(room, "presence_state", {"1": {"metas": [{"device": "web"}], "user": {"name": "Ada"}}});
    let online_at = state["1"]["metas"][0]["online_at"].as_u64().unwrap();
    assert!((before..before + 5).contains(&online_at), "{online_at} are seconds, about {before}");
    // The own arrival is a diff as well, after the state.
    assert_push!(room, "presence_diff", {"joins": {"1": {"user": {"name": "Ada"}}}, "leaves": {}});
}

#[tokio::test(start_paused = true)]
async fn devices_of_one_user_come_and_go_one_by_one() {
    let endpoint = site().endpoint;
    let grace = in_room(&endpoint, GRACE, LOBBY).await;
    let mut devices = Vec::new();
    for device in ["web", "phone"] {
        let params = json!({"token": token(&endpoint, ADA), "device": device});
        let socket = connect(&endpoint, "/socket", params).await.unwrap();
        let (_, room) = socket.join(LOBBY, json!({})).await.unwrap();
        assert_push!(grace, "presence_diff", {"joins": {"1": {"metas": [{ "device": device }]}}});
        devices.push((socket, room));
    }
    let (phone, room) = devices.pop().unwrap();
    assert_push!(room, "presence_state", {"1": {"metas": [{"device": "web"}, {"device": "phone"}]}, "2": {}});
    phone.cut().await;
    let left =
        assert_push!(grace, "presence_diff", {"joins": {}, "leaves": {"1": {"user": {"name": "Ada"}}}});
    assert_eq!(left["leaves"]["1"]["metas"].as_array().unwrap().len(), 1);
    assert_eq!(left["leaves"]["1"]["metas"][0]["device"], "phone");
}

#[tokio::test(start_paused = true)]
async fn attack_034_nobody_is_present_under_the_key_of_somebody_else() {
    let endpoint = site().endpoint;
    let watcher = in_room(&endpoint, GRACE, LOBBY).await;
    let claims = json!({"key": "2", "user": "2", "user_id": 2, "name": "Grace"});
    let params =
        json!({"token": token(&endpoint, ADA), "device": "web", "user_id": "2", "id": "user_socket:2"});
    let socket = connect(&endpoint, "/socket", params).await.unwrap();
    let (_, room) = socket.join(LOBBY, claims.clone()).await.unwrap();
    let diff =
        assert_push!(watcher, "presence_diff", {"joins": {"1": {"user": {"name": "Ada"}}}, "leaves": {}});
    assert_eq!(diff["joins"].as_object().unwrap().len(), 1, "{diff}");
    room.push("typing:start", claims);
    assert_push!(watcher, "typing:start", {"user_id": 1});
}
