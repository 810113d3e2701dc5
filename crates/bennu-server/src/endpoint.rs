//! The whole of a server's sockets.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bennu_protocol::{Broadcast, IntoPayload, Payload, Topic, TopicPattern, TopicPatternError};
use bennu_pubsub::{Delivery, LinkStatus, PubSub, SubscriberId};
use bennu_token::{SecretKeyBase, Tokens};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::runtime::Handle;

use crate::admission::TokenBucket;
use crate::broadcast::{self, BroadcastError};
use crate::clock::WallClock;
use crate::config::SocketOptions;
use crate::drain::{Connections, LastAct, LastActs};
use crate::history::{History, Ring, Rings};
use crate::large_broadcast::LargeBroadcasts;
use crate::metrics::{self, EndpointMetrics, MountMetrics};
use crate::mount::{Mount, PathPattern};
use crate::origin::CheckOrigin;
use crate::revocations::{DEFAULT_MEMORY, RevocationTable, Revocations};
use crate::router::{Channels, Route, Stray, prefix_len};
use crate::socket::Socket;
use crate::transport::Transport;
use crate::transport::connect::Target;
use crate::transport::handshake::Handshake;
use crate::transport::longpoll::{Exchange, LongPoll, LongPollMount, random_text};
use crate::transport::shard::{ShardBounds, ShardStart, Shards};

/// A payload over this many bytes is worth a warning when it is broadcast.
const DEFAULT_LARGE_BROADCAST: usize = 64 * 1024;

/// The sockets of a server and the PubSub behind them. Cheap to clone.
///
/// Two endpoints with different PubSubs do not hear each other.
#[derive(Clone)]
#[doc(alias = "Phoenix.Endpoint")]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    pubsub: PubSub,
    exchange: Arc<Exchange>,
    tokens: Tokens,
    host: Option<String>,
    mounts: Vec<Arc<Mount>>,
    connections: Connections,
    last_acts: LastActs,
    connect_rate: Option<TokenBucket>,
    clock: WallClock,
    revocations: Revocations,
    metrics: EndpointMetrics,
    large_broadcasts: LargeBroadcasts,
    /// Whether any route keeps a history.
    keeps_history: bool,
    rings: Rings,
    shard_count: usize,
    shard_bounds: ShardBounds,
    shards: Mutex<Option<Arc<Shards>>>,
}

impl Endpoint {
    /// Starts to put an endpoint together.
    #[must_use]
    pub fn builder(pubsub: PubSub) -> EndpointBuilder {
        EndpointBuilder {
            pubsub,
            host: None,
            secret: None,
            mounts: Vec::new(),
            connect_rate: None,
            large_broadcast: DEFAULT_LARGE_BROADCAST,
            clock: WallClock::default(),
            revocation_memory: DEFAULT_MEMORY,
            history_budget: 64 << 20,
            shards: None,
            shard_bounds: ShardBounds { bytes: 64 << 20, broadcasts: 100_000 },
            last_acts: Vec::new(),
        }
    }

    /// The PubSub that its channels subscribe to.
    #[must_use]
    pub fn pubsub(&self) -> &PubSub {
        &self.0.pubsub
    }

    /// Makes and checks tokens with the endpoint's secret, as `Phoenix.Token` does.
    #[must_use]
    #[doc(alias = "Phoenix.Token")]
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// Sends an event to every client that joined `topic`, from anywhere in the program.
    ///
    /// # Errors
    ///
    /// [`BroadcastError::Encode`] when the payload has no JSON form, or the protocol version of some
    /// subscriber cannot carry it; subscribers of other versions have got it then. [`BroadcastError::Crossing`] when
    /// it cannot cross to other nodes; the clients of this one have got it then.
    #[doc(alias = "broadcast!")]
    #[doc(alias = "local_broadcast")]
    pub fn broadcast(
        &self,
        topic: impl Into<Topic>,
        event: &str,
        payload: impl IntoPayload,
    ) -> Result<(), BroadcastError> {
        self.deliver(Broadcast::new(topic.into(), event, payload.into_payload()?), None)
    }

    /// Closes, with 1001, every connection whose `connect` gave it this id
    /// ([`Connected::with_id`](crate::Connected::with_id)); an id that nobody has is no error.
    ///
    /// Official clients reconnect at once, with the same credential: [`revoke`](Self::revoke) keeps them out.
    pub fn disconnect(&self, id: impl Into<Topic>) {
        let id = id.into();
        let broadcast = Broadcast::new(id.clone(), "disconnect", Payload::empty());
        self.0.pubsub.broadcast(&id, broadcast);
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.0.connections.count()
    }

