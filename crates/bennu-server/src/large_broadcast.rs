//! A warning about broadcasts that cost more than their author may think.

use std::collections::HashSet;

use bennu_protocol::{Broadcast, Topic};
use parking_lot::Mutex;

/// Topics that are remembered as warned about; beyond them the warnings end, so that clients that can
/// choose topics fill neither memory nor the log.
const MAX_TOPICS: usize = 1_000;

/// Warns once per topic.
pub(crate) struct LargeBroadcasts {
    limit: usize,
    warned: Mutex<HashSet<Topic>>,
}

impl LargeBroadcasts {
    pub(crate) fn new(limit: usize) -> Self {
        LargeBroadcasts { limit, warned: Mutex::default() }
    }

    /// Warns if the payload is over the limit and its topic was not warned about yet.
    pub(crate) fn check(&self, broadcast: &Broadcast, subscribers: impl FnOnce() -> usize) {
        let size = broadcast.payload().len();
        if size <= self.limit || !self.is_new(broadcast.topic()) {
            return;
        }
        let subscribers = subscribers();
        tracing::warn!(
            topic = ?&**broadcast.topic(),
            event = ?broadcast.event(),
            size,
            subscribers,
            total = size.saturating_mul(subscribers),
            "a large payload is broadcast whole to every subscriber: send an id, and let clients fetch the rest"
        );
    }

    fn is_new(&self, topic: &Topic) -> bool {
        let mut warned = self.warned.lock();
        warned.len() < MAX_TOPICS && warned.insert(topic.clone())
    }
}
