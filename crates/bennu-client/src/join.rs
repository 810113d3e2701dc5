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
use crate::hooks::Hook;
use crate::provider::Provider;
use crate::shared::{Entry, Handle, Shared, Started, State};

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
    hooks: Vec<(String, Arc<dyn Hook>)>,
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
        // Servers expect an object, and `()` is null.
        let params = params.into_payload().map(|params| match params.is_null() {
            true => Provider::value(Payload::empty()),
            false => Provider::value(params),
        });
        Join {
            handle: Arc::clone(handle),
            topic,
            params,
            timeout: None,
            kind,
            channel_type: None,
            hooks: Vec::new(),
        }
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
        self.begin().map(|started| started.channel)
    }

    fn begin(self) -> Result<Started, JoinError> {
        let Join { handle, topic, params, timeout, kind, channel_type, hooks } = self;
        let params = params.map_err(|error| JoinError::Params(error.to_string()))?;
        let wanted = Wanted { topic, params, timeout, kind, channel_type, hooks };
        start(&handle.0, Some(&handle), &wanted)
    }

    /// Has a hook called for each message of an event, as [`Channel::on`] does, from the first on: also for those that come right behind the
    /// server's answer.
    pub fn on(mut self, event: impl Into<String>, hook: impl Hook) -> Self {
        self.hooks.push((event.into(), Arc::new(hook)));
        self
    }
}

impl IntoFuture for Join {
    type Output = Result<(Payload, Channel), JoinError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let handle = Arc::clone(&self.handle);
            let status = handle.0.try_call(|state, _| state.session.status())?;
            if matches!(status, SocketStatus::Closed) {
                return Err(JoinError::NotConnected);
            }
            let Started { channel, attempt } = self.begin()?;
            let outcome = channel.core().await_join(attempt).await;
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
    pub(crate) hooks: Vec<(String, Arc<dyn Hook>)>,
}

/// Wants a topic joined. A channel without `handle` does not keep its socket alive.
pub(crate) fn start(
    shared: &Arc<Shared>,
    handle: Option<&Arc<Handle>>,
    wanted: &Wanted,
) -> Result<Started, JoinError> {
    let mut let_go = LetGo::default();
    let started = shared.try_call(|state, now| {
        let had = state.channel(&wanted.topic).filter(|_| wanted.kind == Kind::Only);
        let Some((core, guard)) = had else {
            // Of one whose last handle is being dropped, nobody wants to know any more.
            return Ok(anew(shared, state, handle, wanted, now));
        };
        let channel = Channel::new(core, guard, handle.cloned());
        let status = state.session.channel_status(channel.core().id);
        let has_failed = matches!(status, client::ChannelStatus::Errored { .. });
        match (has_failed, &wanted.channel_type) {
            (false, _) => Err(JoinError::AlreadyJoined { channel }),
            // It has failed with another type.
            (true, Some(_)) => {
                let_go.channel = Some(channel);
                Ok(anew(shared, state, handle, wanted, now))
            }
            (true, None) => Ok(again(state, channel, wanted, now, &mut let_go)),
        }
    });
    drop(let_go);
    started?
}

/// What is dropped after the lock is released: the drop of a last handle takes it, and the application's values may do anything.
#[derive(Default)]
struct LetGo {
    channel: Option<Channel>,
    params: Option<Provider<Payload>>,
    hooks: Vec<Option<Arc<dyn Hook>>>,
}

/// Has a channel whose last attempt failed try again, with these params.
fn again(state: &mut State, channel: Channel, wanted: &Wanted, now: Duration, let_go: &mut LetGo) -> Started {
    let core = channel.core();
    for (event, hook) in &wanted.hooks {
        let_go.hooks.push(core.hooks.set(event.clone(), Arc::clone(hook)));
    }
    if let Some(entry) = state.channels.get_mut(&core.id) {
        let_go.params = Some(std::mem::replace(&mut entry.params, wanted.params.clone()));
    }
    // It has failed, so there is nothing to be refused for.
    let _ = state.session.join(wanted.topic.clone(), wanted.timeout, now);
    let attempt = state.session.join_attempt(core.id).unwrap_or(u32::MAX);
    Started { channel, attempt }
}

/// Makes a channel, in the place of the one that has the topic.
fn anew(
    shared: &Arc<Shared>,
    state: &mut State,
    handle: Option<&Arc<Handle>>,
    wanted: &Wanted,
    now: Duration,
) -> Started {
    let topic = &wanted.topic;
    let id = state.session.join_replacing(topic.clone(), wanted.timeout, now);
    let channel_type = wanted.channel_type.clone().or_else(|| state.config.channel_type(topic));
    let inbox = channel_type.as_ref().map(|_| Arc::new(Inbox::new(state.config.mailbox)));
    let core = Arc::new(Core::new(id, topic.clone(), state.config.mailbox, inbox.clone()));
    for (event, hook) in &wanted.hooks {
        // One for an event that has one already is still held by what is wanted.
        let _replaced = core.hooks.set(event.clone(), Arc::clone(hook));
    }
    let guard = Arc::new(Guard::new(Arc::clone(shared), id));
    let (weak, params) = (Arc::downgrade(&guard), wanted.params.clone());
    state.channels.insert(id, Entry { core: Arc::clone(&core), guard: weak.clone(), params });
    if let (Some(channel_type), Some(inbox)) = (channel_type, inbox) {
        let (shared, core) = (Arc::clone(shared), Arc::clone(&core));
        state.tasks.push(Task { channel_type, shared, core, inbox, guard: weak });
    }
    let attempt = state.session.join_attempt(id).unwrap_or(u32::MAX);
    Started { channel: Channel::new(core, guard, handle.cloned()), attempt }
}
