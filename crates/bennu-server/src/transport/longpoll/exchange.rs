//! How the long polling of an endpoint speaks with that of other nodes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bennu_pubsub::{CrossingError, Delivery, PubSub, Subscriber, SubscriberId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::request::{Answer, Forwarded, Reply, ReplyTo};
use super::sessions::Sessions;

/// Takes requests of other nodes for sessions of this one, and their answers to requests of this one.
///
/// There is one topic for each endpoint, and messages go to its node directly: they need no subscription that the engine has
/// yet to hear of, and however many sessions there are, nodes hear nothing that is not for them.
pub(crate) struct Exchange {
    own: Address,
    pubsub: PubSub,
    subscriber: SubscriberId,
    inbox: Arc<Inbox>,
    next: AtomicU64,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) node: String,
    pub(crate) endpoint: String,
}

/// A request on its way, and what is answered; it is forgotten when this is dropped.
pub(crate) struct Asked {
    inbox: Arc<Inbox>,
    pub(crate) reply_to: ReplyTo,
    pub(crate) answers: mpsc::UnboundedReceiver<Answer>,
}

struct Inbox {
    pubsub: PubSub,
    mounts: Vec<Arc<Sessions>>,
    /// Requests that were sent, by number.
    waiting: Mutex<HashMap<u64, mpsc::UnboundedSender<Answer>>>,
}

impl Exchange {
    /// For the endpoint with this id, which has these sessions.
    pub(crate) fn new(pubsub: PubSub, endpoint: &str, mounts: Vec<Arc<Sessions>>) -> Self {
        let own = Address { node: pubsub.node().to_string(), endpoint: endpoint.to_owned() };
        let inbox = Arc::new(Inbox { pubsub: pubsub.clone(), mounts, waiting: Mutex::default() });
        let subscriber = SubscriberId::unique();
        if !inbox.mounts.is_empty() {
            pubsub.add_subscriber(own.topic(), subscriber, inbox.clone());
        }
        Exchange { own, pubsub, subscriber, inbox, next: AtomicU64::new(0) }
    }

    /// Where this endpoint is.
    pub(crate) fn own(&self) -> &Address {
        &self.own
    }

    /// Prepares to hear answers to one request.
    pub(crate) fn begin(&self) -> Asked {
        let (sender, answers) = mpsc::unbounded_channel();
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        self.inbox.waiting.lock().insert(request, sender);
        let reply_to = ReplyTo { address: self.own.clone(), request };
        Asked { inbox: self.inbox.clone(), reply_to, answers }
    }

    /// Sends to another endpoint, or to this one.
    pub(crate) fn send(&self, to: &Address, forwarded: Forwarded) -> Result<(), CrossingError> {
        self.pubsub.direct_broadcast(&to.node, to.topic(), forwarded)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.pubsub.remove_subscriber(self.own.topic(), self.subscriber);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.inbox.waiting.lock().remove(&self.reply_to.request);
    }
}

impl Address {
    pub(crate) fn topic(&self) -> String {
        format!("bennu:longpoll:{}", self.endpoint)
    }
}

impl Subscriber for Inbox {
    fn deliver(&self, _: SubscriberId, delivery: &Delivery, _: Option<SubscriberId>) {
        if let Some(Reply { request, answer }) = delivery.get() {
            if let Some(asked) = self.waiting.lock().get(request) {
                // Who has just given up goes without.
                let _ = asked.send(answer.clone());
            }
            return;
        }
        let Some(forwarded) = delivery.get::<Forwarded>() else { return };
        let session = self.mounts.iter().find_map(|sessions| sessions.find(&forwarded.session));
        let request = session.zip(forwarded.open(&self.pubsub));
        // Of a session that is gone the requester hears nothing, as of a node that is.
        let Some((session, request)) = request else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = session.try_send(request) {
            tracing::warn!("a long-poll session has too many requests at once; one is dropped");
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({} waiting)", self.inbox.waiting.lock().len())
    }
}
