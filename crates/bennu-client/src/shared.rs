//! What a socket's handles and its driver share.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Duration;

use bennu_protocol::client::{
    ChannelId, ClientEvent, ClientSession, ConnectionEnd, OpenError, PushId, PushOutcome,
    SocketStatus as SessionStatus,
};
use parking_lot::{Mutex, MutexGuard, ReentrantMutex};
use serde_json::Value;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::behaviour::Task;
use crate::channel::{Channel, Core, Guard};
use crate::config::SocketConfig;
use crate::error::{ChannelEnd, SocketEnd, SocketEnded};
use crate::provider::Provider;
use crate::registry::{Claim, NameTaken, Registry};
use crate::status::SocketStatus;
use crate::telemetry::{self, SocketId};
use bennu_protocol::{Payload, Serializer};

/// One socket. Its lock is held for a call into the session, never over an await, and never while a user's code runs or a user's value is
/// dropped.
pub(crate) struct Shared {
    pub(crate) id: SocketId,
    /// The session's times count from here.
    pub(crate) epoch: Instant,
    state: Mutex<State>,
    status: watch::Sender<SocketStatus>,
    end: OnceLock<SocketEnd>,
    has_ended: Notify,
    /// As long as somebody holds one.
    handle: OnceLock<Weak<Handle>>,
    /// Its name, as long as it lives.
    name: Mutex<Option<Claim<Handle>>>,
    /// Held by who changes settings, which takes several steps.
    pub(crate) reconfiguring: ReentrantMutex<()>,
}

/// The sockets of this process that have a name.
static NAMES: Registry<Handle> = Registry::new();

pub(crate) struct State {
    pub(crate) session: ClientSession,
    pub(crate) config: SocketConfig,
    pub(crate) channels: HashMap<ChannelId, Entry>,
    pub(crate) pushes: HashMap<PushId, oneshot::Sender<PushOutcome>>,
    pub(crate) custom: BTreeMap<String, Value>,
    /// Tasks of channels with a type, which the driver is to start.
    pub(crate) tasks: Vec<Task>,
    pub(crate) last_error: Option<OpenError>,
    pub(crate) last_close: Option<ConnectionEnd>,
    /// Why it is to end, once its connection is closed.
    pub(crate) stop: Option<SocketEnd>,
    ended: Option<SocketEnd>,
    driver: Option<Waker>,
}

/// How a join goes on: the channel, and the number of the attempt that this is.
pub(crate) struct Started {
    pub(crate) channel: Channel,
    pub(crate) attempt: u32,
}

/// A channel, as its socket knows it.
pub(crate) struct Entry {
    pub(crate) core: Arc<Core>,
    /// Alive as long as a handle is.
    pub(crate) guard: Weak<Guard>,
    pub(crate) params: Provider<Payload>,
}

impl Shared {
    /// A socket that does nothing yet, and its first handle.
    pub(crate) fn start(config: SocketConfig, serializer: Serializer) -> Result<Arc<Handle>, NameTaken> {
        let claim = config.name.as_deref().map(|name| NAMES.claim(name)).transpose()?;
        let handle = Arc::new(Handle(Arc::new(Shared::new(config, serializer))));
        handle.0.handle.get_or_init(|| Arc::downgrade(&handle));
        if let Some(claim) = claim {
            claim.publish(&handle);
            *handle.0.name.lock() = Some(claim);
        }
        Ok(handle)
    }

    /// The socket of this name.
    pub(crate) fn find(name: &str) -> Option<Arc<Handle>> {
        NAMES.find(name)
    }

    fn new(config: SocketConfig, serializer: Serializer) -> Self {
        let seed = getrandom::u64().unwrap_or_default();
        let state = State {
            session: ClientSession::new(config.session(serializer, seed)),
            config,
            channels: HashMap::new(),
            pushes: HashMap::new(),
            custom: BTreeMap::new(),
            tasks: Vec::new(),
            last_error: None,
            last_close: None,
            stop: None,
            ended: None,
            driver: None,
        };
        Shared {
            id: SocketId::generate(),
            epoch: Instant::now(),
            state: Mutex::new(state),
            status: watch::Sender::new(SocketStatus::Disconnected),
            end: OnceLock::new(),
            has_ended: Notify::new(),
            handle: OnceLock::new(),
            name: Mutex::new(None),
            reconfiguring: ReentrantMutex::new(()),
        }
    }

