//! The one place where presences lie: found by topic and key, by owner, and by the number that their replica gave them.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::pages::Pages;
use super::{EncodedMeta, OwnerId};

/// The end of a list. Slots are numbered in 32 bits, which spares half of the memory that links need.
const NONE: u32 = u32::MAX;

/// All presences of a shard, those of replicas that are down included, which are hidden: they can be found by their slot alone.
#[derive(Default)]
pub(super) struct Table {
    topics: Pages<TopicSlot>,
    keys: Pages<KeySlot>,
    entries: Pages<EntrySlot>,
    topic_index: HashTable<u32>,
    /// By topic and name.
    key_index: HashTable<u32>,
    /// Of this node's own entries, by owner and key.
    owned_index: HashTable<u32>,
    /// The last entry of each owner, by owner.
    owners: HashTable<u32>,
    hasher: RandomState,
}

struct TopicSlot {
    name: Arc<str>,
    /// Keys that can be seen, oldest first.
    first: u32,
    last: u32,
    visible_keys: u32,
    visible_metas: u32,
    /// All keys, seen or not. The slot is freed with the last of them.
    keys: u32,
}

struct KeySlot {
    name: Arc<str>,
    topic: u32,
    before: u32,
    after: u32,
    /// The oldest entry that can be seen.
    first: u32,
    visible: u32,
    /// All entries, seen or not.
    entries: u32,
}

struct EntrySlot {
    meta: EncodedMeta,
    clock: u64,
    owner: OwnerId,
    key: u32,
    /// The one before it among those of the key that can be seen. Before the first is the last.
    before: u32,
    after: u32,
    owned_before: u32,
    owned_after: u32,
}

impl EntrySlot {
    fn owned_hash(&self) -> u64 {
        owned_hash(self.owner, self.key)
    }
}

impl Table {
    /// Puts an entry in, hidden.
    pub(super) fn insert<T>(&mut self, topic: T, key: T, meta: EncodedMeta, clock: u64) -> u32
    where
        T: AsRef<str> + Into<Arc<str>>,
    {
        let key = self.key_slot(topic, key);
        self.keys[key].entries += 1;
        let (before, after, owned_before, owned_after) = (NONE, NONE, NONE, NONE);
        let owner = OwnerId(0);
        let entry = EntrySlot { meta, clock, owner, key, before, after, owned_before, owned_after };
        self.entries.insert(entry)
    }

    /// Takes out an entry that is hidden.
    pub(super) fn remove(&mut self, entry: u32) {
        let Some(EntrySlot { key, .. }) = self.entries.remove(entry) else { return };
        let key_slot = &mut self.keys[key];
        key_slot.entries -= 1;
        if key_slot.entries == 0 {
            self.remove_key(key);
        }
    }

    /// Makes an entry the newest of its key, and the key the newest of its topic if nobody has seen it before.
    pub(super) fn show(&mut self, entry: u32) {
        let index = self.entries[entry].key;
        let key = &mut self.keys[index];
        let (topic, is_new) = (key.topic, key.visible == 0);
        key.visible += 1;
        if is_new {
            key.first = entry;
            self.entries[entry].before = entry;
        } else {
            let last = std::mem::replace(&mut self.entries[key.first].before, entry);
            self.entries[last].after = entry;
            self.entries[entry].before = last;
        }
        self.topics[topic].visible_metas += 1;
        if is_new {
            self.show_key(topic, index);
        }
    }

    /// Takes an entry out of sight.
    pub(super) fn hide(&mut self, entry: u32) {
        let slot = &mut self.entries[entry];
        let index = slot.key;
        let (before, after) =
            (std::mem::replace(&mut slot.before, NONE), std::mem::replace(&mut slot.after, NONE));
        let key = &mut self.keys[index];
        if key.first == entry {
            key.first = after;
        } else {
            self.entries[before].after = after;
        }
        // What was before it is so to the next one, or to the first one as the last.
        let next = if after == NONE { key.first } else { after };
        if next != NONE {
            self.entries[next].before = before;
        }
        key.visible -= 1;
        let (topic, is_gone) = (key.topic, key.visible == 0);
        self.topics[topic].visible_metas -= 1;
        if is_gone {
            self.hide_key(topic, index);
        }
    }

