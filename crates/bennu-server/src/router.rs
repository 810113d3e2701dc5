//! Which channel serves which topic.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use bennu_protocol::{Payload, Topic, TopicPattern};
use futures_util::future::BoxFuture;

use crate::channel::{Channel, JoinRefusal, JoinRequest, Joined};
use crate::context::Client;
use crate::history::History;
use crate::joined::AnyChannel;
use crate::slow_reader::SlowReader;
use crate::socket::TransportKind;

/// A value that a route hands to its channels.
pub(crate) type RouteValue = Arc<dyn Any + Send + Sync>;

/// The channels of a socket, by topic pattern; the first pattern that matches serves.
pub struct Channels<A> {
    pub(crate) routes: Vec<Route>,
    /// An option that was given before there was a route for it.
    pub(crate) stray: Option<Stray>,
    assigns: PhantomData<fn() -> A>,
}

/// What is said of the channel that was declared last.
#[derive(Clone, Copy)]
pub(crate) enum Stray {
    History,
    SlowReader,
}

/// One pattern and the channel behind it.
pub(crate) struct Route {
    pub(crate) pattern: String,
    pub(crate) intercept: &'static [&'static str],
    pub(crate) value: Option<RouteValue>,
    pub(crate) history: Option<Arc<History>>,
    /// If a connection has to do anything for it; complete once the socket is mounted.
    pub(crate) slow_reader: Option<Arc<SlowReader>>,
    pub(crate) start: fn(JoinStart) -> BoxFuture<'static, JoinOutcome>,
}

impl Route {
    /// What it does about slow readers, in a word.
    pub(crate) fn policy(&self) -> &'static str {
        self.slow_reader.as_ref().map_or("disconnect", |policy| policy.as_str())
    }

    /// Whether a broadcast may never be dropped without a word: a client would be wrong for ever, or its history have a hole.
    pub(crate) fn is_vital(&self, event: &str) -> bool {
        let is_kept = self.history.as_ref().is_some_and(|history| history.keeps(event));
        is_kept || event.starts_with("presence_") || event.starts_with("phx_")
    }
}

/// What a route needs to try a join.
pub(crate) struct JoinStart {
    pub(crate) client: Arc<Client>,
    pub(crate) topic: Topic,
    pub(crate) route: usize,
    pub(crate) prefix: usize,
    pub(crate) payload: Payload,
    pub(crate) transport: TransportKind,
}

/// The channel and its join response, or why there is none.
pub(crate) type JoinOutcome = Result<(Box<dyn AnyChannel>, Payload), JoinRefusal>;

impl<A: Send + Sync + 'static> Channels<A> {
    /// No channels yet: every join is answered with `unmatched topic`.
    #[must_use]
    pub fn new() -> Self {
        Channels { routes: Vec::new(), stray: None, assigns: PhantomData }
    }

    /// Serves the topics that match `pattern`, such as `room:*` or `lobby`, with channel `C`.
    #[must_use]
    pub fn channel<C: Channel<Assigns = A>>(self, pattern: &str) -> Self {
        self.route::<C>(pattern, None)
    }

    /// Like [`channel`](Self::channel), with a value that the channels of this route
    /// find with `route_value`.
    #[must_use]
    #[doc(alias = "assigns")]
    pub fn channel_with<C: Channel<Assigns = A>>(self, pattern: &str, value: impl Any + Send + Sync) -> Self {
        self.route::<C>(pattern, Some(Arc::new(value)))
    }

    /// Keeps the last broadcasts of the topics of the channel that was declared last, so that
    /// clients which lost their connection get what they missed; see [`History`].
    ///
    /// Where two sockets of an endpoint serve the same topics, the history of the one that was mounted
    /// first counts for both.
    ///
    /// ```
    /// # use bennu_server::{Channel, Channels, History, JoinRefusal, JoinRequest, Joined};
    /// # struct RoomChannel;
    /// # impl Channel for RoomChannel {
    /// #     type Assigns = ();
    /// #     async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
    /// #         Ok(Joined::new(RoomChannel))
    /// #     }
    /// # }
    /// let channels = Channels::new().channel::<RoomChannel>("room:*").history(History::last(100));
    /// # drop(channels);
    /// ```
    #[must_use]
    pub fn history(mut self, history: History) -> Self {
        match self.routes.last_mut() {
            Some(route) => route.history = Some(Arc::new(history)),
            None => self.stray = Some(Stray::History),
        }
        self
    }

    /// What happens to broadcasts of the channel that was declared last when a client does not read them; by default
    /// its connection is closed with 1013. See [`SlowReader`].
    ///
    /// ```
    /// # use bennu_server::{Channel, Channels, JoinRefusal, JoinRequest, Joined, SlowReader};
    /// # struct CursorChannel;
    /// # impl Channel for CursorChannel {
    /// #     type Assigns = ();
    /// #     async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
    /// #         Ok(Joined::new(CursorChannel))
    /// #     }
    /// # }
    /// let cursors = SlowReader::drop_oldest().lossy();
    /// let channels = Channels::new().channel::<CursorChannel>("cursors:*").slow_reader(cursors);
    /// # drop(channels);
    /// ```
    #[must_use]
    pub fn slow_reader(mut self, policy: SlowReader) -> Self {
        match self.routes.last_mut() {
            Some(route) => route.slow_reader = Some(Arc::new(policy)),
            None => self.stray = Some(Stray::SlowReader),
        }
        self
    }

    fn route<C: Channel<Assigns = A>>(mut self, pattern: &str, value: Option<RouteValue>) -> Self {
        let pattern = pattern.to_owned();
        self.routes.push(Route {
            pattern,
            intercept: C::INTERCEPT,
            value,
            history: None,
            slow_reader: None,
            start: start::<C>,
        });
        self
    }
}

impl<A: Send + Sync + 'static> Default for Channels<A> {
    fn default() -> Self {
        Channels::new()
    }
}

impl<A> fmt::Debug for Channels<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| &route.pattern)).finish()
    }
}

fn start<C: Channel>(start: JoinStart) -> BoxFuture<'static, JoinOutcome> {
    Box::pin(async move {
        let JoinStart { client, topic, route, prefix, payload, transport } = start;
        let started = Instant::now();
        let assigns = client.assigns.clone().downcast::<C::Assigns>();
        let assigns = assigns.expect("the mount's socket and channels have the same assigns");
        let mount = &client.mailbox.mount;
        let joined = C::join(JoinRequest {
            topic,
            prefix,
            payload,
            assigns,
            route_value: mount.routes[route].value.clone(),
            transport,
            connection_id: client.mailbox.id.owner(),
            tokens: client.endpoint.tokens().clone(),
        })
        .await;
        mount.metrics.route(route).join_took(started.elapsed());
        let Joined { channel, response } = joined?;
        Ok((Box::new(channel) as Box<dyn AnyChannel>, response))
    })
}

/// How many bytes of a topic a pattern fixes.
pub(crate) fn prefix_len(pattern: &TopicPattern) -> usize {
    match pattern {
        TopicPattern::Exact(text) | TopicPattern::Prefix(text) => text.len(),
    }
}
