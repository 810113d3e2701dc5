//! What happens on a topic.

use std::fmt;
use std::sync::Arc;

use bennu_protocol::{EncodeError, IntoPayload, Payload, PayloadError, Status, Topic};
use bennu_token::{TokenError, Tokens};
use serde_json::json;
use thiserror::Error;

use crate::context::Context;
use crate::info::Info;
use crate::router::RouteValue;
use crate::socket::TransportKind;

/// A type of conversation. One value of it is the state of one join.
///
/// Only [`join`](Self::join) must be written. Handlers of one channel run one
/// after another, in the order of the messages; those of other channels go on
/// meanwhile. A handler must not block the thread, which serves many connections: await, or hand blocking work
/// to `tokio::task::spawn_blocking` (`block_in_place` would hold up the others).
///
/// A panic in a handler ends this channel alone: its state is dropped and the
/// client gets `phx_error`, upon which it rejoins.
#[doc(alias = "Phoenix.Channel")]
pub trait Channel: Send + Sized + 'static {
    /// The assigns of the sockets whose clients may join.
    type Assigns: Send + Sync + 'static;

    /// Broadcasts with these events go through [`handle_out`](Self::handle_out) of
    /// every subscriber, instead of being encoded once for all.
    #[doc(alias = "intercept")]
    const INTERCEPT: &'static [&'static str] = &[];

    /// Lets a client join the topic, or refuses.
    ///
    /// With `?`, a [`PayloadError`] refuses with the reason `invalid payload`; any other
    /// error, and a panic, is logged and answered with the reason `join crashed`. Nothing can be pushed or broadcast yet; that
    /// belongs in [`after_join`](Self::after_join).
    fn join(
        request: JoinRequest<Self::Assigns>,
    ) -> impl Future<Output = Result<Joined<Self>, JoinRefusal>> + Send;

    /// Runs when the join reply is on its way and the channel is subscribed to its
    /// topic: the place to send state of which broadcasts are changes. What it pushes
    /// goes out at once; broadcasts, its own included, reach the client after it has returned. Leaves that
    /// a pushed presence state includes are left out.
    #[doc(alias = ":after_join")]
    fn after_join(
        &mut self,
        cx: &mut Context<Self::Assigns>,
    ) -> impl Future<Output = Result<(), ChannelError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Handles a message of the client. By default every event is unknown, and crashes the channel.
    fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Self::Assigns>,
    ) -> impl Future<Output = HandlerResult> + Send {
        let _ = (payload, cx);
        let unknown = Handled::unknown_event(event);
        async { unknown }
    }

    /// Handles a broadcast on the own topic whose event is in [`INTERCEPT`](Self::INTERCEPT).
    /// What the client shall see must be pushed here; by default that is the broadcast as it is.
    fn handle_out(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Self::Assigns>,
    ) -> impl Future<Output = HandlerResult> + Send {
        let pushed = cx.push(event, payload);
        async {
            pushed?;
            Handled::no_reply()
        }
    }

    /// Handles a typed PubSub message on the own topic, anything on a topic that was
    /// subscribed to with [`Context::subscribe`], and what [`ChannelRef::send`](crate::ChannelRef::send) sent. In
    /// a cluster a `Gap` comes as well, on any of these topics, when messages of another node did not arrive.
    /// By default it logs that nobody handles it; a `Gap` it passes over.
    fn handle_info(
        &mut self,
        info: Info,
        cx: &mut Context<Self::Assigns>,
    ) -> impl Future<Output = HandlerResult> + Send {
        info.log_unhandled(cx.topic());
        async { Handled::no_reply() }
    }

    /// Runs when the channel ends, unless it panicked or was waiting when it was replaced.
    fn terminate(
        &mut self,
        reason: &TerminateReason,
        cx: &mut Context<Self::Assigns>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (reason, cx);
        async {}
    }
}

/// A client's wish to join.
#[derive(Debug)]
pub struct JoinRequest<A> {
    pub(crate) topic: Topic,
    pub(crate) prefix: usize,
    pub(crate) payload: Payload,
    pub(crate) assigns: Arc<A>,
    pub(crate) route_value: Option<RouteValue>,
    pub(crate) transport: TransportKind,
    pub(crate) connection_id: u64,
    pub(crate) tokens: Tokens,
}

