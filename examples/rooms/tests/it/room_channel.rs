//! A room: the tutorial's own two tests, and the rest of what it promises.

use std::time::Duration;

use bennu_testkit::{
    assert_broadcast, assert_push, assert_reply, refute_broadcast, refute_push, refute_reply,
};
use rooms::digest;
use serde_json::{Value, json};

use crate::site::{ADA, ALAN, COMPILERS, GRACE, LOBBY, client, in_room, site};

#[tokio::test(start_paused = true)]
async fn sends_message_and_broadcasts() {
    let endpoint = site().endpoint;
    let socket = client(&endpoint, ADA).await;
    let (_, room) = socket.subscribe_and_join(LOBBY, json!({})).await.unwrap();
    let reference = room.push("message:new", json!({"body": "hello"}));
    assert_reply!(room, reference, "ok");
    assert_broadcast!(room, "message:new", {"body": "hello"});
}

#[tokio::test(start_paused = true)]
async fn rejects_unauthorized_join() {
    let endpoint = site().endpoint;
    let socket = client(&endpoint, ALAN).await;
    for topic in [COMPILERS, "room:99", "room:", "room:1x", "room:-1"] {
        let refused = socket.subscribe_and_join(topic, json!({})).await.unwrap_err();
        assert_eq!(refused.response, json!({"reason": "unauthorized"}), "{topic}");
    }
    assert!(socket.join(LOBBY, json!({})).await.is_ok(), "the connection lives");
}

#[tokio::test(start_paused = true)]
async fn a_message_reaches_all_with_its_four_members_and_then_the_reply() {
    let endpoint = site().endpoint;
    let (ada, grace) = (in_room(&endpoint, ADA, LOBBY).await, in_room(&endpoint, GRACE, LOBBY).await);
    let reference = ada.push("message:new", json!({"body": " hello ", "user_id": 3}));
    let message = assert_push!(ada, "message:new");
    assert_reply!(ada, reference, "ok");
    assert_eq!(assert_push!(grace, "message:new"), message);
    let time = message["inserted_at"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{time}");
    let expected = json!({"id": 1, "body": "hello", "user_id": ADA, "inserted_at": time});
    let mut without_position = message.json().clone();
    without_position.as_object_mut().unwrap().remove("phx_offset");
    assert_eq!(without_position, expected);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_said_is_answered_with_the_fields_errors() {
    let endpoint = site().endpoint;
    let room = in_room(&endpoint, ADA, LOBBY).await;
    for (payload, error) in [
        (json!({"body": "  "}), "can't be blank"),
        (json!({}), "can't be blank"),
        (json!({"body": 7}), "is invalid"),
        (json!({"body": "x".repeat(2_001)}), "should be at most 2000 character(s)"),
    ] {
        let reference = room.push("message:new", &payload);
        let response = assert_reply!(room, reference, "error");
        assert_eq!(response, json!({"errors": {"body": [error]}}), "{payload}");
    }
    refute_broadcast!(room, "message:new");
}

#[tokio::test(start_paused = true)]
async fn typing_is_told_to_all_but_the_sender_and_not_answered() {
    let endpoint = site().endpoint;
    let (ada, grace) = (in_room(&endpoint, ADA, LOBBY).await, in_room(&endpoint, GRACE, LOBBY).await);
    let reference = ada.push("typing:start", json!({}));
    assert_eq!(assert_push!(grace, "typing:start"), json!({"user_id": ADA}));
    refute_push!(ada, "typing:start");
    refute_reply!(ada, reference);
}

#[tokio::test(start_paused = true)]
async fn who_comes_in_is_shown_the_last_fifty_messages() {
    let site = site();
    for number in 1..=60 {
        site.chat.create_message(1, GRACE, &json!(number.to_string())).unwrap();
    }
    let socket = client(&site.endpoint, ADA).await;
    let (_, room) = socket.join(LOBBY, json!({})).await.unwrap();
    let history = assert_push!(room, "messages:history");
    let bodies: Vec<&Value> =
        history["messages"].as_array().unwrap().iter().map(|message| &message["body"]).collect();
    assert_eq!(bodies.len(), 50);
    assert_eq!((bodies[0], bodies[49]), (&json!("11"), &json!("60")));
    let newest = json!(site.chat.recent_messages(1, 1)[0]);
    assert_eq!(history["messages"][49], newest);
}

#[tokio::test(start_paused = true)]
async fn the_system_speaks_in_a_room_from_anywhere() {
    let site = site();
    let (lobby, other) =
        (in_room(&site.endpoint, ADA, LOBBY).await, in_room(&site.endpoint, GRACE, COMPILERS).await);
    let message = json!({"body": "System notification", "system": true});
    site.endpoint.broadcast("room:1", "message:new", &message).unwrap();
    assert_push!(lobby, "message:new", message);
    refute_push!(other, "message:new");
}

#[tokio::test(start_paused = true)]
async fn a_background_task_tells_each_room_what_it_had_and_nothing_of_the_others() {
    let site = site();
    let (lobby, other) =
        (in_room(&site.endpoint, ADA, LOBBY).await, in_room(&site.endpoint, GRACE, COMPILERS).await);
    let hour = Duration::from_secs(3_600);
    let task = tokio::spawn(digest::run(site.endpoint.clone(), site.chat.clone(), hour));
    for body in ["one", "two"] {
        lobby.push("message:new", json!({ "body": body }));
        assert_push!(lobby, "message:new", { "body": body });
    }
    let digest = assert_push!(lobby.within(2 * hour), "message:new", {"system": true});
    assert_eq!(digest["body"], "2 new message(s) since the last digest");
    refute_push!(lobby.within(2 * hour), "message:new");
    refute_push!(other, "message:new");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_event_crashes_the_channel_and_the_client_comes_back() {
    let endpoint = site().endpoint;
    let room = in_room(&endpoint, ADA, LOBBY).await;
    room.push("message:delete", json!({"id": 1}));
    assert_push!(room, "phx_error");
    assert!(room.socket().join(LOBBY, json!({})).await.is_ok());
}
