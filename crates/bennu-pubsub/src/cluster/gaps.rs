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

/// What was told lately, and what is to be told with the next.
#[derive(Default)]
pub(crate) struct Gaps(HashMap<Origin, Told>);

struct Told {
    at: Instant,
    untold: u64,
}

impl Gaps {
    /// How many are to be told now, with those that waited. None: they wait for [`take_untold`](Self::take_untold).
    pub(crate) fn due(
        &mut self,
        sender: Incarnation,
        subject: Subject,
        missed: u64,
        now: Instant,
    ) -> Option<u64> {
        let told = self.0.entry((sender, subject));
        let told = told.or_insert_with(|| Told { at: now.checked_sub(PAUSE).unwrap_or(now), untold: 0 });
        told.untold += missed;
        if now.duration_since(told.at) < PAUSE {
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.untold))
    }

    /// What has waited long enough.
    pub(crate) fn take_untold(&mut self, now: Instant) -> Vec<(Origin, u64)> {
        let mut untold = Vec::new();
        self.0.retain(|origin, told| {
            let is_over = now.duration_since(told.at) >= PAUSE;
            if is_over && told.untold > 0 {
                untold.push((*origin, told.untold));
            }
            !is_over
        });
        untold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gap_is_told_at_once_and_those_behind_it_together() {
        let (mut gaps, now) = (Gaps::default(), Instant::now());
        let (a, b) = ((Incarnation(1), Subject::Bucket(1)), (Incarnation(2), Subject::Bucket(1)));
        assert_eq!(gaps.due(a.0, a.1, 1, now), Some(1));
        assert_eq!(gaps.due(b.0, b.1, 1, now), Some(1), "each sender by itself");
        assert_eq!(gaps.due(a.0, a.1, 2, now), None);
        assert_eq!(gaps.due(a.0, a.1, 3, now), None);
        assert_eq!(gaps.take_untold(now + PAUSE / 2), []);
        assert_eq!(gaps.take_untold(now + PAUSE), [(a, 5)]);
        assert_eq!(gaps.take_untold(now + PAUSE), []);
        assert_eq!(gaps.due(a.0, a.1, 1, now + PAUSE), Some(1));
        assert_eq!(gaps.due(a.0, a.1, 2, now + PAUSE), None);
        assert_eq!(gaps.due(a.0, a.1, 3, now + 2 * PAUSE), Some(5));
    }
}
