//! What a socket may be told beforehand, and on the way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bennu_protocol::client::{Backoff, ClientConfig, ReconnectRule, SendBuffer, Transport};
use bennu_protocol::{Payload, Serializer, Topic};

use crate::behaviour::{ChannelType, CustomChannel};
use crate::endpoint::{Endpoint, EndpointError, Params};
use crate::error::StartError;
use crate::mailbox::MailboxLimits;
use crate::message::Message;
use crate::provider::Provider;
use crate::socket::Socket;
use crate::transport::{Fallback, WebSocket};

/// Settings of a socket. Only the URL must be given.
///
/// ```
/// use std::time::Duration;
///
/// use bennu_client::SocketConfig;
///
/// let config = SocketConfig::new("wss://example.com/socket")
///     .param("locale", "en")
///     .auth_token("a token")
///     .timeout(Duration::from_secs(3));
/// ```
#[derive(Clone)]
pub struct SocketConfig {
    pub(crate) name: Option<String>,
    pub(crate) url: String,
    pub(crate) params: Provider<Params>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) auth_token: Option<Provider<String>>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) connect_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) reconnect: bool,
    pub(crate) reconnect_after_normal_close: bool,
    pub(crate) reconnect_backoff: Backoff,
    pub(crate) rejoin_backoff: Backoff,
    pub(crate) join_deadline: Option<Duration>,
    pub(crate) auto_connect: bool,
    pub(crate) vsn: String,
    pub(crate) send_buffer: SendBuffer,
    pub(crate) mailbox: MailboxLimits,
    pub(crate) join_channels: Vec<(String, Option<Provider<Payload>>)>,
    pub(crate) default_channel_params: Provider<Payload>,
    pub(crate) topic_channels: BTreeMap<String, ChannelType>,
    pub(crate) default_channel: Option<ChannelType>,
    /// Rises with each setting that only another connection can take up.
    pub(crate) connection_revision: u64,
}

