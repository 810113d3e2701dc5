//! A socket and its channels at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::client::{Backoff, ChannelSnapshot, PushSnapshot, SocketSnapshot, Transport};
use bennu_protocol::{Event, Payload, Ref, Topic};
use serde_json::Value;
use tokio::time::Instant;

use crate::config::SocketConfig;
use crate::endpoint::Params;
use crate::status::{ChannelStatus, SocketStatus, moment};

/// A socket at one moment.
#[doc(alias = "Phoenix.SocketClient.State")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SocketState {
    /// Its settings.
    pub settings: Settings,
    /// Where it stands.
    pub status: SocketStatus,
    /// Since when.
    pub since: Instant,
    /// When the last connect began, if ever.
    #[doc(alias = "connect_start_time")]
    pub connect_started: Option<Instant>,
    /// How many reconnects have been tried since it was last connected.
    pub reconnects: u32,
    /// The ref that was given out last, 0 if none was.
    #[doc(alias = "ref")]
    pub last_ref: u64,
    /// The channels that are wanted, by topic.
    #[doc(alias = "joined_channels")]
    pub channels: BTreeMap<Topic, ChannelState>,
    /// Messages of no channel that have not ended; those of channels are in [`ChannelState::pushes`].
    #[doc(alias = "to_send_r")]
    pub pushes: Vec<PushState>,
    /// How many pushes wait to be sent, those of channels included.
    pub buffered_pushes: usize,
    /// Bytes of topics, events and payloads that wait to be sent.
    pub buffered_bytes: usize,
    /// What the application has put there.
    pub custom: BTreeMap<String, Value>,
}

impl SocketState {
    pub(crate) fn new(
        snapshot: SocketSnapshot,
        config: SocketConfig,
        mut hooks: BTreeMap<Topic, Vec<String>>,
        custom: BTreeMap<String, Value>,
        epoch: Instant,
    ) -> Self {
        let channels = snapshot.channels.into_iter();
        SocketState {
            settings: Settings::new(config),
            status: SocketStatus::new(snapshot.status, epoch),
            since: moment(epoch, snapshot.since),
            connect_started: snapshot.connect_started.map(|at| moment(epoch, at)),
            reconnects: snapshot.reconnects,
            last_ref: snapshot.last_ref,
            channels: channels
                .map(|channel| {
                    let topic = channel.topic.clone();
                    let hooks = hooks.remove(&topic).unwrap_or_default();
                    (topic, ChannelState::new(channel, hooks, epoch))
                })
                .collect(),
            pushes: snapshot.pushes.into_iter().map(|push| PushState::new(push, epoch)).collect(),
            buffered_pushes: snapshot.buffered_pushes,
            buffered_bytes: snapshot.buffered_bytes,
            custom,
        }
    }

    /// Whether it is between two connections, and makes the next one by itself.
    #[must_use]
    pub fn is_reconnecting(&self) -> bool {
        self.reconnects > 0 || matches!(self.status, SocketStatus::Reconnecting { .. })
    }
}

/// The settings of a socket, as they are at one moment.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// [`SocketConfig::name`].
    pub name: Option<String>,
    /// [`SocketConfig::url`].
    pub url: String,
    /// [`SocketConfig::params`], if they are always the same.
    pub params: Option<Params>,
    /// [`SocketConfig::headers`].
    pub headers: Vec<(String, String)>,
    /// [`SocketConfig::vsn`].
    pub vsn: String,
    /// [`SocketConfig::transport`].
    pub transport: Arc<dyn Transport>,
    /// [`SocketConfig::connect_timeout`].
    pub connect_timeout: Duration,
    /// [`SocketConfig::heartbeat_interval`].
    pub heartbeat_interval: Duration,
    /// [`SocketConfig::timeout`].
    pub timeout: Duration,
    /// [`SocketConfig::reconnect`].
    pub reconnect: bool,
    /// [`SocketConfig::reconnect_after_normal_close`].
    pub reconnect_after_normal_close: bool,
    /// [`SocketConfig::reconnect_backoff`].
    #[doc(alias = "reconnect_interval")]
    pub reconnect_backoff: Backoff,
    /// [`SocketConfig::rejoin_backoff`].
    pub rejoin_backoff: Backoff,
    /// [`SocketConfig::auto_connect`].
    pub auto_connect: bool,
    /// Topics of [`SocketConfig::join_channel`].
    pub join_channels: Vec<String>,
    /// [`SocketConfig::default_channel_params`], if they are always the same.
    pub default_channel_params: Option<Payload>,
}

impl Settings {
    fn new(config: SocketConfig) -> Self {
        Settings {
            params: config.params.fixed().cloned(),
            default_channel_params: config.default_channel_params.fixed().cloned(),
            join_channels: config.join_channels.into_iter().map(|(topic, _)| topic).collect(),
            name: config.name,
            url: config.url,
            headers: config.headers,
            vsn: config.vsn,
            transport: config.transport,
            connect_timeout: config.connect_timeout,
            heartbeat_interval: config.heartbeat_interval,
            timeout: config.timeout,
            reconnect: config.reconnect,
            reconnect_after_normal_close: config.reconnect_after_normal_close,
            reconnect_backoff: config.reconnect_backoff,
            rejoin_backoff: config.rejoin_backoff,
            auto_connect: config.auto_connect,
        }
    }
}

/// Shows no params or headers, and no URL, which may have a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("vsn", &self.vsn)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// A channel at one moment.
#[doc(alias = "Phoenix.SocketClient.Channel.State")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChannelState {
    /// Its topic.
    pub topic: Topic,
    /// Where it stands.
    pub status: ChannelStatus,
    /// What was sent with the last join, if one was sent.
    pub params: Option<Payload>,
    /// Ref of the join that is joined or joining.
    pub join_ref: Option<Ref>,
    /// When the last attempt to join began.
    #[doc(alias = "join_start_time")]
    pub join_started: Instant,
    /// How many attempts have failed since it was last joined, or the socket connected.
    pub rejoins: u32,
    /// Events that have a hook.
    pub hooks: Vec<String>,
    /// Pushes that have not ended, in the order in which they were asked for.
    pub pushes: Vec<PushState>,
}

impl ChannelState {
    pub(crate) fn new(snapshot: ChannelSnapshot, hooks: Vec<String>, epoch: Instant) -> Self {
        ChannelState {
            topic: snapshot.topic,
            status: ChannelStatus::new(snapshot.status, epoch),
            params: snapshot.params,
            join_ref: snapshot.join_ref,
            join_started: moment(epoch, snapshot.join_started),
            rejoins: snapshot.rejoins,
            hooks,
            pushes: snapshot.pushes.into_iter().map(|push| PushState::new(push, epoch)).collect(),
        }
    }
}

/// A push that has not ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PushState {
    /// Its ref.
    pub reference: Ref,
    /// Its topic.
    pub topic: Topic,
    /// Its event.
    pub event: Event,
    /// When it was asked for; of a leave, when the channel was left.
    #[doc(alias = "leave_start_time")]
    pub started: Instant,
    /// Whether the transport has taken it.
    pub was_sent: bool,
    /// When it ends by itself.
    pub times_out_at: Option<Instant>,
}

impl PushState {
    fn new(snapshot: PushSnapshot, epoch: Instant) -> Self {
        PushState {
            reference: snapshot.push.reference(),
            topic: snapshot.topic,
            event: snapshot.event,
            started: moment(epoch, snapshot.started),
            was_sent: snapshot.was_sent,
            times_out_at: snapshot.times_out_at.map(|at| moment(epoch, at)),
        }
    }
}
