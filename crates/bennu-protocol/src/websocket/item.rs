//! What comes out of a decoder.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use super::{CloseFrame, ProtocolViolation};
use crate::incoming::Data;

/// One thing that the peer said.
#[derive(Clone, PartialEq, Eq)]
pub enum Item<D = Bytes> {
    /// A whole text message; its bytes are UTF-8.
    Text(D),
    /// A whole binary message.
    Binary(D),
    /// To be answered by a pong with the same payload.
    Ping(D),
    /// The answer to a ping, or unsolicited.
    Pong(D),
    /// The last item of a connection, with what the peer gave as its cause.
    Close(Option<CloseFrame>),
}

impl Item<Data<'_>> {
    /// The same in memory of its own.
    #[must_use]
    pub fn into_owned(self) -> Item {
        match self {
            Item::Text(data) => Item::Text(data.into_bytes()),
            Item::Binary(data) => Item::Binary(data.into_bytes()),
            Item::Ping(data) => Item::Ping(data.into_bytes()),
            Item::Pong(data) => Item::Pong(data.into_bytes()),
            Item::Close(frame) => Item::Close(frame),
        }
    }
}

impl<D: Deref<Target = [u8]>> fmt::Debug for Item<D> {
    /// Tells how long a payload is, but not what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, payload) = match self {
            Self::Text(payload) => ("Text", payload),
            Self::Binary(payload) => ("Binary", payload),
            Self::Ping(payload) => ("Ping", payload),
            Self::Pong(payload) => ("Pong", payload),
            Self::Close(frame) => return f.debug_tuple("Close").field(frame).finish(),
        };
        write!(f, "{name}({} bytes)", payload.len())
    }
}

/// What a message carries, by its first frame.
#[derive(Clone, Copy)]
pub(super) struct MessageKind {
    pub(super) is_text: bool,
    pub(super) compressed: bool,
}

impl MessageKind {
    /// Text is looked at only here, as a character may span fragments and is compressed with the others.
    pub(super) fn into_item(self, payload: Data<'_>) -> Result<Item<Data<'_>>, ProtocolViolation> {
        match self.is_text {
            true if simdutf8::basic::from_utf8(&payload).is_err() => Err(ProtocolViolation::InvalidUtf8),
            true => Ok(Item::Text(payload)),
            false => Ok(Item::Binary(payload)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_not_for_the_log() {
        for (item, shown) in [
            (Item::Text(Bytes::from("secret")), "Text(6 bytes)"),
            (Item::Binary("secret".into()), "Binary(6 bytes)"),
            (Item::Close(None), "Close(None)"),
        ] {
            assert_eq!(format!("{item:?}"), shown);
        }
    }
}
