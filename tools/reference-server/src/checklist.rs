//! The application of section 18.0 of the channels specification.

use std::time::Duration;

use bennu::prelude::*;
use bennu::{CheckOrigin, Compression, LongPollOptions, Params};
use http::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::options::Options;

pub(crate) fn endpoint(pubsub: PubSub, presence: Presence, options: &Options) -> anyhow::Result<Endpoint> {
    let origin = CheckOrigin::list(["//example.com"])?;
    let socket = || ChecklistSocket { presence: presence.clone() };
    let polling = LongPollOptions::new().window(Duration::from_secs(1));
    let plain =
        options.socket().check_origin(origin.clone()).error_handler(too_many_requests).longpoll(polling);
    let auth = plain.clone().auth_token(true);
    let idle = plain.clone().timeout(Duration::from_millis(500)).compression(Compression::default());
    let endpoint = options
        .endpoint(pubsub)?
        .socket("/socket", socket(), channels(), plain)
        .socket("/auth", socket(), channels(), auth)
        .socket("/idle/:pid", socket(), channels(), idle)
        .build();
    Ok(endpoint?)
}

fn channels() -> Channels<Connection> {
    Channels::new().channel::<RoomChannel>("room:*").channel::<ExactChannel>("exact")
}

fn too_many_requests(reason: &str) -> Response<axum::body::Bytes> {
    let mut response = Response::new(format!("custom {reason}").into());
    *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
    response
}

struct ChecklistSocket {
    presence: Presence,
}

/// What the event `info` tells, and the presence.
#[derive(Serialize)]
struct Connection {
    params: Params,
    auth_token: Option<String>,
    transport: String,
    vsn: String,
    #[serde(skip)]
    presence: Presence,
}

impl Socket for ChecklistSocket {
    type Assigns = Connection;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<Connection>, Refusal> {
        let params = request.params();
        if params.text("reject") == Some("1") {
            return Err(Refusal::Unauthorized);
        }
        if let Some(reason) = params.text("reason") {
            return Err(Refusal::reason(reason));
        }
        let connected = Connected::new(Connection {
            params: params.clone(),
            auth_token: request.auth_token().map(str::to_owned),
            transport: request.transport().to_string(),
            vsn: request.vsn().to_owned(),
            presence: self.presence.clone(),
        });
        Ok(match params.text("uid") {
            Some(uid) => connected.with_id(format!("u:{uid}")),
            None => connected,
        })
    }
}

/// A channel without event handlers.
struct ExactChannel;

impl Channel for ExactChannel {
    type Assigns = Connection;

    async fn join(_: JoinRequest<Connection>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(ExactChannel))
    }
}

struct RoomChannel {
    welcomes: bool,
    presence: presence::Owner,
}

/// What `track` and `update` carry.
#[derive(Deserialize)]
struct Tracking {
    key: String,
    meta: Value,
}

impl Channel for RoomChannel {
    type Assigns = Connection;

    const INTERCEPT: &'static [&'static str] = &["icpt"];

    async fn join(request: JoinRequest<Connection>) -> Result<Joined<Self>, JoinRefusal> {
        let welcomes = request.rest() == "after";
        let channel = RoomChannel { welcomes, presence: request.assigns().presence.owner() };
        match request.rest() {
            "err" => Err(JoinRefusal::reason("nope")),
            "crash" => panic!("asked to crash"),
            "slow" => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                Ok(Joined::new(channel))
            }
            "reply" => {
                let payload: Value = request.payload().parse()?;
                Joined::with_response(channel, json!({ "hello": payload }))
            }
            _ => Ok(Joined::new(channel)),
        }
    }

    async fn after_join(&mut self, cx: &mut Context<Connection>) -> Result<(), ChannelError> {
        if self.welcomes {
            cx.push("welcome", Payload::empty())?;
        }
        Ok(())
    }

    async fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Connection>,
    ) -> HandlerResult {
        match event {
            "echo" => Handled::reply(payload),
            "ok" => Handled::ok(),
            "err" => Handled::error(Payload::empty()),
            "weird" => Handled::reply_as("weird", json!({ "a": 1 })),
            "noreply" => Handled::no_reply(),
            "info" => Handled::reply(cx.assigns()),
            "crash" => panic!("asked to crash"),
            "kill" => std::panic::resume_unwind(Box::new("killed")),
            "stop_normal" => Handled::stop(StopReason::Normal),
            "stop_shutdown" => Handled::stop(StopReason::Shutdown),
            "stop_other" => Handled::stop(StopReason::Failure("asked to stop".to_owned())),
            "stop_reply" => Handled::stop_reply(StopReason::Normal, json!({ "bye": 1 })),
            "track" | "update" | "list" => self.handle_presence(event, &payload, cx).await,
            _ => self.send(event, payload, cx).await,
        }
    }

    async fn handle_out(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Connection>,
    ) -> HandlerResult {
        let mut payload: Value = payload.parse()?;
        payload["x"] = 1.into();
        cx.push(event, payload)?;
        Handled::no_reply()
    }
}

impl RoomChannel {
    /// Events that send something beside a reply.
    async fn send(&mut self, event: &str, payload: Payload, cx: &mut Context<Connection>) -> HandlerResult {
        match event {
            "push" => {
                cx.push("pushed", payload)?;
                Handled::no_reply()
            }
            "bcast" => {
                cx.broadcast("msg", payload)?;
                Handled::ok()
            }
            "bcast_from" => {
                cx.broadcast_from("msg", payload)?;
                Handled::ok()
            }
            "bcast_bin" => {
                cx.broadcast("bmsg", Payload::binary(vec![1, 2, 3]))?;
                Handled::no_reply()
            }
            "icpt" => {
                cx.broadcast("icpt", payload)?;
                Handled::no_reply()
            }
            "bin" => {
                cx.push("binpush", &payload)?;
                Handled::reply(payload)
            }
            "async" => {
                reply_later(payload, cx);
                Handled::no_reply()
            }
            "twice" => {
                if let Some(socket_ref) = cx.socket_ref() {
                    socket_ref.reply("ok", payload)?;
                }
                Handled::ok()
            }
            _ => Handled::unknown_event(event),
        }
    }

    async fn handle_presence(
        &mut self,
        event: &str,
        payload: &Payload,
        cx: &mut Context<Connection>,
    ) -> HandlerResult {
        if event == "list" {
            cx.push("presence_state", self.presence.list(cx.topic()).await)?;
            return Handled::no_reply();
        }
        let Tracking { key, meta } = payload.parse()?;
        let reference = match event {
            "track" => self.presence.track(cx.topic(), key, meta).map_err(not_tracked)?,
            _ => self.presence.update(cx.topic(), &key, meta).map_err(not_tracked)?,
        };
        Handled::reply(json!({ "ref": reference }))
    }
}

/// Keys and metas are the client's here, so what is wrong with them is too.
fn not_tracked(error: impl std::error::Error) -> ChannelError {
    ChannelError::reply(json!({ "reason": error.to_string() }))
}

/// The delay is the application's contract: `async` is answered after 50 ms.
fn reply_later(payload: Payload, cx: &Context<Connection>) {
    let Some(socket_ref) = cx.socket_ref() else { return };
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if let Err(error) = socket_ref.reply("ok", payload) {
            tracing::warn!(%error, "the late reply was not sent");
        }
    });
}