impl<A> JoinRequest<A> {
    /// The topic to join.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// What the `*` of the route's pattern stands for: `42` when `room:*` is joined as
    /// `room:42`, where Phoenix code matches `"room:" <> id`.
    #[must_use]
    #[doc(alias = "id")]
    #[doc(alias = "suffix")]
    pub fn rest(&self) -> &str {
        &self.topic[self.prefix..]
    }

    /// What the client sent along; any JSON value, or bytes.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// What the socket's `connect` put there.
    #[must_use]
    pub fn assigns(&self) -> &A {
        &self.assigns
    }

    /// What the route carries, if it is a `T`; see [`Channels::channel_with`](crate::Channels::channel_with).
    #[must_use]
    pub fn route_value<T: 'static>(&self) -> Option<&T> {
        self.route_value.as_ref()?.downcast_ref()
    }

    /// Checks tokens with the endpoint's secret. With `?` a token that is missing, invalid or expired
    /// refuses the join with the reason `unauthorized`.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// How the client is connected.
    #[must_use]
    pub fn transport(&self) -> TransportKind {
        self.transport
    }

    /// A number that no other connection of this process has.
    #[must_use]
    pub fn connection_id(&self) -> u64 {
        self.connection_id
    }
}

/// An accepted join.
#[derive(Debug)]
pub struct Joined<C> {
    pub(crate) channel: C,
    pub(crate) response: Payload,
}

impl<C> Joined<C> {
    /// Accepts with the empty response `{}`.
    pub fn new(channel: C) -> Self {
        Joined { channel, response: Payload::empty() }
    }

    /// Accepts with a response.
    ///
    /// # Errors
    ///
    /// When the response has no JSON form; the join then counts as crashed.
    pub fn with_response(channel: C, response: impl IntoPayload) -> Result<Self, JoinRefusal> {
        Ok(Joined { channel, response: response.into_payload()? })
    }
}

/// A join that is not granted, or failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinRefusal {
    /// Refused: the payload is the response of the error reply.
    Refused(Payload),
    /// Failed: logged, and answered with the reason `join crashed`.
    Crashed(Box<dyn std::error::Error + Send + Sync>),
}

impl JoinRefusal {
    /// Refuses with the response `{"reason": reason}`.
    #[must_use]
    pub fn reason(reason: &str) -> Self {
        JoinRefusal::with(json!({ "reason": reason }))
    }

    /// Refuses with this response.
    pub fn with(response: impl IntoPayload) -> Self {
        match response.into_payload() {
            Ok(payload) => JoinRefusal::Refused(payload),
            Err(error) => JoinRefusal::Crashed(Box::new(error)),
        }
    }
}

