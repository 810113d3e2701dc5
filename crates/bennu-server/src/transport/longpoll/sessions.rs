//! The sessions of one mount on this node, and the tokens that name them.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bennu_token::{SignError, SignOptions, Tokens, VerifyOptions};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::exchange::Address;
use super::options::LongPollOptions;
use super::request::Request;

/// What the tokens are for.
const SALT: &str = "bennu long poll";

/// Requests that may wait for a session. What finds more waiting waits itself, or is
/// dropped if it came from another node, whose requester then takes the session for gone.
const MAX_REQUESTS: usize = 64;

/// Leads requests to the sessions of this node.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, mpsc::Sender<Request>>>);

/// A session's place in the table, which is free when it is dropped.
pub(crate) struct Place {
    sessions: Arc<Sessions>,
    name: String,
}

/// The table holds as many sessions as it may.
#[derive(Debug)]
pub(crate) struct Full;

impl Sessions {
    /// The way to a session of this node, if it lives.
    pub(crate) fn find(&self, name: &str) -> Option<mpsc::Sender<Request>> {
        self.0.lock().get(name).cloned()
    }

    /// Makes room for a new session.
    pub(crate) fn open(
        self: &Arc<Self>,
        max_sessions: usize,
    ) -> Result<(Place, mpsc::Receiver<Request>), Full> {
        let name = random_text();
        let (sender, receiver) = mpsc::channel(MAX_REQUESTS);
        let mut table = self.0.lock();
        if table.len() >= max_sessions {
            return Err(Full);
        }
        table.insert(name.clone(), sender);
        drop(table);
        Ok((Place { sessions: self.clone(), name }, receiver))
    }
}

impl Place {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.0.lock().remove(&self.name);
    }
}

/// What a client's token says: which session is meant, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionToken {
    /// The endpoint that has the session.
    pub(crate) owner: Address,
    /// The mount at which it was opened.
    pub(crate) mount: String,
    /// The session, among those of the endpoint.
    pub(crate) session: String,
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
