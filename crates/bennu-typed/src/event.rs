//! Events as enums.

use bennu_protocol::{EncodeError, Payload, Topic};
use bennu_server::{BroadcastError, Endpoint};

use crate::payload::{FromMessage, IntoMessage, Kind, Shape};
use crate::rejection::Rejection;
use crate::reply::Reply;
use crate::schemas::Schemas;

/// The events that a client may send. Derive it:
///
/// ```
/// # use bennu::typed::{ClientEvents, Reply};
/// # #[derive(serde::Deserialize, schemars::JsonSchema)] struct NewMessage { body: String }
/// # #[derive(serde::Serialize, schemars::JsonSchema)] struct MessageCreated { id: u64 }
/// #[derive(ClientEvents)]
/// enum RoomIn {
///     /// Says something in the room.
///     #[event("message:new")]
///     MessageNew(NewMessage, Reply<MessageCreated>),
///     #[event("typing:start")]
///     TypingStart,
/// }
/// ```
///
/// That is the same as:
///
/// ```
/// # use bennu::{Payload, typed::{ClientEvents, Events, FromMessage, Rejection, Reply}};
/// # #[derive(serde::Deserialize, schemars::JsonSchema)] struct NewMessage { body: String }
/// # #[derive(serde::Serialize, schemars::JsonSchema)] struct MessageCreated { id: u64 }
/// # enum RoomIn { MessageNew(NewMessage, Reply<MessageCreated>), TypingStart }
/// impl ClientEvents for RoomIn {
///     fn read(event: &str, payload: &Payload) -> Result<Option<Self>, Rejection> {
///         Ok(Some(match event {
///             "message:new" => RoomIn::MessageNew(NewMessage::from_payload(payload)?, Reply::new()),
///             "typing:start" => RoomIn::TypingStart,
///             _ => return Ok(None),
///         }))
///     }
///
///     fn describe(events: &mut Events<'_>) {
///         let reply = Reply::<MessageCreated>::new();
///         events.event("message:new", "Says something in the room.").payload::<NewMessage>().answered(reply);
///         events.event("typing:start", "");
///     }
/// }
/// ```
///
/// A variant without fields ignores its payload; one with named fields is an object with these members.
///
/// A handler matches on it, and an event that was forgotten does not compile:
///
/// ```
/// # use bennu::typed::{Answer, AnswerResult, ClientEvents};
/// # #[derive(ClientEvents)]
/// # enum RoomIn { TypingStart, TypingStop }
/// fn handle(event: RoomIn) -> AnswerResult {
///     match event {
///         RoomIn::TypingStart => Answer::no_reply(),
///         RoomIn::TypingStop => Answer::no_reply(),
///     }
/// }
/// ```
///
/// ```compile_fail,E0004
/// # use bennu::typed::{Answer, AnswerResult, ClientEvents};
/// # #[derive(ClientEvents)]
/// # enum RoomIn { TypingStart, TypingStop }
/// fn handle(event: RoomIn) -> AnswerResult {
///     match event {
///         RoomIn::TypingStart => Answer::no_reply(),
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no enum of client events",
    note = "write `#[derive(ClientEvents)]` in front of it, or use `NoEvents`"
)]
pub trait ClientEvents: Sized {
    /// Reads an event; `None` when this channel does not have it.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] when the payload is not what the event has.
    fn read(event: &str, payload: &Payload) -> Result<Option<Self>, Rejection>;

