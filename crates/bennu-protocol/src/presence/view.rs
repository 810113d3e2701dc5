//! What travels: keys with their metas, and how they change.

use std::collections::BTreeMap;
use std::collections::btree_map;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What one owner says about a key: the tracked object, plus `phx_ref`, and
/// `phx_ref_prev` once it was updated.
pub type Meta = Map<String, Value>;

/// One key: all its metas, oldest first, and what `fetch` added.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// One for each owner that tracks the key, such as each device of a user.
    pub metas: Vec<Meta>,
    /// Further members, which clients see beside `metas`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Keys with their metas, in the order of the keys: the payload of `presence_state`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Presences(BTreeMap<String, Entry>);

impl Presences {
    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known of one key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }

    /// All keys in their order.
    pub fn iter(&self) -> btree_map::Iter<'_, String, Entry> {
        self.0.iter()
    }

    /// All keys in their order, to add to them.
    pub fn iter_mut(&mut self) -> btree_map::IterMut<'_, String, Entry> {
        self.0.iter_mut()
    }

    /// Puts a key in, in place of what was there.
    pub fn insert(&mut self, key: impl Into<String>, entry: Entry) -> Option<Entry> {
        self.0.insert(key.into(), entry)
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        self.0.remove(key)
    }

    /// Adds one more meta to a key, which need not be there.
    pub fn push(&mut self, key: &str, meta: Meta) {
        match self.0.get_mut(key) {
            Some(entry) => entry.metas.push(meta),
            None => drop(self.insert(key, Entry { metas: vec![meta], extra: Map::new() })),
        }
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.0.get_mut(key)
    }

    /// How many metas all keys have together.
    pub(super) fn count_metas(&self) -> usize {
        self.0.values().map(|entry| entry.metas.len()).sum()
    }
}

impl FromIterator<(String, Entry)> for Presences {
    fn from_iter<I: IntoIterator<Item = (String, Entry)>>(entries: I) -> Self {
        Presences(entries.into_iter().collect())
    }
}

impl IntoIterator for Presences {
    type Item = (String, Entry);
    type IntoIter = btree_map::IntoIter<String, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Presences {
    type Item = (&'a String, &'a Entry);
    type IntoIter = btree_map::Iter<'a, String, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A change of a topic: the payload of `presence_diff`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// New metas, by key.
    pub joins: Presences,
    /// Metas that are gone, by key.
    pub leaves: Presences,
}
