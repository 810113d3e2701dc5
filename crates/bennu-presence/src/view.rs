//! What clients see: keys with their metas, and how they change.

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
pub struct Presences(pub(crate) BTreeMap<String, Entry>);

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

    pub(crate) fn one(key: &str, meta: Meta) -> Self {
        let mut presences = Presences::default();
        presences.push(key, meta);
        presences
    }

    pub(crate) fn push(&mut self, key: &str, meta: Meta) {
        self.0.entry(key.to_owned()).or_default().metas.push(meta);
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