impl SocketConfig {
    /// Settings for a server at this URL, all others at their defaults. `ws://host/socket`, the same with the transport's segment
    /// (`ws://host/socket/websocket`), and the schemes `wss`, `http` and `https` all work.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        SocketConfig {
            name: None,
            url: url.into(),
            params: Provider::value(Params::default()),
            headers: Vec::new(),
            auth_token: None,
            transport: Arc::new(WebSocket::default()),
            connect_timeout: Duration::from_secs(10),
            heartbeat_interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            reconnect: true,
            reconnect_after_normal_close: false,
            reconnect_backoff: Backoff::reconnect(),
            rejoin_backoff: Backoff::rejoin(),
            join_deadline: Some(Duration::from_secs(60)),
            auto_connect: true,
            vsn: Serializer::V2.vsn().to_owned(),
            send_buffer: SendBuffer::default(),
            mailbox: MailboxLimits::default(),
            join_channels: Vec::new(),
            default_channel_params: Provider::value(Payload::empty()),
            topic_channels: BTreeMap::new(),
            default_channel: None,
            connection_revision: next_revision(),
        }
    }

    /// A name under which [`Socket::find`](crate::Socket::find) finds the socket; none by default. While it lives, no other one can have it.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Another URL.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self.reconnecting()
    }

    /// Params of the connection, asked for at every connect; none by default. They get into the URL, and so into logs: secrets go into
    /// [`auth_token`](Self::auth_token).
    #[must_use]
    pub fn params(mut self, params: impl Into<Provider<Params>>) -> Self {
        self.params = params.into();
        self.reconnecting()
    }

    /// One more param of the connection, beside those that are always the same.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let params = self.params.fixed().cloned().unwrap_or_default();
        self.params = Provider::value(params.with(name, value.into()));
        self.reconnecting()
    }

    /// Headers of the request that opens a connection; none by default.
    #[must_use]
    pub fn headers<N, V>(mut self, headers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<String>,
    {
        self.headers = headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self.reconnecting()
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self.reconnecting()
    }

    /// What proves to the server who the client is, asked for at every connect; none by default. It does not get into the URL.
    #[doc(alias = "authToken")]
    #[must_use]
    pub fn auth_token(mut self, token: impl Into<Provider<String>>) -> Self {
        self.auth_token = Some(token.into());
        self.reconnecting()
    }

    /// What carries the frames; [`WebSocket`] by default.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Arc::new(transport);
        self.reconnecting()
    }

    /// WebSockets, and long polling if they do not work within this time: the network may refuse or swallow them. Off by default. It stands for
    /// [`transport`](Self::transport) with a [`Fallback`].
    #[doc(alias = "longPollFallbackMs")]
    #[must_use]
    pub fn long_poll_fallback(self, after: Duration) -> Self {
        self.transport(Fallback::default().after(after))
    }

    /// How long it may take to open a connection, params and token included; 10 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long after opening, and after each answer, the next heartbeat is sent, and how long its answer is waited for; 30 s by default. Zero sends
    /// none.
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// How long joins, pushes and leaves wait for their answer when they say nothing else; 5 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether it connects again by itself; it does by default, but for a server that closed with code 1000.
    #[doc(alias = "reconnect?")]
    #[must_use]
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Whether it connects again also after the server has closed with code 1000; not by default.
    #[must_use]
    pub fn reconnect_after_normal_close(mut self, reconnect: bool) -> Self {
        self.reconnect_after_normal_close = reconnect;
        self
    }

    /// The same wait before each reconnect, without jitter. By default the official client's table holds,
    /// [`Backoff::reconnect`].
    #[must_use]
    pub fn reconnect_interval(self, interval: Duration) -> Self {
        self.reconnect_backoff(Backoff::constant(interval))
    }

    /// What it waits before each reconnect; [`Backoff::reconnect`] by default.
    #[doc(alias = "reconnectAfterMs")]
    #[must_use]
    pub fn reconnect_backoff(mut self, backoff: Backoff) -> Self {
        self.reconnect_backoff = backoff;
        self
    }

    /// What it waits before a failed channel is joined again; [`Backoff::rejoin`] by default.
    #[doc(alias = "rejoinAfterMs")]
    #[must_use]
    pub fn rejoin_backoff(mut self, backoff: Backoff) -> Self {
        self.rejoin_backoff = backoff;
        self
    }

    /// How long the server may leave joins without an answer while it says nothing but heartbeats, before the connection is taken for dead and made
    /// anew; 60 s by default. `None` leaves such a connection be.
    #[must_use]
    pub fn join_deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.join_deadline = deadline.into();
        self
    }

    /// Whether it connects as soon as it starts; it does by default.
    #[must_use]
    pub fn auto_connect(mut self, connect: bool) -> Self {
        self.auto_connect = connect;
        self
    }

    /// The version of the protocol, `"2.0.0"` by default. `"1.0.0"` is deprecated; using it is logged as a warning.
    #[must_use]
    pub fn vsn(mut self, vsn: impl Into<String>) -> Self {
        self.vsn = vsn.into();
        self.reconnecting()
    }

    /// How much may wait to be sent, and what gives way when that is too much; 1,000 pushes of 1 MiB in all by default, and more are refused.
    #[must_use]
    pub fn send_buffer(mut self, buffer: SendBuffer) -> Self {
        self.send_buffer = buffer;
        self
    }

    /// How many messages, and how many bytes of them, may wait in each channel until they are received; 10,000 and 16 MiB by default.
    /// Messages beyond that are [`RecvError::Missed`](crate::RecvError::Missed). It holds for channels that are joined from now on.
    #[must_use]
    pub fn mailbox(mut self, max_messages: usize, max_bytes: usize) -> Self {
        self.mailbox = MailboxLimits { messages: max_messages, bytes: max_bytes };
        self
    }

    /// A topic that is joined at every connect, with the [default params](Self::default_channel_params).
    #[doc(alias = "join_channels")]
    #[must_use]
    pub fn join_channel(mut self, topic: impl Into<String>) -> Self {
        self.join_channels.push((topic.into(), None));
        self
    }

    /// A topic that is joined at every connect, with these params.
    #[must_use]
    pub fn join_channel_with(
        mut self,
        topic: impl Into<String>,
        params: impl Into<Provider<Payload>>,
    ) -> Self {
        self.join_channels.push((topic.into(), Some(params.into())));
        self
    }

    /// What [`join_channel`](Self::join_channel) sends as params; `{}` by default.
    #[must_use]
    pub fn default_channel_params(mut self, params: impl Into<Provider<Payload>>) -> Self {
        self.default_channel_params = params.into();
        self
    }

    /// The type of the channel on one topic, however it is joined; none by default. See [`CustomChannel`].
    #[doc(alias = "topic_channel_map")]
    #[must_use]
    pub fn topic_channel<C: CustomChannel>(
        mut self,
        topic: impl Into<String>,
        init: impl Fn(&Socket, &Topic, &Payload) -> C + Send + Sync + 'static,
    ) -> Self {
        self.topic_channels.insert(topic.into(), ChannelType::new(init));
        self
    }

    /// The type of the channels on all other topics. By default they have none, and their owners get the messages with
    /// [`Channel::recv`](crate::Channel::recv).
    #[doc(alias = "default_channel_module")]
    #[doc(alias = "EchoRoom")]
    #[must_use]
    pub fn default_channel<C: CustomChannel>(
        mut self,
        init: impl Fn(&Socket, &Topic, &Payload) -> C + Send + Sync + 'static,
    ) -> Self {
        self.default_channel = Some(ChannelType::new(init));
        self
    }

    /// The type of the channel on a topic.
    pub(crate) fn channel_type(&self, topic: &str) -> Option<ChannelType> {
        self.topic_channels.get(topic).or(self.default_channel.as_ref()).cloned()
    }

    fn reconnecting(mut self) -> Self {
        self.connection_revision = next_revision();
        self
    }

    pub(crate) fn serializer(&self) -> Result<Serializer, StartError> {
        Message::serializer(&self.vsn).map_err(|_| StartError::Version(self.vsn.clone()))
    }

    pub(crate) fn endpoint(&self) -> Result<Endpoint, EndpointError> {
        self.url.parse()
    }

    /// The part of it that the session decides by.
    pub(crate) fn session(&self, serializer: Serializer, seed: u64) -> ClientConfig {
        let reconnect = match (self.reconnect, self.reconnect_after_normal_close) {
            (false, _) => ReconnectRule::Never,
            (true, false) => ReconnectRule::UnlessNormal,
            (true, true) => ReconnectRule::Always,
        };
        let heartbeats = self.transport.needs_heartbeats().then_some(self.heartbeat_interval);
        ClientConfig::default()
            .serializer(serializer)
            .timeout(self.timeout)
            .heartbeat_interval(heartbeats)
            .reconnect(reconnect)
            .reconnect_backoff(self.reconnect_backoff.clone())
            .rejoin_backoff(self.rejoin_backoff.clone())
            .join_deadline(self.join_deadline)
            .send_buffer(self.send_buffer)
            .seed(seed)
    }
}

/// Tells settings for different connections apart, however they were made.
fn next_revision() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Shows no params, headers or tokens.
impl fmt::Debug for SocketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketConfig")
            .field("name", &self.name)
            .field("url", &crate::telemetry::without_secrets(&self.url))
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
