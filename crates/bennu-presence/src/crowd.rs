//! How much of a crowd its members are told.

use std::collections::HashSet;
use std::sync::Arc;

/// What clients are told of a topic.
///
/// Telling everyone of everyone grows with the square: in a topic of 10,000 each who comes is a message to 10,000. A server's own
/// [`list`](crate::Presence::list) is complete in any mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Crowd {
    /// All keys, as Phoenix does: `presence_state` and `presence_diff`.
    #[default]
    Full,
    /// How many keys there are: `presence_count`, with `{"count": 3}`. Nothing of whose.
    Count,
    /// So many of the keys, as with [`Full`](Crowd::Full), and how many there are in all, as with [`Count`](Crowd::Count).
    ///
    /// Those who came first are shown, and stay so until they leave; then the next one takes the place. Nodes may show different ones.
    First(usize),
}

/// Chooses the mode of a topic.
pub(crate) type CrowdOf = Arc<dyn Fn(&str) -> Crowd + Send + Sync>;

/// It runs where a panic would end more than itself.
pub(crate) fn guarded(crowd: impl Fn(&str) -> Crowd + Send + Sync + 'static) -> CrowdOf {
    Arc::new(move |topic| {
        let mode = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| crowd(topic)));
        mode.unwrap_or_else(|_| {
            tracing::error!(topic, "the mode of a topic's presence could not be chosen: that panicked");
            Crowd::Full
        })
    })
}

/// The keys that clients of one topic are shown.
#[derive(Debug)]
pub(crate) enum Shown {
    All,
    None,
    Some { limit: usize, keys: HashSet<Arc<str>> },
}

impl Shown {
    pub(crate) fn new(crowd: Crowd) -> Self {
        match crowd {
            Crowd::Full => Shown::All,
            Crowd::Count => Shown::None,
            Crowd::First(limit) => Shown::Some { limit, keys: HashSet::new() },
        }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        match self {
            Shown::All => true,
            Shown::None => false,
            Shown::Some { keys, .. } => keys.contains(key),
        }
    }

    /// Whether clients are told how many keys there are.
    pub(crate) fn is_counted(&self) -> bool {
        !matches!(self, Shown::All)
    }

    /// Whether there is nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Shown::All | Shown::None => true,
            Shown::Some { keys, .. } => keys.is_empty(),
        }
    }

    /// Takes out those of these keys that are gone, and puts others in their places, out of all that are there, the oldest first.
    /// Returns whom it put in.
    pub(crate) fn refill<'a>(
        &mut self,
        changed: impl Iterator<Item = &'a Arc<str>>,
        is_there: impl Fn(&str) -> bool,
        all: impl Iterator<Item = &'a Arc<str>>,
    ) -> Vec<Arc<str>> {
        let Shown::Some { limit, keys } = self else { return Vec::new() };
        for key in changed {
            if !is_there(key) {
                keys.remove(key);
            }
        }
        let places = limit.saturating_sub(keys.len());
        let added: Vec<Arc<str>> = all.filter(|key| !keys.contains(*key)).take(places).cloned().collect();
        keys.extend(added.iter().cloned());
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(keys: &[&str]) -> Vec<Arc<str>> {
        keys.iter().map(|key| Arc::from(*key)).collect()
    }

    #[test]
    fn the_first_stay_until_they_leave_and_then_the_next_takes_the_place() {
        let mut shown = Shown::new(Crowd::First(2));
        for (changed, there, added) in [
            (&["a"][..], &["a"][..], &["a"][..]),
            (&["b", "c"], &["a", "b", "c"], &["b"]),
            (&["c"], &["a", "b", "d"], &[]),
            (&["a"], &["0", "b", "d"], &["0"]),
            (&["b", "0"], &["d"], &["d"]),
            (&["d"], &[], &[]),
        ] {
            let (changed, there) = (names(changed), names(there));
            let is_there = |key: &str| there.iter().any(|other| **other == *key);
            assert_eq!(shown.refill(changed.iter(), is_there, there.iter()), names(added), "{there:?}");
        }
        assert!(shown.is_empty());
    }
}
