//! How far replicas have come, and which of several are worth asking.

use std::collections::BTreeMap;
use std::collections::btree_map;

use super::ReplicaRef;

/// For each replica, up to which of its clocks all are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[doc(alias = "context")]
pub struct Clock(BTreeMap<ReplicaRef, u64>);

impl Clock {
    /// How far a replica is known; `None` of an unknown one.
    #[must_use]
    pub fn get(&self, replica: &ReplicaRef) -> Option<u64> {
        self.0.get(replica).copied()
    }

    /// All replicas, in their order.
    pub fn iter(&self) -> btree_map::Iter<'_, ReplicaRef, u64> {
        self.0.iter()
    }

    /// Notes how far a replica is known.
    pub fn insert(&mut self, replica: ReplicaRef, clock: u64) {
        self.0.insert(replica, clock);
    }

    /// Whether it has at least as many replicas, and each of the other's at least as far.
    #[must_use]
    pub fn dominates(&self, other: &Clock) -> bool {
        self.0.len() >= other.0.len()
            && other.0.iter().all(|(replica, clock)| self.get(replica).unwrap_or(0) >= *clock)
    }

    /// The further of both, for each replica.
    fn join(mut self, other: &Clock) -> Clock {
        for (replica, clock) in &other.0 {
            let known = self.0.entry(replica.clone()).or_default();
            *known = (*known).max(*clock);
        }
        self
    }
}

impl FromIterator<(ReplicaRef, u64)> for Clock {
    fn from_iter<I: IntoIterator<Item = (ReplicaRef, u64)>>(clocks: I) -> Self {
        Clock(clocks.into_iter().collect())
    }
}

/// The clocks that were heard since the last sample, without those that others in here make needless.
#[derive(Debug, Default)]
#[doc(alias = "pending clocks")]
pub(super) struct ClockSet(Vec<(ReplicaRef, Clock)>);

impl ClockSet {
    /// Adds a clock. One that is ahead of all others together replaces them; one that adds nothing to them is dropped.
    pub(super) fn append(&mut self, replica: ReplicaRef, clock: Clock) {
        if clock.0.is_empty() {
            return;
        }
        let together = self.0.iter().fold(Clock::default(), |all, (_, clock)| all.join(clock));
        if clock.dominates(&together) {
            self.0.clear();
        } else if together.dominates(&clock) {
            return;
        } else {
            self.0.retain(|(_, other)| !clock.dominates(other));
        }
        self.0.push((replica, clock));
    }

    /// Empties the set.
    pub(super) fn take(&mut self) -> Vec<(ReplicaRef, Clock)> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str) -> ReplicaRef {
        ReplicaRef { name: name.into(), version: 1 }
    }

    fn clock(clocks: &[(&str, u64)]) -> Clock {
        clocks.iter().map(|(name, clock)| (replica(name), *clock)).collect()
    }

    fn remaining(clocks: &[(&str, &[(&str, u64)])]) -> Vec<String> {
        let mut set = ClockSet::default();
        for (name, values) in clocks {
            set.append(replica(name), clock(values));
        }
        set.take().into_iter().map(|(replica, _)| replica.name.to_string()).collect()
    }

    #[test]
    fn domination() {
        let one = clock(&[("a", 1), ("b", 2)]);
        for (name, other, expected) in [
            ("itself", clock(&[("a", 1), ("b", 2)]), true),
            ("less far", clock(&[("a", 1), ("b", 1)]), true),
            ("fewer", clock(&[("b", 2)]), true),
            ("none", Clock::default(), true),
            ("further", clock(&[("a", 2), ("b", 2)]), false),
            ("one that is not known", clock(&[("c", 1)]), false),
            ("more, although not further", clock(&[("a", 0), ("b", 0), ("c", 0)]), false),
        ] {
            assert_eq!(one.dominates(&other), expected, "{name}");
        }
    }

    #[test]
    fn what_others_know_too_is_not_asked_for_twice() {
        for (name, clocks, expected) in [
            ("nothing was heard", &[][..], &[][..]),
            ("empty clocks say nothing", &[("a", &[][..])], &[]),
            ("the furthest is enough", &[("a", &[("a", 1)][..]), ("b", &[("a", 1), ("b", 1)])], &["b"]),
            ("in any order", &[("b", &[("a", 1), ("b", 1)]), ("a", &[("a", 1)])], &["b"]),
            (
                "each knows something alone",
                &[("a", &[("a", 2), ("b", 1)]), ("b", &[("a", 1), ("b", 2)])],
                &["a", "b"],
            ),
            (
                "one that is ahead of both together",
                &[("a", &[("a", 2), ("b", 1)]), ("b", &[("a", 1), ("b", 2)]), ("c", &[("a", 2), ("b", 2)])],
                &["c"],
            ),
            (
                "one that both know together",
                &[("a", &[("a", 2), ("b", 1)]), ("b", &[("a", 1), ("b", 2)]), ("c", &[("a", 1), ("b", 1)])],
                &["a", "b"],
            ),
            (
                "one that makes another needless",
                &[("a", &[("a", 2), ("b", 1)]), ("b", &[("a", 1), ("b", 2)]), ("c", &[("a", 3), ("b", 1)])],
                &["b", "c"],
            ),
            ("the newest of one replica counts", &[("a", &[("a", 1)]), ("a", &[("a", 2)])], &["a"]),
        ] {
            assert_eq!(remaining(clocks), expected, "{name}");
        }
    }
}
