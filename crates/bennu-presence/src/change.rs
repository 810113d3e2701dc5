//! What an observer hears.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock, Weak};

use bennu_protocol::presence::{Diff, Entry, Meta, Presences};

use crate::replica::EncodedMeta;
use crate::shard::Shard;
use crate::wire;

/// A change of a topic, as an observer hears of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Change {
    /// Where it happened.
    pub topic: String,
    /// What changed, after `fetch`.
    pub diff: Diff,
    /// Who is there after the change, without what `fetch` adds.
    pub presences: After,
}

/// Who is there after a change: [`Presences`] that are listed when somebody looks at them for the first time.
///
/// Listing costs as much as the topic has metas; [`metas`](Self::metas) looks at one key alone. Look while the observer runs: later it may be the list
/// after a later change.
#[derive(Clone)]
pub struct After {
    shard: Weak<Shard>,
    topic: Arc<str>,
    listed: OnceLock<Presences>,
}

impl After {
    pub(crate) fn new(shard: Weak<Shard>, topic: Arc<str>) -> Self {
        After { shard, topic, listed: OnceLock::new() }
    }

    /// The metas of one key, oldest first, without listing all keys; none if it is not there.
    #[must_use]
    pub fn metas(&self, key: &str) -> Vec<Meta> {
        let metas = self.shard.upgrade().map(|shard| shard.told_key(&self.topic, key));
        metas.unwrap_or_default().iter().map(EncodedMeta::to_meta).collect()
    }
}

impl Deref for After {
    type Target = Presences;

    fn deref(&self) -> &Presences {
        self.listed.get_or_init(|| {
            let everyone = self.shard.upgrade().map(|shard| shard.told(&self.topic));
            wire::presences(&everyone.unwrap_or_default())
        })
    }
}

impl<'a> IntoIterator for &'a After {
    type Item = (&'a String, &'a Entry);
    type IntoIter = std::collections::btree_map::Iter<'a, String, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("After").field("topic", &self.topic).finish_non_exhaustive()
    }
}
