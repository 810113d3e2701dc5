//! What clients are not told before all of it is there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// How long clients are not told of topics of which only a part has come.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

/// Whether another node is amid telling something in parts. Each part holds by itself, but a key that is updated may be away between two.
#[derive(Debug, Default)]
pub(crate) enum Parts {
    /// All that was begun has come.
    #[default]
    Whole,
    /// These topics were touched by the first parts, and are not told before this time while others may follow.
    Awaited { topics: HashSet<Arc<str>>, until: Instant },
    /// The rest took too long, and what has come of it is told.
    Late,
}

impl Parts {
    /// Whether clients of a topic are not told now.
    pub(crate) fn hold(&self, topic: &str) -> bool {
        matches!(self, Parts::Awaited { topics, .. } if topics.contains(topic))
    }

    /// These topics were touched, and more parts follow or not. Gives the topics that may be told, and until when the others wait, if they
    /// begin to.
    pub(crate) fn touch(
        &mut self,
        touched: Vec<Arc<str>>,
        follow: bool,
        now: Instant,
    ) -> (Vec<Arc<str>>, Option<Instant>) {
        match (follow, &mut *self) {
            (false, _) => {
                let waited = std::mem::take(self).into_topics();
                (touched.into_iter().chain(waited).collect(), None)
            }
            (true, Parts::Whole) => {
                let until = now + PATIENCE;
                *self = Parts::Awaited { topics: touched.into_iter().collect(), until };
                (Vec::new(), Some(until))
            }
            (true, Parts::Awaited { topics, .. }) => {
                topics.extend(touched);
                (Vec::new(), None)
            }
            (true, Parts::Late) => (touched, None),
        }
    }

    /// The time has come; gives the topics that have waited until then.
    pub(crate) fn expire(&mut self, at: Instant) -> Vec<Arc<str>> {
        match self {
            Parts::Awaited { until, .. } if *until == at => {
                std::mem::replace(self, Parts::Late).into_topics().collect()
            }
            Parts::Whole | Parts::Awaited { .. } | Parts::Late => Vec::new(),
        }
    }

    fn into_topics(self) -> impl Iterator<Item = Arc<str>> {
        let topics = if let Parts::Awaited { topics, .. } = self { topics } else { HashSet::new() };
        topics.into_iter()
    }
}
