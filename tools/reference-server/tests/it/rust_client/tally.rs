//! What became of pushes.

use bennu_client::PushError;

/// How many pushes ended in which way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) replied: u64,
    pub(crate) refused: u64,
    pub(crate) timed_out: u64,
    /// Never sent in the time that they had.
    pub(crate) expired: u64,
    pub(crate) unconfirmed: u64,
    pub(crate) buffer_full: u64,
    pub(crate) dropped: u64,
    pub(crate) closed: u64,
}

impl Tally {
    pub(crate) fn count<T>(&mut self, outcome: &Result<T, PushError>) {
        let counter = match outcome {
            Ok(_) => &mut self.replied,
            Err(PushError::Refused { .. }) => &mut self.refused,
            Err(PushError::TimedOut { was_sent: true }) => &mut self.timed_out,
            Err(PushError::TimedOut { was_sent: false }) => &mut self.expired,
            Err(PushError::Unconfirmed) => &mut self.unconfirmed,
            Err(PushError::BufferFull) => &mut self.buffer_full,
            Err(PushError::Dropped) => &mut self.dropped,
            Err(PushError::ChannelClosed) => &mut self.closed,
            Err(other) => panic!("a push ended with {other:?}"),
        };
        *counter += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        let Tally { replied, refused, timed_out, expired, unconfirmed, buffer_full, dropped, closed } = *self;
        replied + refused + timed_out + expired + unconfirmed + buffer_full + dropped + closed
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Tally>>(tallies: I) -> Self {
        tallies.fold(Tally::default(), |sum, one| Tally {
            replied: sum.replied + one.replied,
            refused: sum.refused + one.refused,
            timed_out: sum.timed_out + one.timed_out,
            expired: sum.expired + one.expired,
            unconfirmed: sum.unconfirmed + one.unconfirmed,
            buffer_full: sum.buffer_full + one.buffer_full,
            dropped: sum.dropped + one.dropped,
            closed: sum.closed + one.closed,
        })
    }
}
