//! What clients see of the channels of the example.

use bennu::prelude::*;
use bennu_testkit::{
    AllowAs, TestChannel, TestSocket, assert_broadcast, assert_push, assert_reply, connect, refute_push,
    refute_reply,
};
use serde_json::{Value, json};

use crate::channels::{LobbyChannel, RoomChannel, RoomOut};

fn endpoint() -> Endpoint {
    let room = Channels::new().channel::<Typed<RoomChannel>>("room:*");
    endpoint_of(room.channel::<Typed<LobbyChannel>>("lobby"))
}

fn endpoint_of(channels: Channels<Presence>) -> Endpoint {
    let pubsub = PubSub::local();
    let presence = Presence::new(pubsub.clone());
    Endpoint::builder(pubsub)
        .socket("/socket", AllowAs::new(move || presence.clone()), channels, SocketOptions::default())
        .build()
        .unwrap()
}

async fn socket() -> TestSocket {
    connect(&endpoint(), "/socket", json!({})).await.unwrap()
}

async fn room() -> TestChannel {
    let (_, room) = socket().await.subscribe_and_join("room:1", json!({"name": "ada"})).await.unwrap();
    room
}

#[tokio::test(start_paused = true)]
async fn an_event_reaches_its_handler_as_its_type_and_is_answered_with_its_reply() {
    let room = room().await;
    let payload = json!({"body": "hello", "attachments": [{"kind": "link", "url": "https://example.com"}]});
    let reference = room.push("message:new", payload);
    assert_eq!(assert_reply!(room, reference, "ok").json(), &json!({"id": 1}));
    let broadcast = assert_broadcast!(room, "message:new", {"id": 1, "body": "hello", "author": "ada"});
    assert_eq!(
        broadcast["attachments"],
        json!([{"kind": "link", "url": "https://example.com", "title": ""}])
    );
    assert_eq!(broadcast["reply_to"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_payload_is_answered_with_the_field_and_the_channel_lives() {
    let room = room().await;
    for (event, payload, path, error) in [
        ("message:new", json!({}), "body", "is missing"),
        ("message:new", json!({"body": 7}), "body", "invalid type: integer `7`, expected a string"),
        (
            "stroke:add",
            json!({"line": {"points": [{"x": 1, "y": 2}, {"x": 1}], "colour": "red"}}),
            "line.points[1].y",
            "is missing",
        ),
        ("member:kick", json!({"reason": "spam"}), "name", "is missing"),
        ("picture:send", json!({"png": ""}), ".", "expected binary, got JSON"),
        ("message:new", json!({"body": ""}), "body", "is empty"),
        ("member:rename", json!({"name": ""}), "name", "is empty"),
    ] {
        let reference = room.push(event, payload.clone());
        let response = assert_reply!(room, reference, "error");
        let expected = json!({"reason": "invalid payload", "errors": {path: [error]}});
        assert_eq!(response.json(), &expected, "{event} {payload}");
    }
    let reference = room.push("message:new", Payload::binary(vec![1]));
    assert_reply!(room, reference, "error", {"errors": {".": ["expected JSON, got binary"]}});
    let reference = room.push("message:new", json!({"body": "still here"}));
    assert_reply!(room, reference, "ok");
}

#[tokio::test(start_paused = true)]
async fn join_params_are_typed_and_their_wrong_field_is_named() {
    let socket = socket().await;
    let (response, _) = socket.join("room:1", json!({"name": "ada", "history": 3})).await.unwrap();
    assert_eq!(response["members"], json!({"ada": {"role": "owner", "account_id": 1}}));
    for (topic, params, expected) in [
        ("room:2", json!({}), json!({"reason": "invalid payload", "errors": {"name": ["is missing"]}})),
        (
            "room:2",
            json!({"name": "bob", "history": "all"}),
            json!({
                "reason": "invalid payload",
                "errors": {"history": ["invalid type: string \"all\", expected u32"]},
            }),
        ),
        (
            "room:2",
            json!({"name": "bob", "history": 101}),
            json!({"reason": "invalid payload", "errors": {"history": ["is more than 100"]}}),
        ),
        ("room:private", json!({"name": "bob"}), json!({"reason": "unauthorized"})),
    ] {
        let refused = socket.join(topic, params).await.unwrap_err();
        assert_eq!(refused.response.json(), &expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_typed_channel_recovers_as_any_other() {
    let history = History::last(10).events(["message:new"]);
    let channels = Channels::new().channel::<Typed<RoomChannel>>("room:*").history(history);
    let endpoint = endpoint_of(channels);
    let connect = || async { connect(&endpoint, "/socket", json!({})).await.unwrap() };
    let socket = connect().await;
    let (joined, room) = socket.join("room:1", json!({"name": "ada"})).await.unwrap();
    assert_eq!((&joined["offset"], &joined["members"]["ada"]["role"]), (&json!(0), &json!("owner")));
    room.push("message:new", json!({"body": "seen"}));
    assert_push!(room, "message:new", {"body": "seen", "phx_offset": 1});
    socket.cut().await;

    let (_, other) = connect().await.join("room:1", json!({"name": "bob"})).await.unwrap();
    other.push("message:new", json!({"body": "missed"}));
    assert_push!(other, "message:new");
    let params = json!({"name": "ada", "recover": {"epoch": joined["epoch"], "offset": 1}});
    let (joined, room) = connect().await.join("room:1", params).await.unwrap();
    assert_eq!((&joined["recovered"], &joined["offset"]), (&json!(true), &json!(1)));
    assert_push!(room, "message:new", {"body": "missed", "phx_offset": 2});
    refute_push!(room, "message:new");
}

#[tokio::test(start_paused = true)]
async fn an_event_without_payload_takes_any_and_has_no_reply() {
    let room = room().await;
    let (_, other) = room.socket().join("room:other", json!({"name": "bob"})).await.unwrap();
    for payload in [json!({}), json!({"at": "keyboard"}), json!(null)] {
        let reference = other.push("typing:start", payload);
        refute_reply!(other, reference);
    }
    let reference = room.push("typing:start", Payload::binary(vec![1]));
    refute_reply!(room, reference);
    assert_broadcast!(room, "typing:start", {"name": "ada"});
    refute_push!(room, "typing:start");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_a_payload_of_their_own() {
    let room = room().await;
    let reference = room.push("picture:send", Payload::binary(vec![1, 2, 3]));
    assert_reply!(room, reference, "ok", b"\x01\x02\x03");
    assert_broadcast!(room, "picture:new", b"\x01\x02\x03");
}

#[tokio::test(start_paused = true)]
async fn a_reply_can_be_empty_and_an_error_can_have_its_own_type() {
    let room = room().await;
    let reference = room.push("stroke:add", json!({"clear": {}}));
    assert_eq!(assert_reply!(room, reference, "ok").json(), &json!({}));
    let reference = room.push("member:rename", json!({"name": "admin"}));
    assert_eq!(assert_reply!(room, reference, "error").json(), &json!({"suggestions": ["admin2"]}));
    let reference = room.push("member:rename", json!({"name": "bob"}));
    assert_reply!(room, reference, "ok");
}

#[tokio::test(start_paused = true)]
async fn an_event_of_named_members_is_an_object_and_a_handler_can_end_the_channel() {
    let room = room().await;
    room.push("member:kick", json!({"name": "somebody else"}));
    refute_push!(room, "room:closing");
    room.push("member:kick", json!({"name": "ada", "reason": "spam"}));
    assert_eq!(assert_push!(room, "room:closing").json(), &json!({}));
    assert_push!(room, "phx_error");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_event_crashes_the_channel_as_in_an_untyped_one() {
    let room = room().await;
    room.push("nobody-knows", json!({}));
    assert_push!(room, "phx_error");
    let (_, lobby) = room.socket().join("lobby", json!({})).await.unwrap();
    lobby.push("anything", json!({}));
    assert_push!(lobby, "phx_error");
}

#[tokio::test(start_paused = true)]
async fn after_join_pushes_typed_events() {
    let (response, lobby) = socket().await.join("lobby", json!({"ignored": true})).await.unwrap();
    assert_eq!(response.json(), &json!({}));
    assert_eq!(assert_push!(lobby, "rooms").json(), &json!({"kitchen": 2}));
}

#[tokio::test(start_paused = true)]
async fn the_events_of_presence_are_typed_too() {
    let room = room().await;
    let state = assert_push!(room, "presence_state");
    assert_eq!(state["ada"]["metas"][0]["online_at"], 1_790_000_000);
    assert_push!(room, "presence_diff", {"joins": {"ada": {"metas": [{"online_at": 1_790_000_000}]}}});
}

#[tokio::test(start_paused = true)]
async fn a_typed_event_can_be_broadcast_from_anywhere() {
    let endpoint = endpoint();
    let socket = connect(&endpoint, "/socket", json!({})).await.unwrap();
    let (_, room) = socket.join("room:1", json!({"name": "ada"})).await.unwrap();
    RoomOut::Typing { name: "the house".to_owned() }.broadcast(&endpoint, "room:1").unwrap();
    assert_eq!(assert_push!(room, "typing:start").json(), &json!({"name": "the house"}));
}
