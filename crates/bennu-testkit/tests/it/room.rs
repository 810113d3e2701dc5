//! The application under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bennu::prelude::*;
use bennu::{Bytes, http};
use bennu_testkit::{TestChannel, connect};
use serde_json::{Value, json};

/// Set by the channel's `terminate`.
pub(crate) type Ended = Arc<AtomicBool>;

pub(crate) struct UserSocket(pub(crate) Ended);

pub(crate) struct User {
    ended: Ended,
    info: Value,
}

impl Socket for UserSocket {
    type Assigns = User;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<User>, Refusal> {
        let user = match request.params().text("user") {
            None => return Err(Refusal::Unauthorized),
            Some("late") => return Err(Refusal::reason("too late")),
            Some(user) => user,
        };
        let info = json!({
            "params": request.params().iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
            "x": request.x_headers().map(|(name, value)| json!([name, String::from_utf8_lossy(value)])).collect::<Vec<_>>(),
            "cookies": request.headers().get_all("cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect::<Vec<_>>(),
            "user_agent": request.user_agent(),
            "peer": request.peer().map(|peer| peer.to_string()),
            "auth_token": request.auth_token(),
            "vsn": request.vsn(),
        });
        Ok(Connected::new(User { ended: self.0.clone(), info }).with_id(format!("user:{user}")))
    }
}

pub(crate) struct Room;

impl Channel for Room {
    type Assigns = User;

    const INTERCEPT: &'static [&'static str] = &["secret"];

    async fn join(request: JoinRequest<User>) -> Result<Joined<Self>, JoinRefusal> {
        match request.rest() {
            "closed" => Err(JoinRefusal::with(json!({"reason": "closed", "until": 7}))),
            "info" => Joined::with_response(Room, &request.assigns().info),
            "never" => std::future::pending().await,
            _ => Ok(Joined::new(Room)),
        }
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<User>) -> HandlerResult {
        match event {
            "echo" => Handled::reply(payload),
            "refuse" => Handled::error(json!({"errors": {"body": ["is empty"]}})),
            "push" => {
                cx.push("pushed", payload)?;
                Handled::no_reply()
            }
            "broadcast" => {
                cx.broadcast("said", payload)?;
                Handled::ok()
            }
            "broadcast secret" => {
                cx.broadcast("secret", payload)?;
                Handled::ok()
            }
            "broadcast_from" => {
                cx.broadcast_from("said", payload)?;
                Handled::ok()
            }
            "slow" => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                Handled::ok()
            }
            "stop" => Handled::stop(StopReason::Normal),
            _ => Handled::unknown_event(event),
        }
    }

    async fn handle_out(&mut self, _: &str, _: Payload, _: &mut Context<User>) -> HandlerResult {
        Handled::no_reply()
    }

    async fn terminate(&mut self, _: &TerminateReason, cx: &mut Context<User>) {
        cx.assigns().ended.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn endpoint() -> Endpoint {
    endpoint_with(Ended::default())
}

pub(crate) fn endpoint_with(ended: Ended) -> Endpoint {
    let answer = |reason: &str| {
        http::Response::builder().status(429).body(Bytes::copy_from_slice(reason.as_bytes())).unwrap()
    };
    let options = SocketOptions::default().auth_token(true).error_handler(answer);
    let channels = Channels::new().channel::<Room>("room:*");
    Endpoint::builder(PubSub::local())
        .socket("/socket", UserSocket(ended), channels, options)
        .build()
        .unwrap()
}

/// A client in `room:1`, listening to it.
pub(crate) async fn joined() -> (Endpoint, TestChannel) {
    let endpoint = endpoint();
    let socket = connect(&endpoint, "/socket", json!({"user": "ada"})).await.unwrap();
    let (_, room) = socket.subscribe_and_join("room:1", json!({})).await.unwrap();
    (endpoint, room)
}
