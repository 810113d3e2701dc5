//! A joined channel, as its client has it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::{Broadcast, IntoPayload, Payload};
use bennu_pubsub::{PubSub, SubscriberId};

use crate::arrivals::{Arrival, Arrivals, Listener, Verdict};
use crate::expectation::{Expectation, Expected, Unmet};
use crate::pattern::Pattern;
use crate::received::Received;
use crate::socket::{PushRef, TestSocket};

/// A joined channel. Clones are the same channel.
///
/// Dropping it does not leave; it goes on until [`leave`](Self::leave), or until its
/// connection ends.
#[derive(Clone, Debug)]
#[doc(alias = "Phoenix.Socket")]
pub struct TestChannel {
    socket: TestSocket,
    topic: String,
    join_ref: u64,
    listener: Option<Arc<TopicListener>>,
}

impl TestChannel {
    pub(crate) fn new(
        socket: TestSocket,
        topic: &str,
        join_ref: u64,
        listener: Option<TopicListener>,
    ) -> Self {
        TestChannel { socket, topic: topic.to_owned(), join_ref, listener: listener.map(Arc::new) }
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its connection.
    #[must_use]
    pub fn socket(&self) -> &TestSocket {
        &self.socket
    }

    /// The same channel with another time for assertions to wait; 100 ms by default.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use bennu_testkit::{TestChannel, assert_push};
    /// # async fn example(room: TestChannel) {
    /// assert_push!(room.within(Duration::from_secs(60)), "reminder");
    /// # }
    /// ```
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        TestChannel { socket: self.socket.within(patience), ..self.clone() }
    }

    /// Sends a message. The answer, if any, is for [`assert_reply!`](crate::assert_reply).
    ///
    /// # Panics
    ///
    /// When the payload has no JSON form, or is bytes and the client speaks version 1.
    pub fn push(&self, event: &str, payload: impl IntoPayload) -> PushRef {
        let payload = payload.into_payload().expect("a push's payload has a JSON form");
        self.socket.send(Some(self.join_ref), &self.topic, event, &payload)
    }

    /// Asks to leave. The server replies `ok`, and then pushes `phx_close`.
    pub fn leave(&self) -> PushRef {
        self.push("phx_leave", Payload::empty())
    }

    /// Broadcasts on the topic as if another client had: everyone hears it but this test's
    /// own subscription, so [`assert_broadcast!`](crate::assert_broadcast) does not see it.
    ///
    /// # Panics
    ///
    /// When the payload has no JSON form, or the topic was joined without subscribing.
    #[doc(alias = "broadcast_from!")]
    pub fn broadcast_from(&self, event: &str, payload: impl IntoPayload) {
        let payload = payload.into_payload().expect("a broadcast's payload has a JSON form");
        let broadcast = Broadcast::new(&*self.topic, event, payload);
        self.socket.pubsub().broadcast_from(self.subscription(), &self.topic, broadcast);
    }

    /// What [`assert_push!`](crate::assert_push) waits for; for helpers of your own.
    ///
    /// # Errors
    ///
    /// [`Unmet`] when it does not come.
    pub async fn expect_push(&self, event: &str, pattern: Pattern) -> Result<Received, Unmet> {
        self.expect(self.push_of(event), pattern).await
    }

    /// What [`refute_push!`](crate::refute_push) waits for.
    ///
    /// # Errors
    ///
    /// [`Unmet`] when it comes.
    pub async fn refute_push(&self, event: &str, pattern: Pattern) -> Result<(), Unmet> {
        self.refute(self.push_of(event), pattern).await
    }