    /// What is mounted at the path of a request, if anything is.
    #[must_use]
    pub fn route<'a>(&'a self, path: &'a str) -> Option<Transport<'a>> {
        self.0.mounts.iter().find_map(|mount| {
            let target = |variables| Target { endpoint: self, mount, variables };
            if let Some(variables) = mount.websocket.as_ref().and_then(|pattern| pattern.matches(path)) {
                return Some(Transport::WebSocket(Handshake { target: target(variables) }));
            }
            let longpoll = mount.longpoll.as_ref()?;
            let variables = longpoll.path.matches(path)?;
            Some(Transport::LongPoll(LongPoll { target: target(variables), longpoll }))
        })
    }

    /// Sets the gauges of queue depth, which nothing else updates: call it before metrics are scraped.
    pub fn record_backlog(&self) {
        self.0.connections.with_backlogs(|backlogs| self.0.metrics.record_backlog(backlogs));
    }

    /// Gives a broadcast to all subscribers of its topic, or to all but one.
    pub(crate) fn deliver(
        &self,
        broadcast: Broadcast,
        from: Option<SubscriberId>,
    ) -> Result<(), BroadcastError> {
        let topic = broadcast.topic().clone();
        self.0.metrics.broadcasts.increment(1);
        self.0.large_broadcasts.check(&broadcast, || self.0.pubsub.subscriber_count(&topic));
        let history = self.history(&topic).filter(|history| history.keeps(broadcast.event()));
        let pubsub = &self.0.pubsub;
        let delivery = match (history, from) {
            (Some(history), _) => self.keep(&broadcast, history, from)?,
            (None, Some(from)) => pubsub.broadcast_from(from, &topic, broadcast),
            (None, None) => pubsub.broadcast(&topic, broadcast),
        };
        // An error stays in the broadcast, whichever subscriber's version it was about.
        if let Some(error) = delivery.get::<Broadcast>().and_then(Broadcast::encode_error) {
            return Err(error.clone().into());
        }
        Ok(delivery.crossing()?)
    }

    /// Numbers a broadcast for this node's subscribers, and keeps it. Other nodes get it without the number, as each has its own.
    fn keep(
        &self,
        broadcast: &Broadcast,
        history: &Arc<History>,
        from: Option<SubscriberId>,
    ) -> Result<Delivery, BroadcastError> {
        let (pubsub, topic) = (&self.0.pubsub, broadcast.topic());
        let mut crossing = Ok(());
        let send = |numbered| {
            crossing = pubsub.broadcast_elsewhere(topic, broadcast);
            match from {
                Some(from) => pubsub.local_broadcast_from(from, topic, numbered),
                None => pubsub.local_broadcast(topic, numbered),
            }
        };
        let delivery = self.0.rings.publish(broadcast, history, send)?;
        crossing?;
        Ok(delivery)
    }

    /// Takes what other nodes broadcast to clients, if topics are kept that it may be for.
    fn take_remote(&self) {
        if !self.0.keeps_history {
            return;
        }
        let endpoint = Arc::downgrade(&self.0);
        self.0.pubsub.on_remote::<Broadcast>(move |pubsub, delivery| {
            let endpoint = endpoint.upgrade().map(Endpoint);
            let broadcast = delivery.get::<Broadcast>().zip(endpoint.as_ref());
            let history = broadcast.and_then(|(broadcast, endpoint)| {
                endpoint.history(broadcast.topic()).filter(|history| history.keeps(broadcast.event()))
            });
            match (&endpoint, history) {
                (Some(endpoint), Some(history)) => endpoint.0.rings.publish_remote(&delivery, history),
                _ => pubsub.redeliver(&delivery),
            }
        });
    }

    pub(crate) fn clock(&self) -> &WallClock {
        &self.0.clock
    }

    pub(crate) fn revocation_table(&self) -> &RevocationTable {
        self.0.revocations.table()
    }

