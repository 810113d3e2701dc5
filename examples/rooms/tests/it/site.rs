//! A site of its own for each test, and its users.

use bennu::Endpoint;
use bennu::token::SecretKeyBase;
use bennu_testkit::{Connect, TestChannel, TestSocket, connect};
use rooms::web::Site;
use rooms::{Chat, Pages, endpoint};
use serde_json::json;

pub(crate) const ADA: u64 = 1;
pub(crate) const GRACE: u64 = 2;
pub(crate) const ALAN: u64 = 3;

/// Ada, Grace and Alan are in this room.
pub(crate) const LOBBY: &str = "room:1";
/// Ada and Grace are.
pub(crate) const COMPILERS: &str = "room:2";

pub(crate) fn site() -> Site {
    let chat = Chat::sample();
    let endpoint = endpoint(&chat, SecretKeyBase::random(), Pages::Site).unwrap();
    Site { chat, endpoint }
}

/// What the page gets at its login: `Phoenix.Token.sign(endpoint, "user socket", user.id)`.
pub(crate) fn token(endpoint: &Endpoint, user: u64) -> String {
    endpoint.tokens().sign("user socket", &user).unwrap()
}

pub(crate) fn connecting(endpoint: &Endpoint, user: u64) -> Connect {
    connect(endpoint, "/socket", json!({ "token": token(endpoint, user) }))
}

pub(crate) async fn client(endpoint: &Endpoint, user: u64) -> TestSocket {
    connecting(endpoint, user).await.unwrap()
}

/// A user in a room, whose own greeting is over.
pub(crate) async fn in_room(endpoint: &Endpoint, user: u64, topic: &str) -> TestChannel {
    let socket = client(endpoint, user).await;
    let (_, room) = socket.subscribe_and_join(topic, json!({})).await.unwrap();
    bennu_testkit::assert_push!(room, "presence_state");
    room
}
