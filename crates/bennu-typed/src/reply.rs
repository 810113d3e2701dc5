//! Answers to a client's events.

use std::fmt;
use std::marker::PhantomData;

use bennu_protocol::{EncodeError, Status};
use bennu_server::{ChannelError, Handled, SocketRef, StopReason};

use crate::channel::TypedChannel;
use crate::context::TypedContext;
use crate::payload::{Empty, IntoMessage};
use crate::rejection::Rejection;

/// A client's wait for an answer: a `T` when all is well, an `E` when not.
///
/// It comes with the event and ends the handler that answers it, so that an answer of another
/// type does not compile.
///
/// ```
/// # use bennu::typed::{AnswerResult, Rejection, Reply};
/// # #[derive(serde::Serialize, schemars::JsonSchema)] struct MessageCreated { id: u64 }
/// fn answer(body: &str, reply: Reply<MessageCreated>) -> AnswerResult {
///     if body.is_empty() {
///         return reply.error(Rejection::invalid("body", "is empty"));
///     }
///     reply.ok(MessageCreated { id: 1 })
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use bennu::typed::{AnswerResult, Rejection, Reply};
/// # #[derive(serde::Serialize, schemars::JsonSchema)] struct MessageCreated { id: u64 }
/// fn answer(body: &str, reply: Reply<MessageCreated>) -> AnswerResult {
///     if body.is_empty() {
///         return reply.error(Rejection::invalid("body", "is empty"));
///     }
///     reply.ok("created")
/// }
/// ```
///
/// A `Reply` alone answers with `{}`: `reply.ok(Empty)`.
#[must_use = "the client waits for an answer"]
pub struct Reply<T = Empty, E = Rejection>(PhantomData<fn(T, E)>);

impl<T, E> Reply<T, E> {
    /// For implementations of [`ClientEvents`](crate::ClientEvents) by hand.
    #[expect(clippy::new_without_default, reason = "a reply belongs to an event and is never a default")]
    pub fn new() -> Self {
        Reply(PhantomData)
    }
}

impl<T: IntoMessage, E: IntoMessage> Reply<T, E> {
    /// Replies `ok`.
    ///
    /// # Errors
    ///
    /// When the response has no JSON form; the channel then crashes.
    #[doc(alias = ":reply")]
    pub fn ok(self, response: T) -> AnswerResult {
        answer(Handled::reply(response.into_payload()?))
    }

    /// Replies `error`.
    ///
    /// # Errors
    ///
    /// When the response has no JSON form; the channel then crashes.
    pub fn error(self, response: E) -> AnswerResult {
        answer(Handled::error(response.into_payload()?))
    }

    /// Replies `ok`, then ends the channel.
    ///
    /// # Errors
    ///
    /// When the response has no JSON form; the channel then crashes.
    #[doc(alias = ":stop")]
    pub fn stop(self, reason: StopReason, response: T) -> AnswerResult {
        answer(Handled::stop_reply(reason, response.into_payload()?))
    }

    /// Keeps the answer for later: from another handler or any task. End the handler with
    /// [`Answer::no_reply`].
    #[doc(alias = "socket_ref")]
    pub fn later<C: TypedChannel>(self, cx: &TypedContext<'_, C>) -> LaterReply<T, E> {
        LaterReply { socket_ref: cx.socket_ref(), reply: PhantomData }
    }
}

impl<T, E> fmt::Debug for Reply<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply<{}, {}>", std::any::type_name::<T>(), std::any::type_name::<E>())
    }
}

/// A [`Reply`] that can be given from any task.
#[must_use = "the client waits for an answer"]
pub struct LaterReply<T = Empty, E = Rejection> {
    /// `None` when the client sent no ref, and so waits for nothing.
    socket_ref: Option<SocketRef>,
    reply: PhantomData<fn(T, E)>,
}

impl<T: IntoMessage, E: IntoMessage> LaterReply<T, E> {
    /// Replies `ok`. Once the channel has ended, nothing is sent.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the client's protocol version cannot carry the response.
    pub fn ok(self, response: T) -> Result<(), EncodeError> {
        self.reply(Status::Ok, response)
    }

    /// Replies `error`. Once the channel has ended, nothing is sent.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the client's protocol version cannot carry the response.
    pub fn error(self, response: E) -> Result<(), EncodeError> {
        self.reply(Status::Error, response)
    }

    fn reply(&self, status: Status, response: impl IntoMessage) -> Result<(), EncodeError> {
        match &self.socket_ref {
            Some(socket_ref) => socket_ref.reply(status, response.into_payload()?),
            None => Ok(()),
        }
    }
}

impl<T, E> fmt::Debug for LaterReply<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LaterReply({:?})", self.socket_ref)
    }
}

/// What a handler of a [`TypedChannel`] returns. With `?`, a [`Rejection`] is an error reply, and
/// any other error crashes the channel, as in an untyped one.
pub type AnswerResult = Result<Answer, ChannelError>;

/// How a handler of a [`TypedChannel`] ended: made by a [`Reply`], or by the functions below.
#[derive(Debug)]
#[doc(alias = "Handled")]
pub struct Answer(Handled);

impl Answer {
    /// The client gets no answer from this handler.
    ///
    /// # Errors
    ///
    /// None; it is a result so that it can be a handler's last line.
    #[doc(alias = ":noreply")]
    pub fn no_reply() -> AnswerResult {
        Ok(Answer(Handled::NoReply))
    }

    /// Ends the channel.
    ///
    /// # Errors
    ///
    /// None.
    #[doc(alias = ":stop")]
    pub fn stop(reason: StopReason) -> AnswerResult {
        Ok(Answer(Handled::Stop(reason)))
    }

    pub(crate) fn into_handled(self) -> Handled {
        self.0
    }
}

fn answer(handled: bennu_server::HandlerResult) -> AnswerResult {
    handled.map(Answer)
}