impl From<ChannelError> for JoinRefusal {
    fn from(error: ChannelError) -> Self {
        match error.as_reply() {
            Some(reply) => JoinRefusal::Refused(reply.response),
            None => JoinRefusal::Crashed(error.0),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for JoinRefusal {
    fn from(error: E) -> Self {
        ChannelError::from(error).into()
    }
}

/// What a handler returns.
pub type HandlerResult = Result<Handled, ChannelError>;

/// How a handler ended. Make it with the functions below, which return a [`HandlerResult`].
#[derive(Debug)]
pub enum Handled {
    /// The client gets no answer from this handler.
    NoReply,
    /// The client gets a reply.
    Reply(Reply),
    /// The channel ends.
    Stop(StopReason),
    /// The client gets a reply, then the channel ends.
    StopReply(StopReason, Reply),
}

impl Handled {
    /// No reply; the handler may still have kept a [`SocketRef`](crate::SocketRef) to reply later.
    ///
    /// # Errors
    ///
    /// None; it is a result so that it can be a handler's last line.
    #[doc(alias = ":noreply")]
    pub fn no_reply() -> HandlerResult {
        Ok(Handled::NoReply)
    }

    /// Replies `ok` with `{}`.
    ///
    /// # Errors
    ///
    /// None.
    pub fn ok() -> HandlerResult {
        Handled::reply(Payload::empty())
    }

    /// Replies `ok` with this response.
    ///
    /// # Errors
    ///
    /// When the response has no JSON form; the channel then crashes.
    pub fn reply(response: impl IntoPayload) -> HandlerResult {
        Handled::reply_as(Status::Ok, response)
    }

    /// Replies `error` with this response.
    ///
    /// # Errors
    ///
    /// When the response has no JSON form; the channel then crashes.
    pub fn error(response: impl IntoPayload) -> HandlerResult {
        Handled::reply_as(Status::Error, response)
    }

    /// Replies with any status.
    ///
    /// # Errors
    ///
    /// When the response has no JSON form; the channel then crashes.
    pub fn reply_as(status: impl Into<Status>, response: impl IntoPayload) -> HandlerResult {
        Ok(Handled::Reply(Reply::new(status, response)?))
    }

    /// Ends the channel.
    ///
    /// # Errors
    ///
    /// None.
    pub fn stop(reason: StopReason) -> HandlerResult {
        Ok(Handled::Stop(reason))
    }

    /// Replies `ok` with this response, then ends the channel.
    ///
    /// # Errors
    ///
    /// When the response has no JSON form; the channel then crashes.
    pub fn stop_reply(reason: StopReason, response: impl IntoPayload) -> HandlerResult {
        Ok(Handled::StopReply(reason, Reply::new(Status::Ok, response)?))
    }

    /// The client sent an event that this channel does not know: the channel crashes,
    /// as in Phoenix, and the client rejoins. To answer instead and go on, return [`Handled::error`].
    ///
    /// # Errors
    ///
    /// Always [`UnknownEvent`].
    pub fn unknown_event(event: &str) -> HandlerResult {
        Err(UnknownEvent(event.to_owned()).into())
    }
}

/// The answer to one message.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(crate) status: Status,
    pub(crate) response: Payload,
}

impl Reply {
    /// A reply.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the response has no JSON form.
    pub fn new(status: impl Into<Status>, response: impl IntoPayload) -> Result<Self, EncodeError> {
        Ok(Reply { status: status.into(), response: response.into_payload()? })
    }
}

/// Why a channel ends itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// It is done: the client gets `phx_close` and does not rejoin.
    Normal,
    /// It is shut down: the client gets `phx_close` and does not rejoin.
    Shutdown,
    /// Something is wrong: the client gets `phx_error` and rejoins.
    Failure(String),
}

/// Why a channel ended, for [`Channel::terminate`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TerminateReason {
    /// The client left.
    Left,
    /// The client joined the topic again, and that join took the place.
    Replaced,
    /// The connection ended.
    Closed,
    /// The server is being stopped; the client will come back, perhaps to another node.
    Draining,
    /// A handler asked for it.
    Stopped(StopReason),
    /// A handler returned an error.
    Crashed,
    /// The client read too slowly and missed broadcasts; it gets `phx_error` and rejoins. See [`SlowReader`](crate::SlowReader).
    SlowReader,
}

/// Why a handler failed. Every error converts into it, so `?` just works.
///
/// A [`PayloadError`], the client's fault, is answered with an error reply whose
/// reason is `invalid payload` and whose `detail` says what serde expected, and one made by [`reply`](Self::reply) with that reply.
/// Any other crashes the channel: it is logged and the client gets `phx_error`.
pub struct ChannelError(Box<dyn std::error::Error + Send + Sync>);

/// Carries the reply that answers a message in place of a crash.
#[derive(Debug, Error)]
#[error("answered with an error reply")]
struct ReplyError(Reply);

impl ChannelError {
    /// Ends the handler with an error reply of this response, and the channel goes on:
    /// for `?` where the client asked for something that cannot be.
    pub fn reply(response: impl IntoPayload) -> Self {
        match Reply::new(Status::Error, response) {
            Ok(reply) => ChannelError(Box::new(ReplyError(reply))),
            Err(error) => ChannelError(Box::new(error)),
        }
    }

    /// A failure with this text.
    pub fn msg(text: impl Into<String>) -> Self {
        ChannelError(text.into().into())
    }

    /// The reply for the client, if the client is at fault.
    pub(crate) fn as_reply(&self) -> Option<Reply> {
        if let Some(ReplyError(reply)) = self.0.downcast_ref() {
            return Some(reply.clone());
        }
        if self.0.downcast_ref().is_some_and(TokenError::is_unauthorized) {
            return Reply::new(Status::Error, json!({ "reason": "unauthorized" })).ok();
        }
        let error = self.0.downcast_ref::<PayloadError>()?;
        let response = json!({ "reason": "invalid payload", "detail": error.to_string() });
        Reply::new(Status::Error, response).ok()
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for ChannelError {
    fn from(error: E) -> Self {
        ChannelError(Box::new(error))
    }
}

impl fmt::Debug for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The client sent an event that the channel does not handle.
#[derive(Debug, Error)]
#[error("no handler for event {0:?}")]
pub struct UnknownEvent(pub String);
