//! Pushes, as something to await.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bennu_protocol::client::{self, ChannelId, PushOutcome};
use bennu_protocol::{EncodeError, Payload, Status};
use tokio::sync::oneshot;

use crate::channel::Channel;
use crate::error::{PushError, SocketEnd, SocketEnded};
use crate::shared::{Shared, State};

/// A push that waits for its reply, made by [`Channel::push`]. It does nothing until it is awaited.
#[derive(Debug)]
#[must_use = "a push is sent when it is awaited"]
pub struct Push {
    channel: Channel,
    push: Result<client::Push, EncodeError>,
}

impl Push {
    pub(crate) fn new(channel: Channel, event: &str, payload: Result<Payload, EncodeError>) -> Self {
        Push { channel, push: payload.map(|payload| client::Push::new(event, payload)) }
    }

    /// How long it may take until the reply comes, whether or not it can be sent; the socket's
    /// [`timeout`](crate::SocketConfig::timeout) by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.push = self.push.map(|push| push.timeout(timeout));
        self
    }

    /// If the connection or the channel ends before the reply, it is sent again as soon as the channel is joined again, as long as its time lasts.
    /// The server may then see it twice.
    pub fn retry_unconfirmed(mut self) -> Self {
        self.push = self.push.map(client::Push::retry_unconfirmed);
        self
    }
}

impl IntoFuture for Push {
    type Output = Result<Payload, PushError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Push { channel, push } = self;
            let push = push?;
            let waiter = start(channel.shared(), |state, now| {
                Ok(state.session.push(channel.core().id, push, now)?)
            })?;
            match outcome(channel.shared(), waiter).await? {
                Some(response) => Ok(response),
                None => Ok(Payload::empty()),
            }
        })
    }
}

/// A push that nobody replies to, made by [`Channel::push_async`]. It goes its way whether or not this is awaited.
pub struct Sending {
    shared: Arc<Shared>,
    waiter: oneshot::Receiver<PushOutcome>,
}

impl Sending {
    pub(crate) fn start(channel: &Channel, event: &str, payload: Payload) -> Result<Self, PushError> {
        let push = client::Push::new(event, payload).without_reply();
        let waiter =
            start(channel.shared(), |state, now| Ok(state.session.push(channel.core().id, push, now)?))?;
        Ok(Sending { shared: Arc::clone(channel.shared()), waiter })
    }
}

impl Future for Sending {
    /// The transport has taken it; or why it never will.
    type Output = Result<(), PushError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = std::task::ready!(Pin::new(&mut self.waiter).poll(cx));
        Poll::Ready(judge(&self.shared, ended.ok()).map(drop))
    }
}

impl std::fmt::Debug for Sending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

/// A channel that is being left, made by [`Channel::leave`]. It goes its way whether or not this is awaited.
pub struct Leave {
    shared: Arc<Shared>,
    /// None when the server knew nothing of the channel.
    waiter: Option<oneshot::Receiver<PushOutcome>>,
}

impl Leave {
    pub(crate) fn start(shared: &Arc<Shared>, channel: ChannelId) -> Self {
        let waiter = shared.call(|state, now| {
            let push = state.session.leave(channel, now)?;
            Some(wait(state, push))
        });
        Leave { shared: Arc::clone(shared), waiter }
    }
}

impl Future for Leave {
    /// The server has let go; or why that is not known.
    type Output = Result<(), PushError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(waiter) = &mut self.waiter else { return Poll::Ready(Ok(())) };
        let ended = std::task::ready!(Pin::new(waiter).poll(cx));
        self.waiter = None;
        Poll::Ready(judge(&self.shared, ended.ok()).map(drop))
    }
}

impl std::fmt::Debug for Leave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leave").finish_non_exhaustive()
    }
}

/// Has the session push something, and takes the place of whoever is told of its end.
pub(crate) fn start(
    shared: &Shared,
    push: impl FnOnce(&mut State, Duration) -> Result<client::PushId, PushError>,
) -> Result<oneshot::Receiver<PushOutcome>, PushError> {
    shared.try_call(|state, now| {
        let id = push(state, now)?;
        Ok(wait(state, id))
    })?
}

fn wait(state: &mut State, push: client::PushId) -> oneshot::Receiver<PushOutcome> {
    let (sender, receiver) = oneshot::channel();
    state.pushes.insert(push, sender);
    receiver
}

/// Waits for the end of a push; its response if there is one.
pub(crate) async fn outcome(
    shared: &Shared,
    waiter: oneshot::Receiver<PushOutcome>,
) -> Result<Option<Payload>, PushError> {
    judge(shared, waiter.await.ok())
}

pub(crate) fn judge(shared: &Shared, outcome: Option<PushOutcome>) -> Result<Option<Payload>, PushError> {
    Err(match outcome {
        Some(PushOutcome::Reply { status: Status::Ok, response }) => return Ok(Some(response)),
        Some(PushOutcome::Sent) => return Ok(None),
        Some(PushOutcome::Reply { status, response }) => PushError::Refused { status, response },
        Some(PushOutcome::TimedOut { was_sent }) => PushError::TimedOut { was_sent },
        Some(PushOutcome::Unconfirmed) => PushError::Unconfirmed,
        Some(PushOutcome::Dropped) => PushError::Dropped,
        Some(PushOutcome::Unsendable(error)) => PushError::Encode(error),
        Some(_) => PushError::ChannelClosed,
        None => PushError::SocketEnded(SocketEnded(shared.end().unwrap_or(SocketEnd::Aborted))),
    })
}
