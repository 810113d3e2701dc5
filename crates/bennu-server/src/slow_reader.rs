//! What becomes of a channel's broadcasts when a client does not read them.

use std::fmt;
use std::sync::Arc;

use bennu_protocol::{Broadcast, Payload};

use crate::joined::guarded;

/// Which value a broadcast replaces; `None` for one that replaces nothing.
type KeyOf = Arc<dyn Fn(&str, &Payload) -> Option<String> + Send + Sync>;

/// What happens to a channel's broadcasts when a client reads more slowly than they come; see
/// [`Channels::slow_reader`](crate::Channels::slow_reader).
///
/// A client that keeps up gets every message, whatever is chosen here. Only broadcasts are ever dropped, and
/// of those only what the channel does not intercept: replies and pushes always arrive, or the connection ends.
/// What is not dropped keeps its order.
///
/// Once something was dropped the client is told the truth: the channel ends with `phx_error`, whose reason is
/// `slow_reader`, and everything of it that waited is dropped. Clients rejoin and fetch what is so now; on a
/// topic with a [`History`](crate::History) they get what they missed. [`lossy`](Self::lossy) is for channels where that is not needed.
///
/// ```
/// use bennu_server::SlowReader;
/// # use bennu_server::{Channel, Channels, JoinRefusal, JoinRequest, Joined};
/// # struct RoomChannel;
/// # struct CursorChannel;
/// # struct PriceChannel;
/// # macro_rules! channels { ($($name:ident)*) => { $(impl Channel for $name {
/// #     type Assigns = ();
/// #     async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> { Ok(Joined::new($name)) }
/// # })* } }
/// # channels!(RoomChannel CursorChannel PriceChannel);
///
/// #[derive(serde::Deserialize)]
/// struct Price {
///     symbol: String,
/// }
///
/// let channels = Channels::new()
///     // Whoever cannot follow a room rejoins it; the other channels of the connection go on.
///     .channel::<RoomChannel>("room:*")
///     .slow_reader(SlowReader::drop_oldest())
///     // Old positions of a cursor are of no use to anybody.
///     .channel::<CursorChannel>("cursors:*")
///     .slow_reader(SlowReader::drop_oldest().lossy())
///     // The newest price of each symbol counts.
///     .channel::<PriceChannel>("prices:*")
///     .slow_reader(SlowReader::keep_latest(|event, payload| match event {
///         "price" => payload.parse::<Price>().ok().map(|price| price.symbol),
///         _ => None,
///     }));
/// # drop(channels);
/// ```
#[derive(Clone)]
#[doc(alias = "backpressure")]
#[doc(alias = "conflation")]
pub struct SlowReader {
    policy: Policy,
    lossy: bool,
    max_backlog: Option<usize>,
    max_backlog_frames: usize,
}

#[derive(Clone)]
enum Policy {
    Disconnect,
    DropOldest,
    KeepLatest(KeyOf),
}

/// How many messages of one channel may wait, unless it is set.
const MAX_FRAMES: usize = 1_000;

impl SlowReader {
    /// Closes the connection with 1013: the client reconnects and rejoins all its channels. The default.
    #[must_use]
    pub fn disconnect() -> Self {
        SlowReader::new(Policy::Disconnect)
    }

    /// Drops what waited longest. By itself that ends the channel, so nothing of it stays; with
    /// [`lossy`](Self::lossy) the newest messages stay, and the channel goes on.
    #[must_use]
    pub fn drop_oldest() -> Self {
        SlowReader::new(Policy::DropOldest)
    }

    /// Keeps the newest message of each key, for messages that carry a whole value and not a change: from when
    /// more waits than may until the client has caught up, a newer message of a key makes those of that key that wait before it go.
    ///
    /// `key` gets event and payload; `None` is for a message that replaces nothing. The client of a key whose
    /// older value was dropped has the truth, so it is not told. When too much waits even so, the channel ends;
    /// with [`lossy`](Self::lossy), the oldest go. `key` runs for slow clients only, once for each message and client,
    /// and should be quick; if it panics, the message has no key.
    #[must_use]
    #[doc(alias = "conflate")]
    pub fn keep_latest(key: impl Fn(&str, &Payload) -> Option<String> + Send + Sync + 'static) -> Self {
        SlowReader::new(Policy::KeepLatest(Arc::new(key)))
    }

