//! A connected client.

use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::{IntoPayload, Payload, Serializer};
use bennu_pubsub::PubSub;
use thiserror::Error;

use crate::arrivals::{Arrival, Arrivals, Verdict};
use crate::channel::{TestChannel, TopicListener};
use crate::expectation::Unmet;
use crate::link::Link;
use crate::received::Received;
use crate::wire::Outgoing;

/// How long a join and an end may take.
const LONG: Duration = Duration::from_secs(5);

/// One connected client, from [`connect`](crate::connect). Clones are the same client;
/// when the last of them and of its channels is dropped, the connection is cut.
#[derive(Clone, Debug)]
#[doc(alias = "Phoenix.Socket")]
pub struct TestSocket {
    client: Arc<Client>,
    patience: Duration,
}

#[derive(Debug)]
struct Client {
    link: Link,
    arrivals: Arc<Arrivals>,
    serializer: Serializer,
    pubsub: PubSub,
}

/// A refused join.
#[derive(Debug, Clone, Error)]
#[error("the join of {topic:?} was refused: {response}")]
#[non_exhaustive]
pub struct JoinError {
    /// The topic that should have been joined.
    pub topic: String,
    /// The response of the error reply.
    pub response: Received,
}

/// Names a message that was sent, for the assertions about its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "ref")]
pub struct PushRef {
    pub(crate) number: u64,
}

impl TestSocket {
    pub(crate) fn new(
        link: Link,
        arrivals: Arc<Arrivals>,
        serializer: Serializer,
        pubsub: PubSub,
        patience: Duration,
    ) -> Self {
        TestSocket { client: Arc::new(Client { link, arrivals, serializer, pubsub }), patience }
    }

    /// The same client with another time for assertions to wait; 100 ms by default.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        TestSocket { patience, ..self.clone() }
    }

    /// Joins a topic and waits for the answer. Gives the response and the joined channel.
    ///
    /// # Errors
    ///
    /// [`JoinError`] when the join is refused.
    ///
    /// # Panics
    ///
    /// When nothing answers within 5 s, with a list of what arrived.
    pub async fn join(
        &self,
        topic: &str,
        payload: impl IntoPayload,
    ) -> Result<(Received, TestChannel), JoinError> {
        self.join_listening(topic, payload, None).await
    }

    /// Joins a topic and listens to it beside the client, which the assertions about
    /// broadcasts need. The rest is as in [`join`](Self::join).
    ///
    /// # Errors
    ///
    /// [`JoinError`] when the join is refused.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub async fn subscribe_and_join(
        &self,
        topic: &str,
        payload: impl IntoPayload,
    ) -> Result<(Received, TestChannel), JoinError> {
        let listener = TopicListener::new(&self.client.pubsub, topic, self.client.arrivals.clone());
        self.join_listening(topic, payload, Some(listener)).await
    }

    /// Closes the connection as a page that is left, and waits until its channels have ended.
    ///
    /// # Panics
    ///
    /// When the server's side has not ended within 5 s.
    pub async fn close(&self) {
        self.client.link.close();
        self.ended().await;
    }

    /// Cuts the connection without a word, as a lost network does, and waits until its channels have ended.
    ///
    /// # Panics
    ///
    /// When the server's side has not ended within 5 s.
    pub async fn cut(&self) {
        self.client.link.cut();
        self.ended().await;
    }

    /// What [`assert_closed!`](crate::assert_closed) waits for: that the connection is closed, with this
    /// code or any. Closed is closed: any number of assertions can see it.
    ///
    /// # Errors
    ///
    /// [`Unmet`] when it does not, or with another code.
    pub async fn expect_closed(&self, code: Option<u16>) -> Result<(), Unmet> {
        let arrivals = &self.client.arrivals;
        let judge = |arrival: &Arrival| match arrival {
            Arrival::Closed { code: came } if code.is_none() || *came == code => Verdict::Match(()),
            Arrival::Closed { .. } => Verdict::Differs("the code differs".to_owned()),
            _ => Verdict::Other,
        };
        let closed = arrivals.take(self.patience, judge).await;
        closed.ok_or_else(|| {
            let code = code.map(|code| format!(" with {code}")).unwrap_or_default();
            let what = format!("the connection should have been closed{code} within {:?}", self.patience);
            Unmet::new(what, &arrivals.list(judge))
        })
    }

    /// What [`refute_closed!`](crate::refute_closed) waits for: that the connection stays open.
    ///
    /// # Errors
    ///
    /// [`Unmet`] when it is closed.
    pub async fn refute_closed(&self) -> Result<(), Unmet> {
        match self.expect_closed(None).await {
            Err(_) => Ok(()),
            Ok(()) => {
                let list = self.client.arrivals.list(|_| Verdict::<()>::Other);
                Err(Unmet::new("the connection should have stayed open", &list))
            }
        }
    }

    async fn join_listening(
        &self,
        topic: &str,
        payload: impl IntoPayload,
        listener: Option<TopicListener>,
    ) -> Result<(Received, TestChannel), JoinError> {
        let payload = payload.into_payload().expect("a join's payload has a JSON form");
        let PushRef { number } = self.send(None, topic, "phx_join", &payload);
        let reference = number.to_string();
        let answer = |arrival: &Arrival| match arrival {
            Arrival::Reply { reference: of, status, response, .. } if *of == reference => {
                Verdict::Match((status == "ok", Received::new(response.clone())))
            }
            _ => Verdict::Other,
        };
        match self.client.arrivals.take(LONG, answer).await {
            Some((true, response)) => {
                let channel = TestChannel::new(self.clone(), topic, number, listener);
                Ok((response, channel))
            }
            Some((false, response)) => Err(JoinError { topic: topic.to_owned(), response }),
            None => {
                let list = self.client.arrivals.list(answer);
                panic!("the join of {topic:?} was not answered within {LONG:?}\n{list}");
            }
        }
    }

    /// Sends a message; the ref of a join is its join_ref as well.
    pub(crate) fn send(&self, join_ref: Option<u64>, topic: &str, event: &str, payload: &Payload) -> PushRef {
        let number = self.client.arrivals.sending(event);
        let join_ref = join_ref.unwrap_or(number).to_string();
        let (join_ref, reference) = (Some(&*join_ref), &*number.to_string());
        let outgoing = Outgoing { join_ref, reference, topic, event, payload };
        let (opcode, payload) = outgoing.encode(self.client.serializer);
        self.client.link.send(opcode, payload);
        PushRef { number }
    }

    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.client.arrivals
    }

    pub(crate) fn pubsub(&self) -> &PubSub {
        &self.client.pubsub
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    async fn ended(&self) {
        let ended = tokio::time::timeout(LONG, self.client.link.ended()).await;
        assert!(ended.is_ok(), "the server's side of the connection has not ended within {LONG:?}");
    }
}
