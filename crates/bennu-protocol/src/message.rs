//! A message from a client, decoded.

use bytes::Bytes;

use crate::payload::Payload;
use crate::refs::Ref;

/// One message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Ref of the join that made the channel, if the client says so.
    pub join_ref: Option<Ref>,
    /// Ref of this message, which its reply echoes.
    pub reference: Option<Ref>,
    /// Where it goes.
    pub topic: Name,
    /// What it asks for.
    pub event: Name,
    /// What it carries.
    pub payload: Payload,
}

/// A topic or event as a client sent it, which need not be text.
#[derive(Clone, PartialEq, Eq)]
pub enum Name {
    /// UTF-8 text, sharing the memory of its frame where it can.
    Text(Text),
    /// Another JSON value, as JSON text; or bytes of a binary frame that are no UTF-8.
    Other(Bytes),
}

impl Name {
    /// The text, if it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Name::Text(text) => Some(text.as_str()),
            Name::Other(_) => None,
        }
    }

    pub(crate) fn from_bytes(bytes: Bytes) -> Self {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Name::Text(Text(bytes)),
            Err(_) => Name::Other(bytes),
        }
    }

    pub(crate) fn from_string(text: String) -> Self {
        Name::Text(Text(text.into()))
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name::from_string(text.to_owned())
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Text(text) => write!(f, "{:?}", text.as_str()),
            Name::Other(bytes) => write!(f, "Other({bytes:?})"),
        }
    }
}

/// UTF-8 text in shared memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Bytes);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when it was made")
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Whether a push succeeded, as text: `ok`, `error`, or what the application says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// `ok`.
    Ok,
    /// `error`.
    Error,
    /// Any other status.
    Custom(Box<str>),
}

impl Status {
    /// The status as it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Status::Ok => "ok",
            Status::Error => "error",
            Status::Custom(text) => text,
        }
    }
}

impl From<String> for Status {
    fn from(text: String) -> Self {
        Status::from(text.as_str())
    }
}

impl From<&str> for Status {
    fn from(text: &str) -> Self {
        match text {
            "ok" => Status::Ok,
            "error" => Status::Error,
            _ => Status::Custom(text.into()),
        }
    }
}
