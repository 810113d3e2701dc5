//! Event names, the reserved ones as variants.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The event of a message: one of the protocol's own or the application's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Event {
    /// `phx_join`: a client asks to join a topic.
    Join,
    /// `phx_leave`: a client leaves a topic.
    Leave,
    /// `phx_reply`: the answer to one message.
    Reply,
    /// `phx_error`: a channel crashed; clients rejoin.
    Error,
    /// `phx_close`: a channel ended; clients do not rejoin.
    Close,
    /// An event of the application.
    Custom(Arc<str>),
}

impl Event {
    /// The protocol's event of this name, if it is one.
    pub(crate) fn reserved(text: &str) -> Option<Self> {
        Some(match text {
            "phx_join" => Event::Join,
            "phx_leave" => Event::Leave,
            "phx_reply" => Event::Reply,
            "phx_error" => Event::Error,
            "phx_close" => Event::Close,
            _ => return None,
        })
    }

    /// The event as it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Event::Join => "phx_join",
            Event::Leave => "phx_leave",
            Event::Reply => "phx_reply",
            Event::Error => "phx_error",
            Event::Close => "phx_close",
            Event::Custom(name) => name,
        }
    }
}

impl From<&str> for Event {
    fn from(text: &str) -> Self {
        Event::reserved(text).unwrap_or_else(|| Event::Custom(text.into()))
    }
}

impl From<String> for Event {
    fn from(text: String) -> Self {
        Event::from(text.as_str())
    }
}

impl From<Event> for String {
    fn from(event: Event) -> Self {
        event.as_str().to_owned()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_way_there_and_back() {
        for name in ["phx_join", "phx_leave", "phx_reply", "phx_error", "phx_close", "shout", ""] {
            assert_eq!(Event::from(name).as_str(), name);
        }
    }
}
