//! Messages of clients and of servers, decoded.

use bytes::Bytes;
use smol_str::SmolStr;

use crate::error::DecodeError;
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

impl Message {
    /// Bytes that it keeps beside its own place.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        let refs = [&self.join_ref, &self.reference].into_iter().flatten().map(Ref::heap_size);
        self.topic.len() + self.event.len() + self.payload.len() + refs.sum::<usize>()
    }
}

/// One message of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMessage {
    /// Ref of the join that made the channel. Broadcasts carry none, and version 1.0.0 only has the one of an end.
    pub join_ref: Option<Ref>,
    /// Ref of the message that a reply answers.
    pub reference: Option<Ref>,
    /// Where it comes from.
    pub topic: Text,
    /// What it says.
    pub body: Body,
}

/// What a server's message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A push or broadcast, `phx_close` and `phx_error` among them.
    Event {
        /// Its event.
        event: Text,
        /// What it carries.
        payload: Payload,
    },
    /// The answer to one message.
    Reply {
        /// Whether it succeeded.
        status: Status,
        /// What the server says to it.
        response: Payload,
    },
}

/// A topic or event as a client sent it, which need not be text.
#[derive(Clone, PartialEq, Eq)]
pub enum Name {
    /// UTF-8 text; up to 23 bytes take no heap.
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

    /// The text, where nothing else may stand.
    pub(crate) fn into_text(self, field: &'static str) -> Result<Text, DecodeError> {
        match self {
            Name::Text(text) => Ok(text),
            Name::Other(_) => Err(DecodeError::NotText(field)),
        }
    }

    pub(crate) fn as_ref(&self) -> NameRef<'_> {
        match self {
            Name::Text(text) => NameRef::Text(text.as_str()),
            Name::Other(bytes) => NameRef::Other(bytes),
        }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Name::Text(Text(text)) => text.len(),
            Name::Other(bytes) => bytes.len(),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Name::from(text),
            Err(_) => Name::Other(Bytes::copy_from_slice(bytes)),
        }
    }
}

/// A [`Name`] that is somebody else's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NameRef<'a> {
    Text(&'a str),
    Other(&'a [u8]),
}

impl NameRef<'_> {
    pub(crate) fn len(self) -> usize {
        match self {
            NameRef::Text(text) => text.len(),
            NameRef::Other(bytes) => bytes.len(),
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name::Text(Text::from(text))
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
pub struct Text(SmolStr);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(SmolStr::new(text))
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

#[cfg(test)]
mod tests {
    use crate::frame::Frame;
    use crate::serializer::Serializer;

    use super::*;

    #[test]
    fn a_small_message_lets_go_of_a_large_frame_and_a_large_one_is_not_copied() {
        let filler = "x".repeat(100_000);
        for (name, serializer, text, is_copied) in [
            ("more elements", Serializer::V2, format!(r#"["1","2","t","e",{{}},"{filler}"]"#), true),
            ("blanks", Serializer::V2, format!(r#"["1","2","t","e",{{}}{}]"#, " ".repeat(100_000)), true),
            (
                "other members",
                Serializer::V1,
                format!(r#"{{"topic":"t","event":"e","payload":{{}},"ref":"1","junk":"{filler}"}}"#),
                true,
            ),
            ("a large payload", Serializer::V2, format!(r#"["1","2","t","e","{filler}"]"#), false),
            ("a large event", Serializer::V2, format!(r#"["1","2","t","{filler}",{{}}]"#), true),
        ] {
            let frame = Bytes::from(text);
            let message = serializer.decode(Frame::text(frame.clone())).unwrap();
            assert_eq!(frame.is_unique(), is_copied, "{name}");
            assert_eq!(message.topic.as_text(), Some("t"), "{name}");
            assert!(is_copied || message.heap_size() > 100_000, "{name}");
        }
        let frame = Bytes::from([&[0, 255, 255, 255, 255][..], &[b'x'; 4 * 255], b"!"].concat());
        let message = Serializer::V2.decode(Frame::binary(frame.clone())).unwrap();
        assert_eq!(message.payload, Payload::binary("!"));
        assert!(frame.is_unique(), "a byte behind long names");
    }
}
