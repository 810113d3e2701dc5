//! Rooms, as their clients see them. There is no network in here, and no waiting.

use bennu_testkit::{ConnectError, TestSocket, assert_broadcast, assert_push, assert_reply, connect};
use serde_json::json;

async fn ann() -> anyhow::Result<TestSocket> {
    let endpoint = starter::endpoint()?;
    Ok(connect(&endpoint, "/socket", json!({ "name": "ann" })).await?)
}

#[tokio::test(start_paused = true)]
async fn nobody_connects_without_a_name() -> anyhow::Result<()> {
    let endpoint = starter::endpoint()?;
    let refused = connect(&endpoint, "/socket", json!({})).await;
    assert!(matches!(refused, Err(ConnectError::Refused(_))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_said_reaches_the_room() -> anyhow::Result<()> {
    let (_, room) = ann().await?.subscribe_and_join("room:lobby", json!({})).await?;
    let reference = room.push("message:new", json!({ "body": "hello" }));
    assert_reply!(room, reference, "ok");
    assert_broadcast!(room, "message:new", { "from": "ann", "body": "hello" });
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_body_is_refused() -> anyhow::Result<()> {
    let (_, room) = ann().await?.subscribe_and_join("room:lobby", json!({})).await?;
    let reference = room.push("message:new", json!({}));
    assert_reply!(room, reference, "error");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_sees_who_is_there() -> anyhow::Result<()> {
    let (_, room) = ann().await?.subscribe_and_join("room:lobby", json!({})).await?;
    let present = assert_push!(room, "presence_state");
    assert!(present["ann"]["metas"].is_array());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_private_room_lets_nobody_in() -> anyhow::Result<()> {
    let refused = ann().await?.join("room:private", json!({})).await.unwrap_err();
    assert_eq!(refused.response, json!({ "reason": "unauthorized" }));
    Ok(())
}