    /// A handle, unless the last one was dropped.
    pub(crate) fn handle(&self) -> Option<Arc<Handle>> {
        self.handle.get()?.upgrade()
    }

    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// For the driver, and to look at things: nobody is woken.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// For handles: has the driver see to what came of it.
    pub(crate) fn call<R>(&self, ask: impl FnOnce(&mut State, Duration) -> R) -> R {
        let (answer, driver) = {
            let mut state = self.state.lock();
            let answer = ask(&mut state, self.now());
            (answer, state.driver.take())
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        answer
    }

    /// The same, unless the socket has ended.
    pub(crate) fn try_call<R>(&self, ask: impl FnOnce(&mut State, Duration) -> R) -> Result<R, SocketEnded> {
        // What is not called is dropped outside of the lock, with all that it holds.
        let mut ask = Some(ask);
        self.call(|state, now| match (state.ended.or(state.stop), ask.take()) {
            (None, Some(ask)) => Ok(ask(state, now)),
            (end, unused) => {
                ask = unused;
                Err(SocketEnded(end.unwrap_or(SocketEnd::Stopped)))
            }
        })
    }

    /// Closes the connection, then ends the driver.
    pub(crate) fn stop(&self, end: SocketEnd) {
        self.call(|state, now| {
            state.stop.get_or_insert(end);
            state.session.disconnect(1000, "", now);
        });
    }

    pub(crate) fn status(&self) -> SocketStatus {
        let state = self.lock();
        match state.ended {
            Some(end) => SocketStatus::Ended(end),
            None => SocketStatus::new(state.session.status(), self.epoch),
        }
    }

    pub(crate) fn watch_status(&self) -> watch::Receiver<SocketStatus> {
        self.status.subscribe()
    }

    pub(crate) async fn ended(&self) -> SocketEnd {
        loop {
            let ended = self.has_ended.notified();
            match self.end.get() {
                Some(end) => return *end,
                None => ended.await,
            }
        }
    }

    pub(crate) fn end(&self) -> Option<SocketEnd> {
        self.end.get().copied()
    }

    pub(crate) fn tell_status(&self, status: SessionStatus) {
        let status = SocketStatus::new(status, self.epoch);
        self.status.send_if_modified(|told| std::mem::replace(told, status) != status);
    }

    /// Ends everything that somebody may wait for. The driver does nothing any more.
    pub(crate) fn finish(&self, end: SocketEnd) {
        let (channels, pushes, outcomes, tasks) = {
            let mut state = self.state.lock();
            let now = self.now();
            state.ended = Some(end);
            state.driver = None;
            // What was sent is unconfirmed; what was not ends with its channel or its waiter.
            state.session.disconnect(1000, "", now);
            state.session.handle_close(ConnectionEnd::lost(), now);
            // What waits to be sent once more was sent before.
            let buffered = state.session.take_buffered(now);
            let outcomes = state.take_outcomes();
            let (channels, pushes) = (std::mem::take(&mut state.channels), std::mem::take(&mut state.pushes));
            (channels, (pushes, buffered), outcomes, std::mem::take(&mut state.tasks))
        };
        // Before anyone is told of what follows from it.
        self.end.get_or_init(|| end);
        for (waiter, outcome) in outcomes {
            // Nobody need wait for it.
            let _ = waiter.send(outcome);
        }
        for entry in channels.into_values() {
            let reason = ChannelEnd::SocketEnded(end);
            telemetry::channel_left(self.id, &entry.core.topic, &reason.to_string());
            entry.core.end(reason);
        }
        drop((pushes, tasks));
        let name = self.name.lock().take();
        drop(name);
        self.status.send_replace(SocketStatus::Ended(end));
        self.has_ended.notify_waiters();
    }
}

impl State {
    pub(crate) fn register(&mut self, driver: &Waker) {
        match &mut self.driver {
            Some(known) => known.clone_from(driver),
            none => *none = Some(driver.clone()),
        }
    }

    /// The channel that is wanted on a topic, as long as a handle of it is alive.
    pub(crate) fn channel(&self, topic: &str) -> Option<(Arc<Core>, Arc<Guard>)> {
        let entry = self.channels.get(&self.session.channel(topic)?)?;
        Some((Arc::clone(&entry.core), entry.guard.upgrade()?))
    }

    /// What is left to be told of pushes when nobody drains events any more. Those that were never sent end with the socket.
    fn take_outcomes(&mut self) -> Vec<(oneshot::Sender<PushOutcome>, PushOutcome)> {
        let mut outcomes = Vec::new();
        while let Some(event) = self.session.poll_event() {
            if let ClientEvent::PushEnded { push, outcome, .. } = event
                && outcome != PushOutcome::Dropped
                && let Some(waiter) = self.pushes.remove(&push)
            {
                outcomes.push((waiter, outcome));
            }
        }
        outcomes
    }
}

/// The last one that is dropped ends the socket.
pub(crate) struct Handle(pub(crate) Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.stop(SocketEnd::Dropped);
    }
}