    /// How its long polling reaches that of other nodes.
    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        &self.0.exchange
    }

    /// What is kept of a topic: as the first route says that serves it and keeps anything.
    fn history(&self, topic: &str) -> Option<&Arc<History>> {
        let mut mounts = self.0.mounts.iter().filter(|_| self.0.keeps_history);
        mounts.find_map(|mount| mount.history(topic))
    }

    /// The ring of a topic that is kept.
    pub(crate) fn ring(&self, topic: &Topic) -> Option<Arc<Ring>> {
        Some(self.0.rings.ring(topic, self.history(topic)?))
    }

    /// From how many bytes on messages are compressed, where they are: one for all mounts, as
    /// what is broadcast to several of them is compressed once.
    pub(crate) fn compression_threshold(&self) -> usize {
        let compressions = self.0.mounts.iter().filter_map(|mount| mount.options.compression);
        compressions.map(|compression| compression.threshold).min().unwrap_or(usize::MAX)
    }

    /// The shards, started by the first connection that needs one.
    pub(crate) fn shards(&self) -> io::Result<Arc<Shards>> {
        let mut started = self.0.shards.lock();
        if let Some(shards) = &*started
            && shards.are_running()
        {
            return Ok(shards.clone());
        }
        // An endpoint may be used in one runtime after another.
        let shards = Shards::start(
            self.0.shard_count,
            ShardStart {
                pubsub: self.0.pubsub.clone(),
                bounds: self.0.shard_bounds,
                lost_total: self.0.metrics.lost_broadcasts.clone(),
            },
        )?;
        let shards = Arc::new(shards);
        *started = Some(shards.clone());
        Ok(shards)
    }

    pub(crate) fn host(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.0.connections
    }

    pub(crate) fn last_acts(&self) -> &LastActs {
        &self.0.last_acts
    }

    pub(crate) fn connect_rate(&self) -> Option<&TokenBucket> {
        self.0.connect_rate.as_ref()
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.0.mounts.iter().flat_map(|mount| mount.paths()).collect();
        f.debug_struct("Endpoint").field("host", &self.0.host).field("mounts", &paths).finish_non_exhaustive()
    }
}

/// Puts an [`Endpoint`] together.
pub struct EndpointBuilder {
    pubsub: PubSub,
    host: Option<String>,
    secret: Option<SecretKeyBase>,
    mounts: Vec<Result<Mount, BuildError>>,
    connect_rate: Option<TokenBucket>,
    large_broadcast: usize,
    clock: WallClock,
    revocation_memory: Duration,
    history_budget: usize,
    shards: Option<usize>,
    shard_bounds: ShardBounds,
    last_acts: Vec<LastAct>,
}

/// Why an endpoint cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A channel's topic pattern is wrong.
    #[error("the socket at {path:?} has a channel for {pattern:?}, which is no topic pattern")]
    TopicPattern {
        /// Where the socket is mounted.
        path: String,
        /// The pattern.
        pattern: String,
        /// What is wrong.
        source: TopicPatternError,
    },
    /// [`Channels::history`] was called before any channel was declared.
    #[error("the socket at {path:?} has a history without a channel in front of it")]
    HistoryWithoutChannel {
        /// Where the socket is mounted.
        path: String,
    },
    /// [`Channels::slow_reader`] was called before any channel was declared.
    #[error("the socket at {path:?} has a policy for slow readers without a channel in front of it")]
    SlowReaderWithoutChannel {
        /// Where the socket is mounted.
        path: String,
    },
    /// Two sockets are mounted at one path.
    #[error("two sockets are mounted at {0:?}")]
    PathTaken(String),
    /// Nothing runs what an endpoint has to do in a cluster.
    #[error("an endpoint of a cluster is built within a tokio runtime")]
    NoRuntime,
    /// A socket would let every page of the web act with the sessions of its visitors.
    #[error("the socket at {0:?} reads sessions, so it must check the origin or the CSRF token")]
    OpenSession(String),
}

impl EndpointBuilder {
    /// The host under which browsers know this server; what [`CheckOrigin::Host`](crate::CheckOrigin::Host)
    /// compares with. By default that is the `Host` header of the request.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The secret of the endpoint's tokens and sessions. By default a random one, with which tokens
    /// end with the program and sessions of other programs cannot be read. Nodes that serve the
    /// same long-poll clients need the same one.
    #[must_use]
    pub fn secret_key_base(mut self, secret: SecretKeyBase) -> Self {
        self.secret = Some(secret);
        self
    }

