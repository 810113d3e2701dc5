//! Which gaps were told.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::node::Incarnation;
use super::subject::Subject;

/// Telling a gap looks at the names of all topics, so a link that loses every other packet must not have each loss told at once.
const PAUSE: Duration = Duration::from_millis(100);

/// A sender's subject.
type Origin = (Incarnation, Subject);

/// When some were told last, and what is to be told with the next.
#[derive(Default)]
pub(crate) struct Gaps {
    told: Option<Instant>,
    untold: HashMap<Origin, u64>,
}

impl Gaps {
    pub(crate) fn add(&mut self, sender: Incarnation, subject: Subject, missed: u64) {
        let untold = self.untold.entry((sender, subject)).or_default();
        *untold = untold.saturating_add(missed);
    }

    /// All that is to be told now, with one look at the topics.
    pub(crate) fn take_due(&mut self, now: Instant) -> HashMap<Origin, u64> {
        let is_over = self.told.is_none_or(|told| now.duration_since(told) >= PAUSE);
        if !is_over || self.untold.is_empty() {
            return HashMap::new();
        }
        self.told = Some(now);
        std::mem::take(&mut self.untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gap_is_told_at_once_and_those_behind_it_together() {
        let (mut gaps, now) = (Gaps::default(), Instant::now());
        let (a, b) = ((Incarnation(1), Subject::Bucket(1)), (Incarnation(2), Subject::Bucket(1)));
        gaps.add(a.0, a.1, 1);
        assert_eq!(gaps.take_due(now), HashMap::from([(a, 1)]));
        for missed in [2, 3, u64::MAX] {
            gaps.add(a.0, a.1, missed);
            assert_eq!(gaps.take_due(now + PAUSE / 2), HashMap::new());
        }
        gaps.add(b.0, b.1, 4);
        assert_eq!(gaps.take_due(now + PAUSE), HashMap::from([(a, u64::MAX), (b, 4)]));
        assert_eq!(gaps.take_due(now + 3 * PAUSE), HashMap::new());
    }
}
