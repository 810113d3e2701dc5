//! What waits for the transport.

use std::collections::BTreeMap;

use super::{ChannelId, PushId};
use crate::frame::Frame;

/// Names a place in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// One thing to transmit.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// What the session sends for itself.
    Frame(Frame),
    /// A join; it counts as sent when it is taken.
    Join(ChannelId, Frame),
    /// A push; it is written when it is taken, so that what never gets there can be sent on the next connection.
    Push(PushId),
}

/// What is to be transmitted on this connection, in order. Anything can be taken back until the transport takes it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<Place, Outgoing>,
    next: u64,
}

impl Outbox {
    pub(super) fn push(&mut self, outgoing: Outgoing) -> Place {
        let place = Place(self.next);
        self.next += 1;
        self.waiting.insert(place, outgoing);
        place
    }

    /// Puts something into a place that was removed.
    pub(super) fn put(&mut self, place: Place, outgoing: Outgoing) {
        self.waiting.insert(place, outgoing);
    }

    pub(super) fn remove(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        let (_, first) = self.waiting.pop_first()?;
        if self.waiting.is_empty() {
            // An emptied tree keeps its root.
            self.waiting = BTreeMap::new();
        }
        Some(first)
    }

    pub(super) fn clear(&mut self) {
        self.waiting = BTreeMap::new();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
