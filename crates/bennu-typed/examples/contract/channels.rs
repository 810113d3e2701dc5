//! A room in which people write and draw, and a lobby that says how full the rooms are.

use std::collections::BTreeMap;

use bennu::prelude::*;
use bennu::typed::{Binary, Contract, Empty, NoEvents, PresenceDiff, PresenceState, Rejection, Reply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the server promises its clients.
pub(crate) fn contract() -> Contract {
    Contract::new("Rooms", "1.0.0")
        .description("Rooms in which people write and draw.")
        .channel::<RoomChannel>("room:*")
        .history(["message:new"])
        .channel::<LobbyChannel>("lobby")
}

/// How to enter a room.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct RoomParams {
    /// What the others see.
    name: String,
    /// How many messages to get at once.
    #[serde(default)]
    history: u32,
}

/// What is in the room.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RoomState {
    messages: Vec<Message>,
    /// Members by name.
    members: BTreeMap<String, Member>,
    drawing: Vec<Stroke>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Member {
    role: Role,
    /// Absent for guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Owner,
    Guest,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewMessage {
    body: String,
    /// The message that this one answers.
    reply_to: Option<u64>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct MessageCreated {
    id: u64,
}

#[derive(Serialize, JsonSchema, Clone)]
pub(crate) struct Message {
    id: u64,
    body: String,
    author: String,
    #[schemars(extend("format" = "date-time"))]
    sent_at: String,
    reply_to: Option<u64>,
    attachments: Vec<Attachment>,
}

/// What can hang on a message.
#[derive(Serialize, Deserialize, JsonSchema, Clone)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Attachment {
    Image {
        url: String,
        /// Width and height in pixels.
        size: (u32, u32),
    },
    Link {
        url: String,
        #[serde(default)]
        title: String,
    },
}

/// A line or a text on the drawing.
#[derive(Serialize, Deserialize, JsonSchema, Clone)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stroke {
    Line { points: Vec<Point>, colour: Colour },
    Text(String, Point),
    Clear {},
}

#[derive(Serialize, Deserialize, JsonSchema, Clone)]
pub(crate) struct Point {
    x: f64,
    y: f64,
}

/// A name, or red, green and blue.
#[derive(Serialize, Deserialize, JsonSchema, Clone)]
#[serde(untagged)]
pub(crate) enum Colour {
    Name(String),
    Rgb([u8; 3]),
}

/// What is known of a member's device.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Device {
    /// In seconds since 1970.
    online_at: u64,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct NameTaken {
    /// Names that are free.
    suggestions: Vec<String>,
}

/// What a client may send to a room.
#[derive(ClientEvents)]
pub(crate) enum RoomIn {
    /// Says something in the room.
    #[event("message:new")]
    MessageNew(NewMessage, Reply<MessageCreated>),
    #[event("typing:start")]
    TypingStart,
    #[event("stroke:add")]
    StrokeAdd(Stroke, Reply),
    /// A picture, as PNG.
    #[event("picture:send")]
    PictureSend(Binary, Reply<Binary>),
    #[event("member:rename")]
    Rename(NewName, Reply<Empty, NameTaken>),
    #[event("member:kick")]
    Kick {
        name: String,
        #[serde(default)]
        reason: String,
    },
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewName {
    name: String,
}

/// What a room tells its clients.
#[derive(ServerEvents)]
pub(crate) enum RoomOut {
    /// Somebody said something.
    #[event("message:new")]
    MessageNew(Message),
    #[event("typing:start")]
    Typing { name: String },
    #[event("stroke:add")]
    StrokeAdd(Stroke),
    #[event("picture:new")]
    PictureNew(Binary),
    #[event("presence_state")]
    PresenceState(PresenceState<Device>),
    #[event("presence_diff")]
    #[expect(dead_code, reason = "presence broadcasts it")]
    PresenceDiff(PresenceDiff<Device>),
    /// The room closes, and there is nothing more to say.
    #[event("room:closing")]
    Closing,
}

/// One member's stay in a room.
pub(crate) struct RoomChannel {
    name: String,
    messages: Vec<Message>,
    presence: presence::Owner,
}

impl TypedChannel for RoomChannel {
    type Assigns = Presence;
    type Params = RoomParams;
    type Response = RoomState;
    type In = RoomIn;
    type Out = RoomOut;

