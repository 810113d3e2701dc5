//! What a client session may be told beforehand.

use std::time::Duration;

use super::backoff::Backoff;
use crate::serializer::Serializer;

/// Settings of a [`ClientSession`](super::ClientSession).
///
/// ```
/// use std::time::Duration;
///
/// use bennu_protocol::client::{ClientConfig, ReconnectRule, SendBuffer};
///
/// let config = ClientConfig::default()
///     .timeout(Duration::from_secs(5))
///     .reconnect(ReconnectRule::Always)
///     .send_buffer(SendBuffer::default().max_pushes(100).drop_oldest());
/// ```
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub(super) serializer: Serializer,
    pub(super) timeout: Duration,
    pub(super) heartbeat_interval: Option<Duration>,
    pub(super) reconnect: ReconnectRule,
    pub(super) reconnect_backoff: Backoff,
    pub(super) rejoin_backoff: Backoff,
    pub(super) join_deadline: Option<Duration>,
    pub(super) max_retry_after: Duration,
    pub(super) send_buffer: SendBuffer,
    pub(super) seed: u64,
}

/// After which closes a session connects again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReconnectRule {
    /// After none.
    Never,
    /// After all but those with code 1000, as the official client.
    #[default]
    UnlessNormal,
    /// After all that were not asked for with `disconnect`.
    Always,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            serializer: Serializer::V2,
            timeout: Duration::from_secs(10),
            heartbeat_interval: Some(Duration::from_secs(30)),
            reconnect: ReconnectRule::default(),
            reconnect_backoff: Backoff::reconnect(),
            rejoin_backoff: Backoff::rejoin(),
            join_deadline: Some(Duration::from_secs(60)),
            max_retry_after: Duration::from_secs(300),
            send_buffer: SendBuffer::default(),
            seed: 0,
        }
    }
}

impl ClientConfig {
    /// The version of the protocol; 2.0.0 by default. The caller puts its [`vsn`](Serializer::vsn) into the URL.
    #[doc(alias = "vsn")]
    #[must_use]
    pub fn serializer(mut self, serializer: Serializer) -> Self {
        self.serializer = serializer;
        self
    }

    /// How long joins, leaves and pushes wait for their answer when they say nothing else; 10 s by default, as in the official
    /// client.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long after opening, and after each reply to a heartbeat, the next one is sent, and how long its reply is waited for; 30 s by default.
    /// `None`, and zero, send none, which is for transports that find out by themselves that the server is gone, as long polling.
    #[doc(alias = "heartbeatIntervalMs")]
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.heartbeat_interval = interval.into().filter(|interval| !interval.is_zero());
        self
    }

    /// After which closes the session connects again; [`ReconnectRule::UnlessNormal`] by default.
    #[doc(alias = "reconnect?")]
    #[must_use]
    pub fn reconnect(mut self, rule: ReconnectRule) -> Self {
        self.reconnect = rule;
        self
    }

    /// What it waits before it connects again; [`Backoff::reconnect`] by default.
    #[doc(alias = "reconnectAfterMs")]
    #[must_use]
    pub fn reconnect_backoff(mut self, backoff: Backoff) -> Self {
        self.reconnect_backoff = backoff;
        self
    }

    /// The same wait before each connect, without jitter, in place of a table.
    #[must_use]
    pub fn reconnect_interval(self, interval: Duration) -> Self {
        self.reconnect_backoff(Backoff::constant(interval))
    }

    /// What it waits before it joins a channel again; [`Backoff::rejoin`] by default.
    #[doc(alias = "rejoinAfterMs")]
    #[must_use]
    pub fn rejoin_backoff(mut self, backoff: Backoff) -> Self {
        self.rejoin_backoff = backoff;
        self
    }

    /// How long joins may stay without an answer while nothing comes but answers to heartbeats, before the connection is taken for dead and made
    /// anew; 60 s by default. `None` leaves such a connection be.
    #[must_use]
    pub fn join_deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.join_deadline = deadline.into();
        self
    }

    /// How long a server may ask to be left alone at most (`Retry-After`); 5 min by default.
    #[must_use]
    pub fn max_retry_after(mut self, wait: Duration) -> Self {
        self.max_retry_after = wait;
        self
    }

    /// How much may wait to be sent.
    #[must_use]
    pub fn send_buffer(mut self, buffer: SendBuffer) -> Self {
        self.send_buffer = buffer;
        self
    }

    /// Where the generator of the jitter starts; 0 by default. Give each client another one, or they all reconnect in step.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// How much may wait until its channel is joined and the transport takes it, and what gives way when that is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendBuffer {
    pub(super) max_pushes: usize,
    pub(super) max_bytes: usize,
    pub(super) when_full: WhenFull,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    Refuse,
    DropOldest,
}

impl Default for SendBuffer {
    fn default() -> Self {
        SendBuffer { max_pushes: 1_000, max_bytes: 1 << 20, when_full: WhenFull::Refuse }
    }
}

impl SendBuffer {
    /// How many pushes may wait; 1,000 by default.
    #[must_use]
    pub fn max_pushes(mut self, pushes: usize) -> Self {
        self.max_pushes = pushes;
        self
    }

    /// How many bytes of topics, events and payloads may wait; 1 MiB by default.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// A push that finds no room is refused; the default.
    #[must_use]
    pub fn refuse(mut self) -> Self {
        self.when_full = WhenFull::Refuse;
        self
    }

    /// A push that finds no room drives out the oldest ones that wait, each of which ends with
    /// [`PushOutcome::Dropped`](super::PushOutcome::Dropped).
    #[must_use]
    pub fn drop_oldest(mut self) -> Self {
        self.when_full = WhenFull::DropOldest;
        self
    }
}
