//! A socket: one connection after another to one server, and the channels on it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::client::{ConnectionEnd, OpenError, PushOutcome};
use bennu_protocol::{IntoPayload, Payload, Topic};
use serde_json::Value;

use crate::behaviour::{ChannelType, CustomChannel};
use crate::channel::Channel;
use crate::config::SocketConfig;
use crate::driver::Driver;
use crate::error::{JoinError, PushError, ReconfigureError, SocketEnd, SocketEnded, StartError};
use crate::join::{Join, Kind};
use crate::message::Message;
use crate::push;
use crate::shared::{Handle, Shared};
use crate::state::SocketState;
use crate::status::{SocketStatus, Statuses};
use crate::telemetry::SocketId;

/// A connection to a server that is made anew when it fails, and the channels on it.
///
/// Clones stand for the same socket. It ends when it is [stopped](Self::stop), or when the last handle of it and of its channels is dropped.
///
/// ```no_run
/// # async fn of() -> Result<(), Box<dyn std::error::Error>> {
/// use bennu_client::{Socket, SocketConfig};
/// use serde_json::json;
///
/// let socket = Socket::start(SocketConfig::new("ws://localhost:4000/socket"))?;
/// let (response, room) = socket.join("room:lobby", json!({"user": "ada"})).await?;
/// room.push("new_msg", json!({"body": "hello"})).await?;
/// while let Ok(message) = room.recv().await {
///     println!("{}: {:?}", message.event, message.payload);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Socket {
    handle: Arc<Handle>,
}

impl Socket {
    pub(crate) fn of(handle: Arc<Handle>) -> Self {
        Socket { handle }
    }

