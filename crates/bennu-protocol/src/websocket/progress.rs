//! A frame on its way in.

use super::item::MessageKind;
use super::{CloseFrame, Item, ProtocolViolation, mask};
use crate::incoming::Data;

/// A frame that was admitted, and how much of its payload has come.
pub(super) struct FrameProgress {
    pub(super) part: Part,
    key: Option<[u8; 4]>,
    len: usize,
    received: usize,
}

impl FrameProgress {
    /// A frame of which nothing but the header has come.
    pub(super) const fn new(part: Part, key: Option<[u8; 4]>, len: usize) -> Self {
        Self { part, key, len, received: 0 }
    }

    /// Takes the next piece of the payload, and its mask off it.
    pub(super) fn receive(&mut self, piece: &mut [u8]) {
        if let Some(key) = self.key {
            mask::apply(piece, key, self.received);
        }
        self.received += piece.len();
    }

    /// Whether `piece` is all that there is to wait for, with nothing before it.
    pub(super) fn is_single_piece(&self, piece: &[u8]) -> bool {
        match self.part {
            Part::Whole(_) | Part::Ping | Part::Pong | Part::Close => piece.len() == self.len,
            Part::Fragment(_) | Part::Last(_) => false,
        }
    }

    /// How much of the payload is still to come.
    pub(super) const fn remaining(&self) -> usize {
        self.len - self.received
    }
}

/// What a frame is to its message, or that it is a control frame.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// A message in one frame.
    Whole(MessageKind),
    /// A fragment that others follow.
    Fragment(MessageKind),
    /// The fragment that ends its message.
    Last(MessageKind),
    Ping,
    Pong,
    Close,
}

impl Part {
    /// Whether its payload ends a compressed message.
    pub(super) const fn is_compressed(self) -> bool {
        match self {
            Self::Whole(kind) | Self::Fragment(kind) | Self::Last(kind) => kind.compressed,
            Self::Ping | Self::Pong | Self::Close => false,
        }
    }

    /// Makes an item of the complete and inflated payload.
    pub(super) fn into_item(self, payload: Data<'_>) -> Result<Item<Data<'_>>, ProtocolViolation> {
        Ok(match self {
            Self::Whole(kind) | Self::Fragment(kind) | Self::Last(kind) => {
                return kind.into_item(payload);
            }
            Self::Ping => Item::Ping(payload),
            Self::Pong => Item::Pong(payload),
            Self::Close => Item::Close(CloseFrame::parse(&payload)?),
        })
    }
}
