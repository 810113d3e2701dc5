//! What someone missed whose connection was lost.

use bennu_testkit::{assert_push, refute_push};
use serde_json::json;

use crate::site::{ADA, GRACE, LOBBY, client, in_room, site};

#[tokio::test(start_paused = true)]
async fn who_comes_back_gets_what_was_missed_instead_of_the_history() {
    let endpoint = site().endpoint;
    let grace = in_room(&endpoint, GRACE, LOBBY).await;
    let say = async |body: &str| {
        grace.push("message:new", json!({ "body": body }));
        assert_push!(grace, "message:new", { "body": body })
    };
    let socket = client(&endpoint, ADA).await;
    let (position, room) = socket.join(LOBBY, json!({})).await.unwrap();
    assert_push!(room, "messages:history");
    let heard = say("before").await;
    assert_push!(room, "message:new", {"body": "before"});
    socket.cut().await;
    say("one").await;
    grace.push("typing:start", json!({}));
    say("two").await;

    let recover = json!({"recover": {"epoch": position["epoch"], "offset": heard["phx_offset"]}});
    let (response, room) = client(&endpoint, ADA).await.join(LOBBY, recover).await.unwrap();
    assert_eq!(response["recovered"], true);
    for body in ["one", "two"] {
        assert_push!(room, "message:new", { "body": body });
    }
    assert_push!(room, "presence_state");
    refute_push!(room, "message:new");
    refute_push!(room, "typing:start");
    refute_push!(room, "messages:history");
}

#[tokio::test(start_paused = true)]
async fn who_was_away_for_too_long_gets_the_history_again() {
    let endpoint = site().endpoint;
    let socket = client(&endpoint, ADA).await;
    let (position, _) = socket.join(LOBBY, json!({})).await.unwrap();
    socket.cut().await;
    let grace = in_room(&endpoint, GRACE, LOBBY).await;
    for number in 1..=101 {
        grace.push("message:new", json!({ "body": number.to_string() }));
    }
    assert_push!(grace, "message:new", {"body": "101"});
    let recover = json!({"recover": {"epoch": position["epoch"], "offset": position["offset"]}});
    let (response, room) = client(&endpoint, ADA).await.join(LOBBY, recover).await.unwrap();
    assert_eq!(response["recovered"], false);
    let history = assert_push!(room, "messages:history");
    assert_eq!(history["messages"][49]["body"], "101");
    refute_push!(room, "message:new");
}
