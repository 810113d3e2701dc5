//! What a client missed, on its way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use crate::joined::Waiting;
use crate::mailbox::Mailbox;

/// Broadcasts that a client missed and that are not in its outbox yet. They are the ones that the
/// ring and other clients hold, so waiting here costs little; they follow as the client reads.
pub(crate) struct Replay {
    missed: VecDeque<Waiting>,
    bytes: usize,
    mailbox: Arc<Mailbox>,
}

impl Replay {
    /// `None` when it is more than may wait for one connection.
    pub(super) fn new(mailbox: &Arc<Mailbox>, missed: VecDeque<Waiting>) -> Option<Self> {
        let bytes = missed.iter().map(Waiting::backlog_bytes).sum();
        let mailbox = mailbox.clone();
        mailbox.begin_replay(bytes).then_some(Replay { missed, bytes, mailbox })
    }

    /// The next broadcast; pending until the client has read what is in front of it.
    pub(crate) fn poll_next(&mut self) -> Poll<Option<Waiting>> {
        match self.mailbox.holds_replays() && !self.missed.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(self.missed.pop_front()),
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.mailbox.end_replay(self.bytes);
    }
}
