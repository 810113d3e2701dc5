//! Sets of clocks that lie close together.

/// Clocks as runs, in their order: `1..=3, 7..=7`. Runs neither overlap nor touch, so equal sets are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// The clocks from `first` to `last`, both included; none if `first` is the greater.
    #[must_use]
    pub fn run(first: u64, last: u64) -> Self {
        let mut ranges = Ranges::default();
        ranges.insert(first, last);
        ranges
    }

    /// Adds the clocks from `first` to `last`, both included.
    pub fn insert(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        // Runs that overlap or touch the new one become part of it.
        let from = self.0.partition_point(|run| run.1.saturating_add(1) < first);
        let to = self.0.partition_point(|run| run.0 <= last.saturating_add(1));
        if from == to {
            self.0.insert(from, (first, last));
            return;
        }
        let merged = (first.min(self.0[from].0), last.max(self.0[to - 1].1));
        self.0[from] = merged;
        self.0.drain(from + 1..to);
    }

    /// Adds all that the other set has.
    pub fn extend(&mut self, other: &Ranges) {
        for (first, last) in &other.0 {
            self.insert(*first, *last);
        }
    }

    /// Whether the clock is in the set.
    #[must_use]
    pub fn contains(&self, clock: u64) -> bool {
        let at = self.0.partition_point(|run| run.1 < clock);
        self.0.get(at).is_some_and(|run| run.0 <= clock)
    }

    /// Forgets what is contiguous with `clock` or not above it, and returns the last clock of the contiguous ones.
    pub(super) fn absorb(&mut self, mut clock: u64) -> u64 {
        let mut absorbed = 0;
        for (first, last) in &mut self.0 {
            if *first > clock.saturating_add(1) {
                break;
            }
            clock = clock.max(*last);
            absorbed += 1;
        }
        self.0.drain(..absorbed);
        clock
    }

    /// How many clocks there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|run| run.1 - run.0).fold(self.0.len() as u64, u64::saturating_add)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The runs in their order, both ends included.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_in_its_one_form(runs in prop::collection::vec((0..60u64, 0..6u64), 0..20), clock in 0..70u64) {
            let mut set = BTreeSet::new();
            let mut ranges = Ranges::default();
            for (first, more) in runs {
                ranges.insert(first, first + more);
                set.extend(first..=first + more);
            }
            prop_assert_eq!(ranges.len(), set.len() as u64);
            for clock in 0..70 {
                prop_assert_eq!(ranges.contains(clock), set.contains(&clock));
            }
            prop_assert!(ranges.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));

            let absorbed = ranges.absorb(clock);
            let mut reached = clock;
            while set.contains(&(reached + 1)) {
                reached += 1;
            }
            prop_assert_eq!(absorbed, reached);
            for clock in 0..70 {
                prop_assert_eq!(ranges.contains(clock), clock > reached && set.contains(&clock));
            }
        }
    }

    #[test]
    fn the_ends_of_all_clocks_are_clocks_too() {
        let mut ranges = Ranges::run(u64::MAX - 1, u64::MAX);
        ranges.insert(0, 0);
        assert_eq!((ranges.len(), ranges.contains(u64::MAX), ranges.contains(1)), (3, true, false));
        assert!(Ranges::run(2, 1).is_empty());
    }
}
