//! The sessions of one mount on this node, and the tokens that name them.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bennu_pubsub::{Delivery, PubSub, Subscriber, SubscriberId};
use bennu_token::{SignError, SignOptions, Tokens, VerifyOptions};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::options::LongPollOptions;
use super::request::{Forwarded, Request};

/// What the tokens are for.
const SALT: &str = "bennu long poll";

/// Requests that may wait for a session. What finds more waiting waits itself, or is
/// dropped if it came from another node, whose requester then takes the session for gone.
const MAX_REQUESTS: usize = 64;

/// Leads requests to the sessions of this node.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, mpsc::Sender<Request>>>);

/// A session's place in the table and on its private topic; both are free when it is dropped.
pub(crate) struct Place {
    sessions: Arc<Sessions>,
    pubsub: PubSub,
    subscriber: SubscriberId,
    topic: String,
}

/// The table holds as many sessions as it may.
#[derive(Debug)]
pub(crate) struct Full;

impl Sessions {
    /// The way to a session of this node, if it lives.
    pub(crate) fn find(&self, topic: &str) -> Option<mpsc::Sender<Request>> {
        self.0.lock().get(topic).cloned()
    }

    /// Makes room for a new session.
    pub(crate) fn open(
        self: &Arc<Self>,
        max_sessions: usize,
        pubsub: &PubSub,
    ) -> Result<(Place, mpsc::Receiver<Request>), Full> {
        let topic = format!("phx:lp:{}", random_text());
        let (sender, receiver) = mpsc::channel(MAX_REQUESTS);
        let mut table = self.0.lock();
        if table.len() >= max_sessions {
            return Err(Full);
        }
        table.insert(topic.clone(), sender.clone());
        drop(table);
        let subscriber = SubscriberId::unique();
        pubsub.add_subscriber(&*topic, subscriber, Arc::new(Inbox { sender, pubsub: pubsub.clone() }));
        Ok((Place { sessions: self.clone(), pubsub: pubsub.clone(), subscriber, topic }, receiver))
    }
}

impl Place {
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.0.lock().remove(&self.topic);
        self.pubsub.remove_subscriber(&self.topic, self.subscriber);
    }
}

/// Takes what other nodes send to a session.
struct Inbox {
    sender: mpsc::Sender<Request>,
    pubsub: PubSub,
}

impl Subscriber for Inbox {
    fn deliver(&self, _: SubscriberId, delivery: &Delivery, _: Option<SubscriberId>) {
        let request = delivery.get::<Forwarded>().and_then(|forwarded| forwarded.open(&self.pubsub));
        let Some(request) = request else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.sender.try_send(request) {
            tracing::warn!("a long-poll session has too many requests at once; one is dropped");
        }
    }
}

/// What a client's token says: which session is meant, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionToken {
    /// The endpoint that has the session.
    pub(crate) endpoint: String,
    /// The mount at which it was opened.
    pub(crate) mount: String,
    /// Its private topic.
    pub(crate) topic: String,
}

impl SessionToken {
    pub(crate) fn sign(&self, tokens: &Tokens, options: &LongPollOptions) -> Result<String, SignError> {
        tokens.sign_with(SALT, self, &SignOptions::new().max_age(options.max_age))
    }

    /// Reads a token; anything but a genuine one of this mount that is young enough is none.
    pub(crate) fn verify(
        token: &str,
        tokens: &Tokens,
        mount: &str,
        options: &LongPollOptions,
    ) -> Option<Self> {
        let age = VerifyOptions::new().max_age(options.max_age);
        let verified = tokens.verify_with::<SessionToken>(SALT, token, &age).ok()?;
        (verified.data.mount == mount).then_some(verified.data)
    }
}

/// 128 random bits, as text.
pub(crate) fn random_text() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}
