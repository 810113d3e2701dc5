//! Joining a topic, as something to await.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::client::{self, SocketStatus};
use bennu_protocol::{EncodeError, IntoPayload, Payload, Topic};

use crate::behaviour::{ChannelType, Inbox, Task};
use crate::channel::{Channel, Core, Guard};
use crate::error::{ChannelEnd, JoinError};
use crate::provider::Provider;
use crate::shared::{Entry, Handle, Shared};

/// One attempt to join a topic, made by [`Socket::join`](crate::Socket::join). It does nothing until it is awaited; if it fails, or is dropped on the
/// way, the topic is left again.
#[must_use = "a topic is joined when this is awaited"]
pub struct Join {
    handle: Arc<Handle>,
    topic: Topic,
    params: Result<Provider<Payload>, EncodeError>,
    timeout: Option<Duration>,
    kind: Kind,
    channel_type: Option<ChannelType>,
}

/// What becomes of a channel that has the topic already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It stays, and the join is refused.
    Only,
    /// It is left first.
    Replacing,
}

impl Join {
    pub(crate) fn new(handle: &Arc<Handle>, topic: Topic, params: impl IntoPayload, kind: Kind) -> Self {
        let params = params.into_payload().map(Provider::value);
        Join { handle: Arc::clone(handle), topic, params, timeout: None, kind, channel_type: None }
    }

    /// How long the attempt may take, and each later one; the socket's [`timeout`](crate::SocketConfig::timeout) by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Asks for the params at each join, the later ones after a reconnect included.
    pub fn params_from(mut self, params: impl Into<Provider<Payload>>) -> Self {
        self.params = Ok(params.into());
        self
    }

    /// The channel has this type, whatever the settings say.
    pub(crate) fn with_type(mut self, channel_type: ChannelType) -> Self {
        self.channel_type = Some(channel_type);
        self
    }

    /// Joins without waiting, and keeps trying through failures until the channel is left or dropped.
    ///
    /// # Errors
    ///
    /// [`JoinError::AlreadyJoined`], [`JoinError::Params`] or [`JoinError::SocketEnded`]; all others are told by the channel.
    pub fn start(self) -> Result<Channel, JoinError> {
        let Join { handle, topic, params, timeout, kind, channel_type } = self;
        let params = params.map_err(|error| JoinError::Params(error.to_string()))?;
        start(&handle.0, Some(&handle), &Wanted { topic, params, timeout, kind, channel_type })
    }
}

impl IntoFuture for Join {
    type Output = Result<(Payload, Channel), JoinError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let shared = Arc::clone(&self.handle.0);
            if matches!(shared.lock().session.status(), SocketStatus::Closed) && shared.end().is_none() {
                return Err(JoinError::NotConnected);
            }
            let channel = self.start()?;
            let outcome = channel.core().await_join().await;
            let response = outcome.unwrap_or(Err(JoinError::Ended(ChannelEnd::Left)))?;
            Ok((response, channel))
        })
    }
}

impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Join").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// What is to be joined, and how.
pub(crate) struct Wanted {
    pub(crate) topic: Topic,
    pub(crate) params: Provider<Payload>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) kind: Kind,
    /// That of the settings, if none.
    pub(crate) channel_type: Option<ChannelType>,
}

/// Wants a topic joined. A channel without `handle` does not keep its socket alive.
pub(crate) fn start(
    shared: &Arc<Shared>,
    handle: Option<&Arc<Handle>>,
    wanted: &Wanted,
) -> Result<Channel, JoinError> {
    let Wanted { topic, params, timeout, kind, channel_type } = wanted;
    // Dropped after the lock is released, as the drop of a last handle takes it.
    let mut taken = None;
    let started = shared.try_call(|state, now| {
        if *kind == Kind::Only
            && let Some((core, guard)) = state.channel(topic)
        {
            let channel = Channel::new(core, guard);
            if let Err(client::JoinError::AlreadyJoined { .. }) =
                state.session.join(topic.clone(), *timeout, now)
            {
                return Err(JoinError::AlreadyJoined { channel });
            }
            // Its last attempt had failed, and it tries again.
            if let Some(entry) = state.channels.get_mut(&channel.core().id) {
                taken = Some(std::mem::replace(&mut entry.params, params.clone()));
            }
            return Ok(channel);
        }
        // Of one whose last handle is being dropped, nobody wants to know any more.
        let id = state.session.join_replacing(topic.clone(), *timeout, now);
        let channel_type = channel_type.clone().or_else(|| state.config.channel_type(topic));
        let inbox = channel_type.as_ref().map(|_| Arc::new(Inbox::new(state.config.mailbox)));
        let core = Arc::new(Core::new(id, topic.clone(), state.config.mailbox, inbox.clone()));
        let guard = Arc::new(Guard::new(Arc::clone(shared), id, handle.cloned()));
        let (weak, params) = (Arc::downgrade(&guard), params.clone());
        state.channels.insert(id, Entry { core: Arc::clone(&core), guard: weak.clone(), params });
        if let (Some(channel_type), Some(inbox)) = (channel_type, inbox) {
            let (shared, core) = (Arc::clone(shared), Arc::clone(&core));
            state.tasks.push(Task { channel_type, shared, core, inbox, guard: weak });
        }
        Ok(Channel::new(core, guard))
    });
    drop(taken);
    started?
}