    /// How many clients may connect each second, and how many at once after a quiet time; no
    /// bound by default. The rest is refused with 503 and `Retry-After` before `connect` runs.
    ///
    /// Set it to what `connect` and the joins behind it can stand when all clients come back
    /// after a restart: clients that are refused try again by themselves.
    #[must_use]
    pub fn connect_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.connect_rate = Some(TokenBucket::new(per_second, burst));
        self
    }

    /// Bytes that the [histories](crate::History) of all topics together may take; 64 MiB by
    /// default. Beyond that, those that were quiet longest lose what they keep, and clients that
    /// would have needed it are told `recovered: false`.
    #[must_use]
    pub fn history_budget(mut self, bytes: usize) -> Self {
        self.history_budget = bytes;
        self
    }

    /// Mounts a socket at `path`, such as `/socket`, so that its WebSocket is at
    /// `/socket/websocket`, and its long polling, where that is on, at `/socket/longpoll`. Segments `:name` of the path become connect parameters.
    #[must_use]
    pub fn socket<S: Socket>(
        mut self,
        path: &str,
        socket: S,
        channels: Channels<S::Assigns>,
        options: SocketOptions,
    ) -> Self {
        self.mounts.push(match channels.stray {
            Some(Stray::History) => Err(BuildError::HistoryWithoutChannel { path: path.to_owned() }),
            Some(Stray::SlowReader) => Err(BuildError::SlowReaderWithoutChannel { path: path.to_owned() }),
            None => mount(path, socket, channels.routes, options),
        });
        self
    }

    /// How long a revocation is remembered; 14 days by default. Make it as long as the longest life
    /// of a credential: after it, one that was revoked connects again.
    #[must_use]
    pub fn revocation_memory(mut self, memory: Duration) -> Self {
        self.revocation_memory = memory;
        self
    }

    /// What tells the time of day, by which tokens age and credentials expire and are revoked; the system's clock by default.
    /// For tests that own the time.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = WallClock::new(clock);
        self
    }

    /// Above how many bytes of payload a broadcast is warned about, once for each topic, with what it comes to
    /// for all subscribers; 65,536 by default.
    #[must_use]
    pub fn large_broadcast(mut self, bytes: usize) -> Self {
        self.large_broadcast = bytes;
        self
    }

    /// How many shards serve the WebSockets whose TCP streams the server gives to the endpoint, each a
    /// thread of its own; as many as there are cores by default, and at least one.
    ///
    /// Handlers run on these threads, inside the runtime in which the first connection came: `tokio::spawn`, timers and
    /// `spawn_blocking` are that runtime's. A shard's thread is none of the runtime's own, so nobody takes over for it:
    /// `block_in_place` and `Handle::block_on` do not panic there, and hold up all connections of the shard.
    #[must_use]
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = Some(count.max(1));
        self
    }

    /// Bytes of broadcasts that may wait in one shard until all of its subscribers got them; 64 MiB by default.
    ///
    /// They wait while a handler blocks the shard's thread, or while more is broadcast than the shard can write. What
    /// finds no room is lost, and counted in `bennu_shard_lost_broadcasts_total`: whoever broadcasts never waits. The channels
    /// that missed it are told when the shard goes on, as those of a client that reads too slowly: their connections close
    /// with 1013, or where they have a [policy](crate::Channels::slow_reader) they end with `phx_error`, lossy or not,
    /// since the newest is what they missed. One broadcast may be larger. A broadcast counts with its payload; a message
    /// of a type of the application's own counts with its size, without what it points to, so there the number is the bound.
    #[must_use]
    pub fn max_shard_backlog(mut self, bytes: usize) -> Self {
        self.shard_bounds.bytes = bytes;
        self
    }

    /// Broadcasts that may wait in one shard, however small they are; 100,000 by default. As with
    /// [`max_shard_backlog`](Self::max_shard_backlog), the next ones are lost.
    #[must_use]
    pub fn max_shard_backlog_broadcasts(mut self, count: usize) -> Self {
        self.shard_bounds.broadcasts = count;
        self
    }

    /// Has something done at the end of [`drain`](Endpoint::drain), when everybody has gone and what was broadcast has yet to leave: to tell the
    /// other nodes that this one is going, say. What is given first is done first, and all of it may take 5 s.
    ///
    /// ```
    /// # use bennu_server::Endpoint;
    /// # fn example(pubsub: bennu_pubsub::PubSub) {
    /// let builder = Endpoint::builder(pubsub.clone()).on_shutdown(async move || {
    ///     pubsub.broadcast("nodes", "one is going".to_owned());
    /// });
    /// # drop(builder);
    /// # }
    /// ```
    #[must_use]
    pub fn on_shutdown<F>(mut self, act: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.last_acts.push(Box::new(move || Box::pin(act())));
        self
    }

    /// Builds the endpoint.
    ///
    /// Metrics go to the recorder that is installed by now; see [`METRICS`](crate::METRICS).
    ///
    /// # Errors
    ///
    /// [`BuildError`] for a wrong topic pattern, a path that is taken, or sessions for every page of the web, and outside of
    /// a tokio runtime in a cluster.
    pub fn build(self) -> Result<Endpoint, BuildError> {
        if self.pubsub.link() != LinkStatus::Local && Handle::try_current().is_err() {
            return Err(BuildError::NoRuntime);
        }
        metrics::describe();
        let mut mounts: Vec<Arc<Mount>> = Vec::new();
        for mount in self.mounts {
            let mount = mount?;
            if matches!(mount.options.check_origin, CheckOrigin::Any) {
                tracing::warn!(
                    mount = mount.base,
                    "any web page may connect here, with its visitor's address and network: \
                     name the pages that may with SocketOptions::check_origin"
                );
            }
            let paths: Vec<_> = mounts.iter().flat_map(|other| other.paths()).chain(mount.paths()).collect();
            let is_taken = |path| paths.iter().filter(|other| **other == path).count() > 1;
            if mount.paths().any(is_taken) {
                return Err(BuildError::PathTaken(mount.base));
            }
            mounts.push(Arc::new(mount));
        }
        self.pubsub.register_codec(broadcast::CODEC);
        let secret = self.secret.unwrap_or_else(SecretKeyBase::random);
        let clock = self.clock.clone();
        let keeps_history =
            mounts.iter().any(|mount| mount.routes.iter().any(|route| route.history.is_some()));
        let sessions = mounts.iter().filter_map(|mount| mount.longpoll.as_ref());
        let sessions = sessions.map(|longpoll| longpoll.sessions.clone()).collect();
        let exchange = Exchange::new(self.pubsub.clone(), &random_text(), sessions);
        let rings = Rings::new(self.pubsub.clone(), self.history_budget);
        let endpoint = Endpoint(Arc::new(Inner {
            tokens: Tokens::with_clock(secret, move || clock.now()),
            exchange: Arc::new(exchange),
            revocations: Revocations::new(self.pubsub.clone(), self.revocation_memory, self.clock.clone()),
            clock: self.clock,
            pubsub: self.pubsub,
            host: self.host,
            mounts,
            connections: Connections::default(),
            last_acts: LastActs::new(self.last_acts),
            connect_rate: self.connect_rate,
            metrics: EndpointMetrics::new(),
            large_broadcasts: LargeBroadcasts::new(self.large_broadcast),
            keeps_history,
            rings,
            shard_count: self.shards.unwrap_or_else(cores),
            shard_bounds: self.shard_bounds,
            shards: Mutex::new(None),
        }));
        endpoint.take_remote();
        Ok(endpoint)
    }
}

