//! One message of the client, and the answers to it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bennu_protocol::{IntoPayload, Ref, Status};

use super::came::Said;
use super::link::Link;
use crate::received::Received;

/// A message of the client that an expectation took: a join, a leave, a push or a heartbeat. Its payload is read as that of
/// everything [`Received`]: `message["id"]`, `message.json()`, `message.bytes()`.
///
/// It is answered with [`reply_ok`](Self::reply_ok) and its like, at any time; dropping it leaves it unanswered. A server that errs may answer twice.
#[derive(Clone)]
pub struct ScriptedMessage {
    link: Arc<Link>,
    said: Said,
    payload: Received,
}

impl ScriptedMessage {
    pub(super) fn new(link: Arc<Link>, said: Said) -> Self {
        let payload = Received::new(said.payload.clone());
        ScriptedMessage { link, said, payload }
    }

    /// Where it went.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.said.topic
    }

    /// What it asks for.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.said.event
    }

    /// Ref of the join that it belongs to.
    #[must_use]
    pub fn join_ref(&self) -> Option<&Ref> {
        self.said.join_ref.as_ref()
    }

    /// Its ref, which the reply echoes.
    #[must_use]
    #[doc(alias = "ref")]
    pub fn reference(&self) -> Option<&Ref> {
        self.said.reference.as_ref()
    }

    /// Answers with `ok`.
    ///
    /// # Panics
    ///
    /// When the response cannot be written, as bytes in version 1.
    #[track_caller]
    pub fn reply_ok(&self, response: impl IntoPayload) {
        self.reply(Status::Ok, response);
    }

    /// Answers with `error`: of a join, this is a refusal.
    ///
    /// # Panics
    ///
    /// When the response cannot be written, as bytes in version 1.
    #[track_caller]
    pub fn reply_error(&self, response: impl IntoPayload) {
        self.reply(Status::Error, response);
    }

    /// Answers with a status of the application.
    ///
    /// # Panics
    ///
    /// When the response cannot be written, as bytes in version 1.
    #[track_caller]
    pub fn reply(&self, status: impl Into<Status>, response: impl IntoPayload) {
        let response = response.into_payload().unwrap_or_else(|error| panic!("{error}"));
        self.link.reply(&self.said, &status.into(), &response);
    }

    /// Leaves it unanswered.
    pub fn ignore(self) {}
}

impl Deref for ScriptedMessage {
    type Target = Received;

    fn deref(&self) -> &Received {
        &self.payload
    }
}

impl fmt::Debug for ScriptedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said { topic, event, join_ref, reference, .. } = &self.said;
        f.debug_struct("ScriptedMessage")
            .field("topic", topic)
            .field("event", event)
            .field("join_ref", join_ref)
            .field("reference", reference)
            .field("payload", &self.payload)
            .finish()
    }
}
