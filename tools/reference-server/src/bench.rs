//! The application for load.

use bennu::prelude::*;
use serde_json::{Value, json};

use crate::options::Options;

pub(crate) fn endpoint(pubsub: PubSub, presence: Presence, options: &Options) -> anyhow::Result<Endpoint> {
    let channels = Channels::new()
        .channel::<RoomChannel>("room:*")
        .channel::<StateChannel>("state:*")
        .channel::<PresenceChannel>("presence:*");
    // Where every room keeps state, so that the same load can be put on it.
    let with_state = Channels::new().channel::<StateChannel>("room:*");
    Ok(options
        .endpoint(pubsub)?
        .socket("/socket", BenchSocket { presence: presence.clone() }, channels, options.socket())
        .socket("/state", BenchSocket { presence }, with_state, options.socket())
        .build()?)
}

struct BenchSocket {
    presence: Presence,
}

struct User {
    presence: Presence,
    id: Option<String>,
}

impl Socket for BenchSocket {
    type Assigns = User;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<User>, Refusal> {
        let id = request.params().text("user_id").map(str::to_owned);
        Ok(Connected::new(User { presence: self.presence.clone(), id }))
    }
}

struct RoomChannel;

impl Channel for RoomChannel {
    type Assigns = User;

    async fn join(_: JoinRequest<User>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(RoomChannel))
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<User>) -> HandlerResult {
        in_room(event, payload, cx)
    }
}

/// What a room does, whatever state its channel keeps.
fn in_room(event: &str, payload: Payload, cx: &Context<User>) -> HandlerResult {
    match event {
        "echo" => Handled::reply(payload),
        "shout" => {
            cx.broadcast("shout", payload)?;
            Handled::no_reply()
        }
        "shout_ack" => {
            cx.broadcast("shout", payload)?;
            Handled::ok()
        }
        _ => Handled::unknown_event(event),
    }
}

/// A room whose channel keeps 1 KB for each join, as an application keeps what it knows of a user: how often
/// each event came.
struct StateChannel {
    counts: [u64; EVENTS],
}

const EVENTS: usize = 128;

impl Channel for StateChannel {
    type Assigns = User;

    async fn join(_: JoinRequest<User>) -> Result<Joined<Self>, JoinRefusal> {
        // The join counts for each, so that none of it is memory that was never touched.
        Ok(Joined::new(StateChannel { counts: [1; EVENTS] }))
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<User>) -> HandlerResult {
        let hash = event.bytes().fold(0, |sum, byte| sum + usize::from(byte));
        self.counts[hash % EVENTS] += 1;
        match event {
            "count" => Handled::reply(json!({ "count": self.counts.iter().sum::<u64>() })),
            _ => in_room(event, payload, cx),
        }
    }
}

struct PresenceChannel {
    presence: presence::Owner,
    key: String,
}

impl Channel for PresenceChannel {
    type Assigns = User;

    async fn join(request: JoinRequest<User>) -> Result<Joined<Self>, JoinRefusal> {
        let payload: Value = request.payload().parse().unwrap_or_default();
        let name = payload["name"].as_str().map(str::to_owned).or_else(|| request.assigns().id.clone());
        let key = name.unwrap_or_else(|| request.connection_id().to_string());
        if !Presence::accepts_key(&key) {
            return Err(JoinRefusal::reason("invalid presence key"));
        }
        Ok(Joined::new(PresenceChannel { presence: request.assigns().presence.owner(), key }))
    }

    async fn after_join(&mut self, cx: &mut Context<User>) -> Result<(), ChannelError> {
        self.presence.track(cx.topic(), &self.key, json!({}))?;
        for (event, payload) in self.presence.state(cx.topic()).await {
            cx.push(event, payload)?;
        }
        Ok(())
    }
}