    /// Notes whose an entry is.
    pub(super) fn own(&mut self, entry: u32, owner: OwnerId) {
        self.entries[entry].owner = owner;
        let entries = &self.entries;
        let is_its = |other: &u32| entries[*other].owner == owner;
        let last = match self.owners.entry(mix(owner.0), is_its, |other| mix(entries[*other].owner.0)) {
            Entry::Occupied(mut last) => std::mem::replace(last.get_mut(), entry),
            Entry::Vacant(place) => {
                place.insert(entry);
                NONE
            }
        };
        self.owned_index
            .insert_unique(entries[entry].owned_hash(), entry, |other| entries[*other].owned_hash());
        self.entries[entry].owned_before = last;
        if last != NONE {
            self.entries[last].owned_after = entry;
        }
    }

    /// Forgets whose an entry is.
    pub(super) fn disown(&mut self, entry: u32) {
        let slot = &self.entries[entry];
        let (owner, before, after) = (slot.owner, slot.owned_before, slot.owned_after);
        let entries = &self.entries;
        take_out(&mut self.owned_index, entry, |other| entries[*other].owned_hash());
        if after == NONE && before == NONE {
            take_out(&mut self.owners, entry, |other| mix(entries[*other].owner.0));
        } else if after == NONE {
            let last = self.owners.find_mut(mix(owner.0), |other| *other == entry);
            last.into_iter().for_each(|last| *last = before);
        }
        if before != NONE {
            self.entries[before].owned_after = after;
        }
        if after != NONE {
            self.entries[after].owned_before = before;
        }
    }

    /// The entry that an owner has under a key.
    pub(super) fn owned(&self, owner: OwnerId, topic: &str, key: &str) -> Option<u32> {
        let key = self.find_key(self.find_topic(topic)?, key)?;
        let is_it = |entry: &u32| {
            let entry = &self.entries[*entry];
            (entry.owner, entry.key) == (owner, key)
        };
        self.owned_index.find(owned_hash(owner, key), is_it).copied()
    }

    /// The newest entry of an owner.
    pub(super) fn last_owned(&self, owner: OwnerId) -> Option<u32> {
        let is_its = |entry: &u32| self.entries[*entry].owner == owner;
        self.owners.find(mix(owner.0), is_its).copied()
    }

    /// The topic, the key and the meta of an entry.
    pub(super) fn describe(&self, entry: u32) -> (&Arc<str>, &Arc<str>, &EncodedMeta) {
        let entry = &self.entries[entry];
        let key = &self.keys[entry.key];
        (&self.topics[key.topic].name, &key.name, &entry.meta)
    }

    pub(super) fn clock(&self, entry: u32) -> u64 {
        self.entries[entry].clock
    }

    /// A topic where someone can be seen.
    pub(super) fn topic(&self, topic: &str) -> Option<Topic<'_>> {
        let topic = &self.topics[self.find_topic(topic)?];
        (topic.visible_keys > 0).then_some(Topic { table: self, topic })
    }

    /// How many topics there are, with those where nobody can be seen.
    pub(super) fn topics(&self) -> usize {
        self.topics.len()
    }

    fn find_topic(&self, name: &str) -> Option<u32> {
        let is_it = |topic: &u32| *self.topics[*topic].name == *name;
        self.topic_index.find(self.hasher.hash_one(name), is_it).copied()
    }

    fn find_key(&self, topic: u32, name: &str) -> Option<u32> {
        let is_it = |key: &u32| {
            let key = &self.keys[*key];
            key.topic == topic && *key.name == *name
        };
        self.key_index.find(self.hasher.hash_one((topic, name)), is_it).copied()
    }

    fn key_slot<T: AsRef<str> + Into<Arc<str>>>(&mut self, topic: T, key: T) -> u32 {
        let topic = self.find_topic(topic.as_ref()).unwrap_or_else(|| self.insert_topic(topic.into()));
        self.find_key(topic, key.as_ref()).unwrap_or_else(|| self.insert_key(topic, key.into()))
    }

    fn insert_topic(&mut self, name: Arc<str>) -> u32 {
        let hash = self.hasher.hash_one(&*name);
        let topic = TopicSlot { name, first: NONE, last: NONE, visible_keys: 0, visible_metas: 0, keys: 0 };
        let topic = self.topics.insert(topic);
        let (topics, hasher) = (&self.topics, &self.hasher);
        self.topic_index.insert_unique(hash, topic, |topic| hasher.hash_one(&*topics[*topic].name));
        topic
    }

    fn insert_key(&mut self, topic: u32, name: Arc<str>) -> u32 {
        let hash = self.hasher.hash_one((topic, &*name));
        self.topics[topic].keys += 1;
        let (before, after, first) = (NONE, NONE, NONE);
        let key = KeySlot { name, topic, before, after, first, visible: 0, entries: 0 };
        let key = self.keys.insert(key);
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.key_index.insert_unique(hash, key, |key| {
            let key = &keys[*key];
            hasher.hash_one((key.topic, &*key.name))
        });
        key
    }

    fn remove_key(&mut self, index: u32) {
        let (topics, keys, hasher) = (&self.topics, &self.keys, &self.hasher);
        let topic = keys[index].topic;
        take_out(&mut self.key_index, index, |key| hasher.hash_one((keys[*key].topic, &*keys[*key].name)));
        if topics[topic].keys == 1 {
            take_out(&mut self.topic_index, topic, |topic| hasher.hash_one(&*topics[*topic].name));
            self.topics.remove(topic);
        } else {
            self.topics[topic].keys -= 1;
        }
        self.keys.remove(index);
    }

    fn show_key(&mut self, topic: u32, key: u32) {
        let topic = &mut self.topics[topic];
        let last = std::mem::replace(&mut topic.last, key);
        topic.visible_keys += 1;
        if last == NONE {
            topic.first = key;
        } else {
            self.keys[last].after = key;
        }
        self.keys[key].before = last;
    }

    fn hide_key(&mut self, topic: u32, key: u32) {
        let slot = &mut self.keys[key];
        let (before, after) =
            (std::mem::replace(&mut slot.before, NONE), std::mem::replace(&mut slot.after, NONE));
        if before != NONE {
            self.keys[before].after = after;
        }
        if after != NONE {
            self.keys[after].before = before;
        }
        let topic = &mut self.topics[topic];
        topic.first = if before == NONE { after } else { topic.first };
        topic.last = if after == NONE { before } else { topic.last };
        topic.visible_keys -= 1;
    }
}

