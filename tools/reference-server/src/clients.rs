//! The application for clients that others wrote.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bennu::prelude::*;
use bennu::{CheckOrigin, Compression, LongPollOptions};
use serde_json::{Value, json};

use crate::options::Options;

pub(crate) fn endpoint(pubsub: PubSub, presence: Presence, options: &Options) -> anyhow::Result<Endpoint> {
    let channels = Channels::new().channel::<RoomChannel>("room:*");
    let socket = options
        .socket()
        .check_origin(CheckOrigin::Any)
        .auth_token(true)
        .compression(Compression::default())
        .longpoll(LongPollOptions::new().window(POLL_WINDOW));
    Ok(options.endpoint(pubsub)?.socket("/socket", ClientsSocket { presence }, channels, socket).build()?)
}

/// Short, since a client that stops polling is missed after 1.5 to 3 of it, and its presence with it.
const POLL_WINDOW: Duration = Duration::from_secs(2);

struct ClientsSocket {
    presence: Presence,
}

impl Socket for ClientsSocket {
    type Assigns = Presence;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<Presence>, Refusal> {
        match request.params().text("token") {
            Some("bad") => Err(Refusal::Unauthorized),
            _ => Ok(Connected::new(self.presence.clone())),
        }
    }
}

struct RoomChannel {
    presence: presence::Owner,
    /// The presence key: what the join payload names, else the connection's id.
    key: String,
}

impl Channel for RoomChannel {
    type Assigns = Presence;

    async fn join(request: JoinRequest<Presence>) -> Result<Joined<Self>, JoinRefusal> {
        if request.rest() == "deny" {
            return Err(JoinRefusal::reason("unauthorized"));
        }
        let payload: Value = request.payload().parse().unwrap_or_default();
        let user = payload["user"].as_str().map(str::to_owned);
        let key = user.unwrap_or_else(|| request.connection_id().to_string());
        if !Presence::accepts_key(&key) {
            return Err(JoinRefusal::reason("invalid presence key"));
        }
        let channel = RoomChannel { presence: request.assigns().owner(), key };
        Joined::with_response(channel, json!({ "joined": request.topic() }))
    }

    async fn after_join(&mut self, cx: &mut Context<Presence>) -> Result<(), ChannelError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.presence.track(cx.topic(), &self.key, json!({ "online_at": now.as_secs() }))?;
        cx.push("presence_state", self.presence.list(cx.topic()).await)?;
        Ok(())
    }

    async fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Presence>,
    ) -> HandlerResult {
        let payload = if payload.is_null() { Payload::empty() } else { payload };
        match event {
            "echo" | "bin_echo" => Handled::reply(payload),
            "fail" => Handled::error(json!({ "reason": "nope" })),
            "silent" => Handled::no_reply(),
            "shout" => {
                cx.broadcast("shout", payload)?;
                Handled::ok()
            }
            "crash" => panic!("asked to crash"),
            "drop_me" => {
                cx.disconnect();
                Handled::no_reply()
            }
            _ => Handled::ok(),
        }
    }
}