    /// The next event for the client on this channel that no assertion has taken, whichever it is, with its payload; `None` when none
    /// comes in time. So a test sees in which order different events come.
    ///
    /// ```
    /// # async fn example(room: bennu_testkit::TestChannel) {
    /// let (event, state) = room.next_push().await.expect("the state");
    /// assert_eq!(event, "presence_state");
    /// # let _ = state;
    /// # }
    /// ```
    pub async fn next_push(&self) -> Option<(String, Received)> {
        let judge = |arrival: &Arrival| match arrival.as_push(&self.topic, self.join_ref) {
            Some((event, payload)) => Verdict::Match((event.to_owned(), Received::new(payload.clone()))),
            None => Verdict::Other,
        };
        self.socket.arrivals().take(self.socket.patience(), judge).await
    }

    /// What [`assert_reply!`](crate::assert_reply) waits for; `None` is any status.
    ///
    /// # Errors
    ///
    /// [`Unmet`] when it does not come.
    pub async fn expect_reply(
        &self,
        to: PushRef,
        status: Option<&str>,
        pattern: Pattern,
    ) -> Result<Received, Unmet> {
        self.expect(Expected::Reply { reference: to.number, status }, pattern).await
    }

    /// What [`refute_reply!`](crate::refute_reply) waits for; `None` is any status.
    ///
    /// # Errors
    ///
    /// [`Unmet`] when it comes.
    pub async fn refute_reply(
        &self,
        to: PushRef,
        status: Option<&str>,
        pattern: Pattern,
    ) -> Result<(), Unmet> {
        self.refute(Expected::Reply { reference: to.number, status }, pattern).await
    }

    /// What [`assert_broadcast!`](crate::assert_broadcast) waits for.
    ///
    /// # Errors
    ///
    /// [`Unmet`] when it does not come.
    ///
    /// # Panics
    ///
    /// When the topic was joined without subscribing.
    pub async fn expect_broadcast(&self, event: &str, pattern: Pattern) -> Result<Received, Unmet> {
        self.expect(Expected::Broadcast { subscription: self.subscription(), event }, pattern).await
    }

    /// What [`refute_broadcast!`](crate::refute_broadcast) waits for.
    ///
    /// # Errors
    ///
    /// [`Unmet`] when it comes.
    ///
    /// # Panics
    ///
    /// When the topic was joined without subscribing.
    pub async fn refute_broadcast(&self, event: &str, pattern: Pattern) -> Result<(), Unmet> {
        self.refute(Expected::Broadcast { subscription: self.subscription(), event }, pattern).await
    }

    async fn expect(&self, expected: Expected<'_>, pattern: Pattern) -> Result<Received, Unmet> {
        let expectation = Expectation { expected, topic: &self.topic, pattern };
        expectation.holds(self.socket.arrivals(), self.socket.patience()).await
    }

    async fn refute(&self, expected: Expected<'_>, pattern: Pattern) -> Result<(), Unmet> {
        let expectation = Expectation { expected, topic: &self.topic, pattern };
        expectation.does_not_hold(self.socket.arrivals(), self.socket.patience()).await
    }

    fn push_of<'a>(&self, event: &'a str) -> Expected<'a> {
        Expected::Push { join_ref: self.join_ref, event }
    }

    fn subscription(&self) -> SubscriberId {
        let listener = self.listener.as_ref();
        listener
            .unwrap_or_else(|| {
                panic!("{} was joined with `join`: join it with `subscribe_and_join`", self.topic)
            })
            .id
    }
}

/// Listens to a topic beside the client, until it is dropped.
pub(crate) struct TopicListener {
    pubsub: PubSub,
    topic: String,
    id: SubscriberId,
}

impl TopicListener {
    pub(crate) fn new(pubsub: &PubSub, topic: &str, arrivals: Arc<Arrivals>) -> Self {
        let id = SubscriberId::unique();
        pubsub.add_subscriber(topic, id, Arc::new(Listener(arrivals)));
        TopicListener { pubsub: pubsub.clone(), topic: topic.to_owned(), id }
    }
}

impl Drop for TopicListener {
    fn drop(&mut self) {
        self.pubsub.remove_subscriber(&self.topic, self.id);
    }
}

impl fmt::Debug for TopicListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicListener({:?})", self.topic)
    }
}
