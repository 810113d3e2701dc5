//! What a decoder has to keep between two reads.

use bytes::Bytes;

use super::frame::PartialHeader;
use super::item::MessageKind;
use super::progress::{FrameProgress, Part};

/// How far a buffer may grow ahead of what was received: one scratch buffer.
const GROWTH_STEP: usize = 64 * 1024;

/// The incomplete frame and the open message of one connection.
///
/// It exists only while there is either, and takes its buffers with it.
#[derive(Default)]
pub(super) struct Spill {
    /// How far the incomplete frame got.
    pub(super) frame: PartialFrame,
    /// What the open fragmented message is, once its first frame is complete.
    pub(super) message: Option<MessageKind>,
    /// Unmasked bytes of the open message, those of an incomplete frame included.
    data: Vec<u8>,
    /// Unmasked bytes of an incomplete control frame, which may come while
    /// `data` waits for its next fragment.
    control: Vec<u8>,
}

/// A frame that is not complete.
#[derive(Default)]
pub(super) enum PartialFrame {
    /// There is none: the next byte begins a frame.
    #[default]
    Absent,
    /// Its header has begun.
    Header(PartialHeader),
    /// Its header is complete, its payload is not.
    Payload(FrameProgress),
}

impl Spill {
    /// Keeps an unmasked piece of a frame.
    pub(super) fn append(&mut self, frame: &FrameProgress, piece: &[u8]) {
        match frame.part {
            // More is to follow than this frame announced.
            Part::Fragment(_) => append(&mut self.data, piece, GROWTH_STEP),
            Part::Whole(_) | Part::Last(_) => append(&mut self.data, piece, frame.remaining()),
            Part::Ping | Part::Pong | Part::Close => {
                append(&mut self.control, piece, frame.remaining());
            }
        }
    }

    /// Hands over what is complete with the end of a frame, if anything is.
    pub(super) fn finish_frame(&mut self, part: Part) -> Option<Bytes> {
        match part {
            Part::Fragment(kind) => {
                self.message = Some(kind);
                None
            }
            Part::Whole(_) | Part::Last(_) => Some(self.take_message()),
            Part::Ping | Part::Pong | Part::Close => Some(std::mem::take(&mut self.control).into()),
        }
    }

    fn take_message(&mut self) -> Bytes {
        self.message = None;
        let mut data = std::mem::take(&mut self.data);
        // The payload may outlive us by far: it shall not carry spare room.
        data.shrink_to_fit();
        data.into()
    }

    /// Whether the next byte begins a frame, and that a message.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.frame, PartialFrame::Absent) && self.message.is_none()
    }

    /// How much of the open message has come.
    pub(super) fn data_len(&self) -> usize {
        self.data.len()
    }

    /// What the buffers hold of memory.
    pub(super) fn capacity(&self) -> usize {
        self.data.capacity() + self.control.capacity()
    }
}

/// Appends `piece`, making room for at most `ahead` bytes more.
///
/// Room doubles up to [`GROWTH_STEP`] and then grows by it: it follows what was
/// received, whatever was announced, and many tiny pieces stay cheap.
fn append(buffer: &mut Vec<u8>, piece: &[u8], ahead: usize) {
    if buffer.capacity() - buffer.len() < piece.len() {
        let spare = buffer.len().min(GROWTH_STEP).min(ahead);
        buffer.reserve_exact(piece.len() + spare);
    }
    buffer.extend_from_slice(piece);
}
