//! Topics and their subscribers, close together: most topics have one subscriber, and there may be millions.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table;

use super::{Entry, SubscriberId};

/// Some of the topics. Who uses it knows the hash of a topic.
#[derive(Default)]
pub(super) struct Topics {
    /// Where in `rows` a topic is: what a hash table leaves empty costs 5 bytes there, and not a row.
    index: HashTable<u32>,
    rows: Vec<Row>,
}

struct Row {
    topic: Arc<str>,
    entries: Entries,
}

/// The subscribers of a topic. Very many topics have one alone, which takes no memory beside its place.
enum Entries {
    One(Entry),
    Many(Vec<Entry>),
}

impl Topics {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The topic as it is kept.
    pub(super) fn name(&self, hash: u64, topic: &str) -> Option<Arc<str>> {
        self.row(hash, topic).map(|row| row.topic.clone())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rows.iter().map(|row| &row.topic)
    }

    pub(super) fn entries(&self, hash: u64, topic: &str) -> &[Entry] {
        self.row(hash, topic).map_or(&[], |row| row.entries.as_slice())
    }

    pub(super) fn entries_mut(&mut self, hash: u64, topic: &str) -> &mut [Entry] {
        let Topics { index, rows } = self;
        let place = index.find(hash, |place| *rows[*place as usize].topic == *topic);
        place.map_or(&mut [], |place| rows[*place as usize].entries.as_mut_slice())
    }

    /// Adds a subscriber, and returns the topic as it is kept.
    pub(super) fn insert(
        &mut self,
        hasher: &RandomState,
        hash: u64,
        topic: Arc<str>,
        entry: Entry,
    ) -> Arc<str> {
        let Topics { index, rows } = self;
        let is_it = |place: &u32| rows[*place as usize].topic == topic;
        match index.entry(hash, is_it, |place| hasher.hash_one(&*rows[*place as usize].topic)) {
            hash_table::Entry::Occupied(occupied) => {
                let row = &mut rows[*occupied.get() as usize];
                row.entries.push(entry);
                row.topic.clone()
            }
            hash_table::Entry::Vacant(vacant) => {
                // As many topics do not fit into memory.
                vacant.insert(rows.len() as u32);
                if rows.len() == rows.capacity() {
                    rows.reserve_exact(4.max(rows.len() / 4));
                }
                rows.push(Row { topic: topic.clone(), entries: Entries::One(entry) });
                topic
            }
        }
    }

    /// Takes a subscriber out, and with the last one the topic.
    pub(super) fn remove(
        &mut self,
        hasher: &RandomState,
        hash: u64,
        topic: &str,
        id: SubscriberId,
    ) -> Option<Entry> {
        let Topics { index, rows } = self;
        let is_it = |place: &u32| *rows[*place as usize].topic == *topic;
        let found = index.find_entry(hash, is_it).ok()?;
        let place = *found.get();
        let entries = &mut rows[place as usize].entries;
        if entries.as_slice().len() > 1 {
            return entries.remove(id);
        }
        if entries.as_slice().first().is_none_or(|entry| entry.id != id) {
            return None;
        }
        found.remove();
        let removed = rows.swap_remove(place as usize);
        // The last row has taken the place.
        if let Some(moved) = rows.get(place as usize) {
            let (hash, was) = (hasher.hash_one(&*moved.topic), rows.len() as u32);
            let moved = index.find_mut(hash, |other| *other == was);
            moved.into_iter().for_each(|other| *other = place);
        }
        if rows.len() < rows.capacity() / 4 {
            rows.shrink_to(rows.len() + rows.len() / 4);
            index.shrink_to(rows.len(), |place| hasher.hash_one(&*rows[*place as usize].topic));
        }
        removed.entries.into_last()
    }

    fn row(&self, hash: u64, topic: &str) -> Option<&Row> {
        let place = self.index.find(hash, |place| *self.rows[*place as usize].topic == *topic)?;
        Some(&self.rows[*place as usize])
    }
}

impl Entries {
    fn push(&mut self, entry: Entry) {
        *self = match std::mem::replace(self, Entries::Many(Vec::new())) {
            Entries::One(first) => Entries::Many(vec![first, entry]),
            Entries::Many(mut entries) => {
                entries.push(entry);
                Entries::Many(entries)
            }
        };
    }

    /// Takes one out of several.
    fn remove(&mut self, id: SubscriberId) -> Option<Entry> {
        let Entries::Many(entries) = self else { return None };
        let at = entries.iter().position(|entry| entry.id == id)?;
        Some(entries.remove(at))
    }

    fn into_last(self) -> Option<Entry> {
        match self {
            Entries::One(entry) => Some(entry),
            Entries::Many(mut entries) => entries.pop(),
        }
    }

    fn as_slice(&self) -> &[Entry] {
        match self {
            Entries::One(entry) => std::slice::from_ref(entry),
            Entries::Many(entries) => entries,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Entry] {
        match self {
            Entries::One(entry) => std::slice::from_mut(entry),
            Entries::Many(entries) => entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::delivery::Delivery;
    use crate::registry::Subscriber;

    struct Nobody;

    impl Subscriber for Nobody {
        fn deliver(&self, _: SubscriberId, _: &Delivery, _: Option<SubscriberId>) {}
    }

    #[test]
    fn a_topic_with_one_subscriber_is_small() {
        assert_eq!(size_of::<Row>(), 48);
    }

    #[test]
    fn topics_that_come_and_go_are_found_and_leave_nothing() {
        let (hasher, mut topics) = (RandomState::new(), Topics::default());
        let mut expected: BTreeMap<String, Vec<SubscriberId>> = BTreeMap::new();
        // Every third of 10,000 steps takes out what an earlier one put in, in another order.
        for step in 0..10_000_u64 {
            let name = format!("room:{}", step * 7_919 % 1_500);
            let hash = hasher.hash_one(&*name);
            if step % 3 == 2 {
                let Some(id) = expected.get_mut(&name).and_then(Vec::pop) else { continue };
                topics.remove(&hasher, hash, &name, id);
            } else {
                let id = SubscriberId::unique();
                let entry = Entry { id, subscriber: Arc::new(Nobody) };
                topics.insert(&hasher, hash, (&*name).into(), entry);
                expected.entry(name).or_default().push(id);
            }
        }
        expected.retain(|_, ids| !ids.is_empty());
        assert_eq!(topics.len(), expected.len());
        for (name, ids) in &expected {
            let found = topics.entries(hasher.hash_one(&**name), name);
            assert_eq!(&found.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids, "{name}");
        }
        for (name, ids) in &expected {
            let gone = ids.iter().map(|id| topics.remove(&hasher, hasher.hash_one(&**name), name, *id));
            assert_eq!(gone.flatten().map(|entry| entry.id).collect::<Vec<_>>(), *ids);
        }
        assert_eq!((topics.len(), topics.rows.capacity(), topics.index.capacity()), (0, 0, 0));
    }
}