/// A topic where someone is.
#[derive(Clone, Copy)]
pub struct Topic<'a> {
    table: &'a Table,
    topic: &'a TopicSlot,
}

impl<'a> Topic<'a> {
    /// How many keys are there, at no cost.
    #[must_use]
    pub fn count(&self) -> usize {
        self.topic.visible_keys as usize
    }

    /// How many metas all keys have together, at no cost.
    #[must_use]
    pub fn count_metas(&self) -> usize {
        self.topic.visible_metas as usize
    }

    /// The keys in the order in which they came to this node, oldest first.
    pub fn keys(&self) -> impl Iterator<Item = Key<'a>> + use<'a> {
        let table = self.table;
        let key = move |index: u32| table.keys.get(index).map(|key| Key { table, key });
        std::iter::successors(key(self.topic.first), move |at| key(at.key.after))
    }

    /// One key, if it is there.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<Key<'a>> {
        let first = self.table.keys.get(self.topic.first)?;
        let key = &self.table.keys[self.table.find_key(first.topic, name)?];
        (key.visible > 0).then_some(Key { table: self.table, key })
    }
}

/// A key on a topic.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    table: &'a Table,
    key: &'a KeySlot,
}

impl<'a> Key<'a> {
    /// The key itself.
    #[must_use]
    pub fn name(&self) -> &'a Arc<str> {
        &self.key.name
    }

    /// How many metas it has, at no cost: at least one.
    #[must_use]
    pub fn count_metas(&self) -> usize {
        self.key.visible as usize
    }

    /// Its metas in the order in which they came to this node, oldest first.
    pub fn metas(&self) -> impl Iterator<Item = &'a EncodedMeta> + use<'a> {
        let table = self.table;
        let entry = move |index: u32| table.entries.get(index);
        std::iter::successors(entry(self.key.first), move |at| entry(at.after)).map(|entry| &entry.meta)
    }
}

impl fmt::Debug for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({} keys)", self.count())
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} metas)", self.count_metas())
    }
}

fn owned_hash(owner: OwnerId, key: u32) -> u64 {
    mix(mix(owner.0) ^ u64::from(key))
}

/// Spreads numbers that are counted here: nobody can choose them so that they collide.
fn mix(number: u64) -> u64 {
    let product = u128::from(number ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (product >> 64) as u64 ^ product as u64
}

/// Takes a slot out of an index, which gives memory back when little is left in it.
fn take_out(index: &mut HashTable<u32>, slot: u32, hash: impl Fn(&u32) -> u64) {
    if let Ok(found) = index.find_entry(hash(&slot), |other| *other == slot) {
        found.remove();
    }
    if index.len() * 8 < index.capacity() {
        index.shrink_to(index.len() * 2, hash);
    }
}