    fn new(policy: Policy) -> Self {
        SlowReader { policy, lossy: false, max_backlog: None, max_backlog_frames: MAX_FRAMES }
    }

    /// Drops messages without telling the client: for what is outdated soon and refers to nothing before it.
    ///
    /// Two kinds of broadcasts are never dropped silently: `presence_diff`, without which a client's list stays
    /// wrong, and what the topic's history keeps, since its offsets have no holes. When only those are left to drop, the
    /// channel ends with `phx_error`. Without effect on [`disconnect`](Self::disconnect).
    #[must_use]
    pub fn lossy(mut self) -> Self {
        self.lossy = true;
        self
    }

    /// Bytes of broadcasts of one channel that may wait for one client; a quarter of
    /// [`SocketOptions::max_backlog`](crate::SocketOptions::max_backlog) by default. One message may be larger.
    #[must_use]
    pub fn max_backlog(mut self, bytes: usize) -> Self {
        self.max_backlog = Some(bytes);
        self
    }

    /// Broadcasts of one channel that may wait for one client; 1,000 by default, one at least.
    ///
    /// Up to 64 more, of 64 KiB together, may be with the transport, which does not give them back.
    #[must_use]
    pub fn max_backlog_frames(mut self, count: usize) -> Self {
        self.max_backlog_frames = count.max(1);
        self
    }

    /// Fills in what depends on the socket's options; `None` if it asks for nothing that a connection does not do anyway.
    pub(crate) fn resolved(&self, max_backlog: usize) -> Option<Arc<Self>> {
        if matches!(self.policy, Policy::Disconnect)
            && self.max_backlog.is_none()
            && self.max_backlog_frames == MAX_FRAMES
        {
            return None;
        }
        let max_backlog = self.max_backlog.unwrap_or(max_backlog / 4);
        Some(Arc::new(SlowReader { max_backlog: Some(max_backlog), ..self.clone() }))
    }

    /// Whether so much is more than may wait.
    pub(crate) fn is_exceeded(&self, bytes: usize, frames: usize) -> bool {
        frames > self.max_backlog_frames || self.max_backlog.is_some_and(|max| bytes > max)
    }

    /// Whether the connection closes, where otherwise the channel would end.
    pub(crate) fn disconnects(&self) -> bool {
        matches!(self.policy, Policy::Disconnect)
    }

    pub(crate) fn keeps_latest(&self) -> bool {
        matches!(self.policy, Policy::KeepLatest(_))
    }

    pub(crate) fn is_lossy(&self) -> bool {
        self.lossy && !self.disconnects()
    }

    /// Which value a broadcast replaces.
    pub(crate) fn key(&self, broadcast: &Broadcast) -> Option<Box<str>> {
        let Policy::KeepLatest(key) = &self.policy else { return None };
        let found = guarded(|| key(broadcast.event(), broadcast.payload()));
        let found = found.unwrap_or_else(|panic| {
            tracing::error!(%panic, "the key of a slow reader's message panicked");
            None
        });
        found.map(String::into_boxed_str)
    }

    /// In a word, for metrics.
    pub(crate) fn as_str(&self) -> &'static str {
        match self.policy {
            Policy::Disconnect => "disconnect",
            Policy::DropOldest => "drop_oldest",
            Policy::KeepLatest(_) => "keep_latest",
        }
    }
}

/// The default: [`disconnect`](SlowReader::disconnect).
impl Default for SlowReader {
    fn default() -> Self {
        SlowReader::disconnect()
    }
}

impl fmt::Debug for SlowReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowReader")
            .field("policy", &self.as_str())
            .field("lossy", &self.lossy)
            .field("max_backlog", &self.max_backlog)
            .field("max_backlog_frames", &self.max_backlog_frames)
            .finish()
    }
}