pub(crate) fn mount<S: Socket>(
    path: &str,
    socket: S,
    mut routes: Vec<Route>,
    options: SocketOptions,
) -> Result<Mount, BuildError> {
    if options.is_session_open() {
        return Err(BuildError::OpenSession(path.to_owned()));
    }
    for route in &mut routes {
        route.slow_reader = route.slow_reader.take().and_then(|policy| policy.resolved(options.max_backlog));
    }
    let patterns: Vec<TopicPattern> =
        routes.iter().map(|route| pattern(path, route)).collect::<Result<_, _>>()?;
    let prefixes = patterns.iter().map(prefix_len).collect();
    let session = Mount::session_config(patterns, &options);
    Ok(Mount {
        base: path.to_owned(),
        metrics: MountMetrics::new(path, routes.iter().map(|route| (route.pattern.as_str(), route.policy()))),
        websocket: options.websocket.then(|| PathPattern::new(path, &options.path)),
        longpoll: options.longpoll.clone().map(|longpoll| LongPollMount::new(path, longpoll, &session)),
        socket: Box::new(socket),
        routes,
        prefixes,
        session,
        options,
    })
}

fn pattern(path: &str, route: &Route) -> Result<TopicPattern, BuildError> {
    let (path, pattern) = (path.to_owned(), route.pattern.clone());
    route.pattern.parse().map_err(|source| BuildError::TopicPattern { path, pattern, source })
}

impl fmt::Debug for EndpointBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointBuilder({} mounts)", self.mounts.len())
    }
}
