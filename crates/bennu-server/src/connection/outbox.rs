//! What is to be sent to a client.

use std::collections::VecDeque;

use bennu_protocol::Frame;

/// Frames in the order in which they leave. Takes no memory while it is empty.
///
/// Their bytes are counted by the connection's mailbox, together with what is not in here yet.
#[derive(Default)]
pub(super) struct Outbox {
    frames: VecDeque<Frame>,
}

/// Frames that left together.
pub(super) struct Taken {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl Outbox {
    pub(super) fn push(&mut self, frame: Frame) {
        self.frames.push_back(frame);
    }

    /// Gives out the next frames, `at_most` so many.
    pub(super) fn take(&mut self, at_most: usize, mut take: impl FnMut(Frame)) -> Taken {
        let count = at_most.min(self.frames.len());
        let mut bytes = 0;
        self.frames.drain(..count).for_each(|frame| {
            bytes += frame.len() as u64;
            take(frame);
        });
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
        Taken { frames: count as u64, bytes }
    }

    /// Drops everything, and tells how many frames that were.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.frames).len()
    }
}
