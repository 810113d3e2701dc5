//! The payload of something that arrived.

use std::fmt;
use std::ops::Index;

use bennu_protocol::{Payload, PayloadError};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Characters of a payload that a failure message shows at most.
const SHOWN: usize = 600;

/// The payload of a push, a broadcast or a reply that arrived.
///
/// Compares with `json!(..)` as a whole, and `received["id"]` reads a member.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    payload: Payload,
    value: Value,
}

impl Received {
    pub(crate) fn new(payload: Payload) -> Self {
        // Bytes have no JSON value; reading one from them panics below.
        let value = payload.parse().unwrap_or_default();
        Received { payload, value }
    }

    /// The payload as it came.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The payload as JSON.
    ///
    /// # Panics
    ///
    /// When it is bytes.
    #[must_use]
    pub fn json(&self) -> &Value {
        assert!(self.payload.as_json().is_some(), "the payload is bytes, not JSON: {self}");
        &self.value
    }

    /// The payload as a type of the application.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] when it is bytes or has another shape.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        self.payload.parse()
    }

    /// The payload's bytes.
    ///
    /// # Panics
    ///
    /// When it is JSON.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        self.payload.as_binary().unwrap_or_else(|| panic!("the payload is JSON, not bytes: {self}"))
    }
}

impl Index<&str> for Received {
    type Output = Value;

    /// A member of the JSON object; null when there is none.
    ///
    /// # Panics
    ///
    /// When the payload is bytes.
    fn index(&self, member: &str) -> &Value {
        &self.json()[member]
    }
}

impl PartialEq<Value> for Received {
    fn eq(&self, other: &Value) -> bool {
        self.payload.as_json().is_some() && self.value == *other
    }
}

impl PartialEq<[u8]> for Received {
    fn eq(&self, other: &[u8]) -> bool {
        self.payload.as_binary().is_some_and(|bytes| bytes == other)
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.payload))
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.payload))
    }
}

/// A payload as failure messages show it: this is for tests, whose payloads are no secrets.
pub(crate) fn shown(payload: &Payload) -> String {
    let text = match payload {
        Payload::Json(text) => String::from_utf8_lossy(text).into_owned(),
        Payload::Binary(bytes) => format!("{bytes:?}"),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], payload.len()),
        None => text,
    }
}