    /// Starts a socket on a task of the current runtime. It connects unless it is told [otherwise](SocketConfig::auto_connect).
    ///
    /// # Errors
    ///
    /// [`StartError`] when the settings cannot be used, or there is no runtime.
    #[doc(alias = "start_link")]
    pub fn start(config: SocketConfig) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let (socket, driver) = Socket::with_driver(config)?;
        // Its end is observed by `ended`: the driver tells it however it ends.
        drop(runtime.spawn(driver.run()));
        Ok(socket)
    }

    /// A socket, and the future that drives it, for programs that supervise their tasks. Nothing happens until it is polled.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the settings cannot be used.
    #[doc(alias = "child_spec")]
    pub fn with_driver(config: SocketConfig) -> Result<(Self, Driver), StartError> {
        let serializer = config.serializer()?;
        config.endpoint().map_err(|error| StartError::Url(error.to_string()))?;
        let connects = config.auto_connect;
        let handle = Shared::start(config, serializer)?;
        if connects {
            handle.0.call(|state, now| state.session.connect(now));
        }
        let driver = Driver::new(Arc::clone(&handle.0));
        Ok((Socket { handle }, driver))
    }

    /// The socket of this name, if it lives.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Shared::find(name).map(|handle| Socket { handle })
    }

    /// Connects, at once if the next attempt is waited for. Without effect while there is a connection.
    ///
    /// # Errors
    ///
    /// [`SocketEnded`] when there is no socket any more.
    pub fn connect(&self) -> Result<(), SocketEnded> {
        self.shared().try_call(|state, now| state.session.connect(now))
    }

    /// Closes the connection, and makes no other until [`connect`](Self::connect). Channels stay wanted, and what is buffered stays, as long as its time
    /// lasts.
    pub fn disconnect(&self) {
        self.disconnect_with(1000, "");
    }

    /// The same, with a code and a reason for the server. Codes that no close frame may carry, as 1005 and 1006, are sent as 1000.
    pub fn disconnect_with(&self, code: u16, reason: &str) {
        let code = match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => code,
            _ => 1000,
        };
        self.shared().call(|state, now| state.session.disconnect(code, reason, now));
    }

    /// Closes the connection and ends the socket, whatever handles there are.
    pub fn stop(&self) {
        self.shared().stop(SocketEnd::Stopped);
    }

    /// Waits until the socket has ended, and says how.
    pub async fn ended(&self) -> SocketEnd {
        self.shared().ended().await
    }

    /// Tells this socket apart from the others of the process.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.shared().id
    }

    /// Whether messages can travel.
    #[doc(alias = "connected?")]
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.status().is_connected()
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> SocketStatus {
        self.shared().status()
    }

    /// Where it stands, and each change of that.
    #[must_use]
    pub fn statuses(&self) -> Statuses<SocketStatus> {
        Statuses::new(self.shared().watch_status(), |status| matches!(status, SocketStatus::Ended(_)))
    }

    /// Waits until it is connected.
    ///
    /// # Errors
    ///
    /// [`JoinError::NotConnected`] when it is not, and does not try.
    pub async fn connected(&self) -> Result<(), JoinError> {
        let mut statuses = self.shared().watch_status();
        loop {
            let told = *statuses.borrow_and_update();
            match self.status() {
                // It is told once the channels of the settings are there.
                SocketStatus::Connected if told.is_connected() => return Ok(()),
                SocketStatus::Disconnected => return Err(JoinError::NotConnected),
                SocketStatus::Ended(end) => return Err(JoinError::SocketEnded(SocketEnded(end))),
                _ => {}
            }
            // The sender lives as long as this handle.
            let _changed = statuses.changed().await;
        }
    }

    /// Why the last attempt to connect failed; none once one has succeeded.
    #[must_use]
    pub fn last_error(&self) -> Option<OpenError> {
        self.shared().lock().last_error.clone()
    }

    /// How the last connection ended, if one has.
    #[must_use]
    pub fn last_close(&self) -> Option<ConnectionEnd> {
        self.shared().lock().last_close.clone()
    }

    /// Joins a topic: one attempt, which waits while the connection is being made. The channel stays joined from then on, through reconnects, until
    /// it is left or its last handle is dropped.
    ///
    /// ```no_run
    /// # async fn of(socket: bennu_client::Socket) -> Result<(), Box<dyn std::error::Error>> {
    /// use bennu_client::JoinError;
    /// use serde_json::json;
    ///
    /// match socket.join("room:private", json!({"user_id": 123})).await {
    ///     Ok((response, channel)) => println!("{:?} says {response:?}", channel.topic()),
    ///     Err(JoinError::TimedOut) => println!("no answer came"),
    ///     Err(JoinError::Unauthorized { .. }) => println!("not for us"),
    ///     Err(JoinError::AlreadyJoined { channel }) => println!("{:?} it is", channel.status()),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn join(&self, topic: impl Into<Topic>, params: impl IntoPayload) -> Join {
        Join::new(&self.handle, topic.into(), params, Kind::Only)
    }

    /// Joins a topic as [`join`](Self::join) does, after leaving the channel that has it, as the official client does.
    #[doc(alias = "leaveOpenTopic")]
    pub fn join_replacing(&self, topic: impl Into<Topic>, params: impl IntoPayload) -> Join {
        Join::new(&self.handle, topic.into(), params, Kind::Replacing)
    }

    /// Wants a topic joined, without waiting: also while there is no connection, and through failures, until the channel is left or dropped.
    ///
    /// # Errors
    ///
    /// [`JoinError::AlreadyJoined`] with the channel that has the topic, [`JoinError::Params`], [`JoinError::SocketEnded`].
    pub fn channel_join(
        &self,
        topic: impl Into<Topic>,
        params: impl IntoPayload,
    ) -> Result<Channel, JoinError> {
        self.join(topic, params).start()
    }

    /// Wants a topic joined as [`channel_join`](Self::channel_join) does, with a channel that has this [type](CustomChannel), whatever the settings say.
    ///
    /// # Errors
    ///
    /// Those of [`channel_join`](Self::channel_join).
    pub fn start_channel<C: CustomChannel>(
        &self,
        topic: impl Into<Topic>,
        params: impl IntoPayload,
        init: impl Fn(&Socket, &Topic, &Payload) -> C + Send + Sync + 'static,
    ) -> Result<Channel, JoinError> {
        self.join(topic, params).with_type(ChannelType::new(init)).start()
    }

    /// Leaves the channel on a topic, whoever has it; returns whether there was one.
    #[doc(alias = "remove_channel")]
    pub fn terminate_channel(&self, topic: &str) -> bool {
        self.shared().call(|state, now| {
            let found = state.session.channel(topic);
            if let Some(channel) = found {
                state.session.leave(channel, now);
            }
            found.is_some()
        })
    }

    /// Leaves all channels.
    #[doc(alias = "terminate")]
    pub fn terminate_channels(&self) {
        self.shared().call(|state, now| {
            for channel in state.channels.keys() {
                state.session.leave(*channel, now);
            }
        });
    }

    /// Leaves a channel without waiting for the server; [`Channel::leave`] waits.
    pub fn channel_leave(&self, channel: &Channel) {
        channel.stop();
    }

    /// The channel that is wanted on a topic.
    #[doc(alias = "channel_pid")]
    #[must_use]
    pub fn channel(&self, topic: &str) -> Option<Channel> {
        let found = self.shared().lock().channel(topic);
        found.map(|(core, guard)| Channel::new(core, guard, Some(Arc::clone(&self.handle))))
    }

    /// Sends a message as it is, as soon as the socket is connected, whatever channels there are; returns it with the ref that it has on the wire. It
    /// waits as long as that takes; one that gives way to newer ones in a full buffer is logged as a warning.
    ///
    /// # Errors
    ///
    /// [`PushError`] when it can never be sent.
    pub fn push(&self, message: Message) -> Result<Message, PushError> {
        let Message { topic, event, payload, join_ref, .. } = message.clone();
        let push = bennu_protocol::client::Push::new(event, payload);
        let sent =
            self.shared().try_call(|state, now| state.session.push_raw(topic, join_ref, push, now))??;
        Ok(message.with_reference(sent.reference()))
    }

    /// Takes back all that waits to be sent, in order. Whoever waits for one of these pushes is told that it was dropped.
    pub fn pop_all_to_send(&self) -> Vec<Message> {
        let taken = self.shared().call(|state, now| state.session.take_buffered(now));
        let messages = taken.into_iter().map(|(push, topic, it)| {
            Message::new(topic, it.event().clone(), it.payload().clone()).with_reference(push.reference())
        });
        messages.collect()
    }

    /// Sends a heartbeat beside those that are sent by themselves, and gives the time until its answer.
    ///
    /// # Errors
    ///
    /// [`PushError::NotConnected`], or how else it failed.
    pub async fn ping(&self) -> Result<Duration, PushError> {
        let shared = self.shared();
        let started = shared.now();
        let waiter =
            push::start(shared, |state, now| state.session.ping(now).ok_or(PushError::NotConnected))?;
        match waiter.await {
            // Any answer is a sign of life.
            Ok(PushOutcome::Reply { .. }) => Ok(shared.now().saturating_sub(started)),
            Ok(PushOutcome::Closed) => Err(PushError::NotConnected),
            outcome => push::judge(shared, outcome.ok()).map(|_| shared.now().saturating_sub(started)),
        }
    }

    /// Changes settings. If one of them concerns the connection (URL, params, headers, token, transport, version), a connection that there is is closed and
    /// made anew; channels are joined again on it. All others hold for what begins from now on.
    ///
    /// # Errors
    ///
    /// [`ReconfigureError`]; nothing has changed then.
    pub fn reconfigure(
        &self,
        change: impl FnOnce(SocketConfig) -> SocketConfig,
    ) -> Result<(), ReconfigureError> {
        let _one_at_a_time = self.shared().reconfiguring.lock();
        let old = self.shared().lock().config.clone();
        let new = change(old.clone());
        if new.name != old.name {
            return Err(ReconfigureError::Name);
        }
        let serializer = new.serializer().map_err(|_| ReconfigureError::Version(new.vsn.clone()))?;
        new.endpoint().map_err(|error| ReconfigureError::Url(error.to_string()))?;
        let restarts = new.connection_revision != old.connection_revision;
        let seed = getrandom::u64().unwrap_or_default();
        let session = new.session(serializer, seed);
        // Settings are dropped outside of the lock, the old and, if the socket has ended, the new ones: they hold what is the application's.
        let mut config = new;
        let replaced = self.shared().try_call(|state, now| {
            state.session.reconfigure(session);
            if restarts {
                state.session.reconnect(now);
            }
            std::mem::swap(&mut state.config, &mut config);
        });
        Ok(replaced?)
    }

    /// All that is known at this moment.
    #[doc(alias = "get_state")]
    #[must_use]
    pub fn state(&self) -> SocketState {
        let (snapshot, config, cores, custom) = {
            let state = self.shared().lock();
            let cores = Vec::from_iter(state.channels.values().map(|entry| Arc::clone(&entry.core)));
            (state.session.snapshot(), state.config.clone(), cores, state.custom.clone())
        };
        let hooks = cores.iter().map(|core| (core.topic.clone(), core.hooks.events())).collect();
        SocketState::new(snapshot, config, hooks, custom, self.shared().epoch)
    }

    /// What the application has put under a key.
    #[must_use]
    pub fn get_state(&self, key: &str) -> Option<Value> {
        self.shared().lock().custom.get(key).cloned()
    }

    /// Puts a value under a key, for whoever holds this socket; returns what was there.
    pub fn put_state(&self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        self.shared().lock().custom.insert(key, value)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.id())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
