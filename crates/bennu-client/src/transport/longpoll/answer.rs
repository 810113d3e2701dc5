//! What servers answer polls and posts with: an envelope whose status is not that of HTTP.

use bytes::Bytes;
use serde::Deserialize;

/// The answer to a poll; that to a post has nothing but a status.
#[derive(Deserialize)]
pub(super) struct PollAnswer {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) token: Option<String>,
    /// Each is a serialized message.
    #[serde(default)]
    pub(super) messages: Vec<String>,
}

impl PollAnswer {
    pub(super) fn parse(body: &Bytes) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}