    async fn join(
        request: JoinRequest<Presence>,
        params: RoomParams,
    ) -> Result<(Self, RoomState), JoinRefusal> {
        if request.rest() == "private" {
            return Err(Rejection::reason("unauthorized").into());
        }
        if params.history > 100 {
            return Err(Rejection::invalid("history", "is more than 100").into());
        }
        let account_id = (params.name == "ada").then_some(1);
        let role = if account_id.is_some() { Role::Owner } else { Role::Guest };
        let members = BTreeMap::from([(params.name.clone(), Member { role, account_id })]);
        let state = RoomState { messages: Vec::new(), members, drawing: Vec::new() };
        let presence = request.assigns().owner();
        Ok((RoomChannel { name: params.name, messages: Vec::new(), presence }, state))
    }

    async fn after_join(&mut self, cx: &mut TypedContext<'_, Self>) -> Result<(), ChannelError> {
        self.presence.track(cx.topic(), &self.name, Device { online_at: 1_790_000_000 })?;
        cx.push(RoomOut::PresenceState(self.presence.state(cx.topic()).await.into()))?;
        Ok(())
    }

    async fn handle_in(&mut self, event: RoomIn, cx: &mut TypedContext<'_, Self>) -> AnswerResult {
        match event {
            RoomIn::MessageNew(message, reply) => {
                if message.body.is_empty() {
                    return reply.error(Rejection::invalid("body", "is empty"));
                }
                let message = self.keep(message);
                cx.broadcast(RoomOut::MessageNew(message.clone()))?;
                reply.ok(MessageCreated { id: message.id })
            }
            RoomIn::TypingStart => {
                cx.broadcast_from(RoomOut::Typing { name: self.name.clone() })?;
                Answer::no_reply()
            }
            RoomIn::StrokeAdd(stroke, reply) => {
                cx.broadcast(RoomOut::StrokeAdd(stroke))?;
                reply.ok(Empty)
            }
            RoomIn::PictureSend(picture, reply) => {
                cx.broadcast_from(RoomOut::PictureNew(picture.clone()))?;
                reply.ok(picture)
            }
            RoomIn::Rename(NewName { name }, reply) => match name.as_str() {
                "" => Err(Rejection::invalid("name", "is empty").into()),
                "admin" => reply.error(NameTaken { suggestions: vec!["admin2".to_owned()] }),
                _ => {
                    self.name = name;
                    reply.ok(Empty)
                }
            },
            RoomIn::Kick { name, reason } if name == self.name => {
                cx.push(RoomOut::Closing)?;
                Answer::stop(StopReason::Failure(reason))
            }
            RoomIn::Kick { .. } => Answer::no_reply(),
        }
    }
}

impl RoomChannel {
    fn keep(&mut self, new: NewMessage) -> Message {
        let NewMessage { body, reply_to, attachments } = new;
        let id = self.messages.len() as u64 + 1;
        let author = self.name.clone();
        let message =
            Message { id, body, author, sent_at: "2026-01-01T00:00:00Z".to_owned(), reply_to, attachments };
        self.messages.push(message.clone());
        message
    }
}

#[derive(ServerEvents)]
pub(crate) enum LobbyOut {
    /// How many are in which room.
    #[event("rooms")]
    Rooms(BTreeMap<String, u32>),
}

/// A channel on which clients only listen.
pub(crate) struct LobbyChannel;

impl TypedChannel for LobbyChannel {
    type Assigns = Presence;
    type Params = Empty;
    type Response = Empty;
    type In = NoEvents;
    type Out = LobbyOut;

    async fn join(_: JoinRequest<Presence>, _: Empty) -> Result<(Self, Empty), JoinRefusal> {
        Ok((LobbyChannel, Empty))
    }

    async fn after_join(&mut self, cx: &mut TypedContext<'_, Self>) -> Result<(), ChannelError> {
        cx.push(LobbyOut::Rooms(BTreeMap::from([("kitchen".to_owned(), 2)])))?;
        Ok(())
    }

    async fn handle_in(&mut self, event: NoEvents, _: &mut TypedContext<'_, Self>) -> AnswerResult {
        match event {}
    }
}