    /// Says for the contract what the events are.
    fn describe(events: &mut Events<'_>);
}

/// The events that the server pushes and broadcasts. Derive it:
///
/// ```
/// # use bennu::typed::ServerEvents;
/// # #[derive(serde::Serialize, schemars::JsonSchema)] struct Message { id: u64 }
/// #[derive(ServerEvents)]
/// enum RoomOut {
///     #[event("message:new")]
///     MessageNew(Message),
///     #[event("typing:start")]
///     Typing { user_id: u64 },
/// }
/// ```
///
/// That is the same as:
///
/// ```
/// # use bennu::{EncodeError, Payload, typed::{Events, IntoMessage, ServerEvents}};
/// # #[derive(serde::Serialize, schemars::JsonSchema)] struct Message { id: u64 }
/// # enum RoomOut { MessageNew(Message), Typing { user_id: u64 } }
/// #[derive(serde::Serialize, schemars::JsonSchema)]
/// struct RoomOutTyping {
///     user_id: u64,
/// }
///
/// impl ServerEvents for RoomOut {
///     fn into_message(self) -> Result<(&'static str, Payload), EncodeError> {
///         Ok(match self {
///             RoomOut::MessageNew(message) => ("message:new", message.into_payload()?),
///             RoomOut::Typing { user_id } => ("typing:start", RoomOutTyping { user_id }.into_payload()?),
///         })
///     }
///
///     fn describe(events: &mut Events<'_>) {
///         events.event("message:new", "").pushes::<Message>();
///         events.event("typing:start", "").pushes::<RoomOutTyping>();
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no enum of server events",
    note = "write `#[derive(ServerEvents)]` in front of it, or use `NoEvents`"
)]
pub trait ServerEvents: Sized {
    /// The event's name and payload.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Serialize`] when the payload has no JSON form.
    fn into_message(self) -> Result<(&'static str, Payload), EncodeError>;

    /// Says for the contract what the events are.
    fn describe(events: &mut Events<'_>);

    /// Sends the event to every client that joined `topic`, from anywhere in the program.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::broadcast`].
    #[doc(alias = "broadcast!")]
    fn broadcast(self, endpoint: &Endpoint, topic: impl Into<Topic>) -> Result<(), BroadcastError> {
        let (event, payload) = self.into_message()?;
        endpoint.broadcast(topic, event, payload)
    }
}

/// The events of a channel on which one side says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEvents {}

impl ClientEvents for NoEvents {
    fn read(_: &str, _: &Payload) -> Result<Option<Self>, Rejection> {
        Ok(None)
    }

    fn describe(_: &mut Events<'_>) {}
}

impl ServerEvents for NoEvents {
    fn into_message(self) -> Result<(&'static str, Payload), EncodeError> {
        match self {}
    }

    fn describe(_: &mut Events<'_>) {}
}

/// The events of one enum, as the contract has them.
#[derive(Debug)]
pub struct Events<'a> {
    schemas: &'a mut Schemas,
    described: Vec<EventShape>,
}

/// One event, as the contract has it.
#[derive(Debug, Clone)]
pub(crate) struct EventShape {
    pub(crate) name: &'static str,
    pub(crate) docs: &'static str,
    pub(crate) payload: Shape,
    pub(crate) reply: Option<ReplyShape>,
}

/// What can answer an event.
#[derive(Debug, Clone)]
pub(crate) struct ReplyShape {
    pub(crate) ok: Shape,
    pub(crate) error: Shape,
}

impl<'a> Events<'a> {
    pub(crate) fn new(schemas: &'a mut Schemas) -> Self {
        Events { schemas, described: Vec::new() }
    }

    pub(crate) fn described(self) -> Vec<EventShape> {
        self.described
    }

    /// Adds an event with its documentation; by default it has no payload and no reply.
    pub fn event(&mut self, name: &'static str, docs: &'static str) -> EventEntry<'_> {
        let position = self.described.len();
        self.described.push(EventShape { name, docs, payload: Shape(Kind::Empty), reply: None });
        EventEntry { schemas: self.schemas, shape: &mut self.described[position] }
    }
}

/// An event that is being described.
#[derive(Debug)]
pub struct EventEntry<'a> {
    schemas: &'a mut Schemas,
    shape: &'a mut EventShape,
}

impl EventEntry<'_> {
    /// A client sends this.
    pub fn payload<P: FromMessage>(self) -> Self {
        self.shape.payload = P::shape(self.schemas);
        self
    }

    /// A client gets this.
    pub fn pushes<P: IntoMessage>(self) -> Self {
        self.shape.payload = P::shape(self.schemas);
        self
    }

    /// The client waits for this answer.
    pub fn answered<T: IntoMessage, E: IntoMessage>(self, reply: Reply<T, E>) -> Self {
        let _ = reply;
        self.shape.reply = Some(ReplyShape { ok: T::shape(self.schemas), error: E::shape(self.schemas) });
        self
    }
}
