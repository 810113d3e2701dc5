//! Who of a shard's connections joined what, and what was broadcast that they have not got yet.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bennu_protocol::Topic;
use bennu_pubsub::{Delivery, PubSub, SubscriberId};
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use super::lane::{Audience, Lanes};
use super::queue::{Missed, Queue};
use super::subs::{Sub, Subs};

/// A connection's place in its shard's table.
pub(super) type Key = u32;

/// The topics of one shard. Only its thread uses it, so its lock is never waited for.
///
/// Most topics have one subscriber and nothing that waits, so that is what an entry has room for.
pub(super) struct Topics {
    /// As whom the PubSub knows the shard; a topic's key is the token.
    owner: SubscriberId,
    hasher: RandomState,
    /// Where in `entries` a topic is, by its name.
    names: HashTable<u32>,
    entries: Slab<Entry>,
    /// How many topics were opened so far; wraps around.
    opened: u32,
    lanes: Lanes,
    /// Where each connection's subscriptions are, by its key.
    places: Vec<Places>,
    /// What waits, for each topic that has something waiting.
    waiting: Slab<Waiting>,
    /// Topics for which something waits.
    dirty: VecDeque<u32>,
    gone: Vec<Pending>,
}

/// Topic and place in its list of each subscription of one connection.
type Places = SmallVec<[(u32, u32); 2]>;

/// A topic's place in its shard's table, and which of those that had it this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TopicKey {
    pub(super) index: u32,
    generation: u32,
}

struct Entry {
    topic: Topic,
    subs: Subs,
    generation: u32,
    lane: u32,
    /// How many broadcasts came before the first that waits; wraps around.
    base: u32,
    /// Its place in `Topics::waiting`, or [`NOTHING`].
    waiting: u32,
}

/// Stands for no place.
const NOTHING: u32 = u32::MAX;

/// What was broadcast to a topic and has not landed.
#[derive(Default)]
struct Waiting {
    pending: VecDeque<Pending>,
    /// How many of the topic's subscribers the flight has visited.
    cursor: usize,
}

/// A broadcast, and its place among all that the shard was given.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) number: u64,
    pub(super) delivery: Delivery,
    pub(super) from: Option<SubscriberId>,
}

/// A broadcast that a connection takes by itself.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) number: u64,
    /// Which of its subscriptions it is for.
    pub(crate) token: u64,
    pub(crate) delivery: Delivery,
}

/// A subscriber that a flight is for.
pub(super) struct Visited {
    pub(super) sub: Sub,
    /// Whether its connection takes them by itself: it may have to be given broadcasts of several topics, or each
    /// broadcast several times, in their order.
    pub(super) is_ordered: bool,
}

/// Some broadcasts of one topic on their way to all subscribers.
pub(super) struct Flight {
    topic: TopicKey,
    /// The count of the first.
    base: u32,
    pub(super) frames: Vec<Pending>,
    /// The topic's count after the last of them.
    end: u32,
}

/// The frames of a flight hold so many bytes at most, unless the first alone is longer.
const MAX_FLIGHT: usize = 128 * 1024;

impl Default for Topics {
    fn default() -> Self {
        Topics {
            owner: SubscriberId::unique(),
            hasher: RandomState::new(),
            names: HashTable::new(),
            entries: Slab::new(),
            opened: 0,
            lanes: Lanes::default(),
            places: Vec::new(),
            waiting: Slab::new(),
            dirty: VecDeque::new(),
            gone: Vec::new(),
        }
    }
}

impl Topics {
    /// Adds a subscription to what is broadcast from now on, and returns the table's own topic.
    pub(super) fn subscribe(
        &mut self,
        queue: &Arc<Queue>,
        pubsub: &PubSub,
        topic: Topic,
        sub: (Key, u64),
        audience: Option<Audience>,
    ) -> Topic {
        let (key, token) = sub;
        let sub = Sub::new(token, key);
        let index = match self.find(&topic) {
            Some(index) => self.add(queue, pubsub, index, sub, audience),
            None => self.open(queue, pubsub, topic, sub, audience),
        };
        // What was broadcast before is in the queue still, and not for this one.
        self.absorb(queue);
        let entry = &mut self.entries[index as usize];
        let waiting = self.waiting.get(entry.waiting as usize);
        let place = entry.subs.len() - 1;
        entry.subs[place].next =
            entry.base.wrapping_add(waiting.map_or(0, |waiting| waiting.pending.len()) as u32);
        self.lanes.counts().set(index, entry.subs.len());
        if self.places.len() <= key as usize {
            self.places.resize_with(key as usize + 1, Places::new);
        }
        let places = &mut self.places[key as usize];
        if places.spilled() && places.len() == places.capacity() {
            places.reserve_exact(2.max(places.len() / 4));
        }
        places.push((index, place as u32));
        entry.topic.clone()
    }

    fn find(&self, topic: &str) -> Option<u32> {
        let is_it = |index: &u32| *self.entries[*index as usize].topic == *topic;
        self.names.find(self.hasher.hash_one(topic), is_it).copied()
    }

    /// Adds a subscription to a topic that has some, and has the topic's frames built for this audience too.
    fn add(
        &mut self,
        queue: &Arc<Queue>,
        pubsub: &PubSub,
        index: u32,
        sub: Sub,
        audience: Option<Audience>,
    ) -> u32 {
        let entry = &mut self.entries[index as usize];
        entry.subs.push(sub);
        let lane = self.lanes.with(queue, Some(entry.lane), audience);
        if lane != entry.lane {
            entry.lane = lane;
            let id = self.owner.with_token(entry.key(index).to_token());
            pubsub.replace_subscriber(&entry.topic, id, self.lanes.get(lane).clone());
        }
        index
    }

    fn open(
        &mut self,
        queue: &Arc<Queue>,
        pubsub: &PubSub,
        topic: Topic,
        sub: Sub,
        audience: Option<Audience>,
    ) -> u32 {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(16.max(self.entries.len() / 4));
        }
        let lane = self.lanes.with(queue, None, audience);
        let vacant = self.entries.vacant_entry();
        // A slab of as many topics does not fit into memory.
        let index = vacant.key() as u32;
        let key = TopicKey { index, generation: self.opened };
        self.opened = self.opened.wrapping_add(1);
        let id = self.owner.with_token(key.to_token());
        let topic: Topic = pubsub.add_subscriber(topic, id, self.lanes.get(lane).clone()).into();
        let hash = self.hasher.hash_one(topic.as_str());
        let (subs, generation) = (Subs::One(sub), key.generation);
        vacant.insert(Entry { topic, subs, generation, lane, base: 0, waiting: NOTHING });
        let Topics { names, entries, hasher, .. } = self;
        names.insert_unique(hash, index, |index| hasher.hash_one(entries[*index as usize].topic.as_str()));
        index
    }

    /// Ends a subscription, and takes what waits for it.
    pub(super) fn unsubscribe(
        &mut self,
        pubsub: &PubSub,
        topic: &str,
        sub: (Key, u64),
        owner: u64,
    ) -> Vec<Pulled> {
        let (key, token) = sub;
        let mut pulled = Vec::new();
        let Some(index) = self.find(topic) else { return pulled };
        let Some(places) = self.places.get_mut(key as usize) else { return pulled };
        let entry = &mut self.entries[index as usize];
        let is_it =
            |&(other, place): &(u32, u32)| other == index && entry.subs[place as usize].token == token;
        let Some(found) = places.iter().position(is_it) else { return pulled };
        let (_, place) = places.swap_remove(found);
        if places.is_empty() {
            *places = Places::new();
        }
        entry.pull(&self.waiting, place, owner, &mut pulled);
        let left = entry.subs.len() - 1;
        self.lanes.counts().set(index, left);
        match left {
            0 => self.close(index, pubsub),
            _ => self.remove(index, place as usize),
        }
        pulled
    }

    /// Takes a subscription out of its topic's list, so that what the flight has yet to visit stays behind its cursor.
    fn remove(&mut self, index: u32, mut place: usize) {
        let entry = &mut self.entries[index as usize];
        let flight = self.waiting.get_mut(entry.waiting as usize).filter(|waiting| place < waiting.cursor);
        if let Some(waiting) = flight {
            waiting.cursor -= 1;
            let last_visited = waiting.cursor;
            entry.subs.swap(place, last_visited);
            Self::moved(&mut self.places, index, entry.subs[place], last_visited, place);
            place = last_visited;
        }
        entry.subs.swap_remove(place);
        if let Some(sub) = entry.subs.get(place) {
            let was = entry.subs.len();
            Self::moved(&mut self.places, index, *sub, was, place);
        }
    }

    fn moved(places: &mut [Places], index: u32, sub: Sub, was: usize, is: usize) {
        let mut of_sub = places[sub.key() as usize].iter_mut();
        if let Some(place) = of_sub.find(|place| **place == (index, was as u32)) {
            place.1 = is as u32;
        }
    }

    fn close(&mut self, index: u32, pubsub: &PubSub) {
        let entry = self.entries.remove(index as usize);
        pubsub.remove_subscriber(&entry.topic, self.owner.with_token(entry.key(index).to_token()));
        let hash = self.hasher.hash_one(entry.topic.as_str());
        if let Ok(found) = self.names.find_entry(hash, |other| *other == index) {
            found.remove();
        }
        if entry.waiting != NOTHING {
            self.dirty.retain(|dirty| *dirty != index);
            let waiting = self.waiting.remove(entry.waiting as usize);
            self.lanes.get(entry.lane).landed(&waiting.pending);
            self.gone.extend(waiting.pending);
        }
        if self.entries.is_empty() {
            let (owner, opened, gone) = (self.owner, self.opened, std::mem::take(&mut self.gone));
            *self = Topics { owner, opened, gone, ..Topics::default() };
        }
    }

    /// What nobody waits for any more. It is the application's, and to be dropped where no lock is held.
    pub(super) fn take_gone(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.gone)
    }

    /// Ends all subscriptions at once: the shard is no more.
    pub(super) fn close_all(&self, pubsub: &PubSub) {
        for (index, entry) in &self.entries {
            let token = entry.key(index as u32).to_token();
            pubsub.remove_subscriber(&entry.topic, self.owner.with_token(token));
        }
    }

    /// Takes over what was broadcast to the shard since the last time.
    pub(super) fn absorb(&mut self, queue: &Queue) {
        for (topic, pending) in queue.take_deliveries() {
            // The place may be another topic's by now.
            let Some(entry) = Self::entry(&mut self.entries, topic) else {
                queue.landed([&pending]);
                self.gone.push(pending);
                continue;
            };
            if entry.waiting == NOTHING {
                // There are no more of these than topics.
                entry.waiting = self.waiting.insert(Waiting::default()) as u32;
                self.dirty.push_back(topic.index);
            }
            self.waiting[entry.waiting as usize].pending.push_back(pending);
        }
    }

    /// Whether anything waits for anybody.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// For how many topics something waits.
    pub(super) fn dirty_count(&self) -> usize {
        self.dirty.len()
    }

    /// Takes what waits for one connection, in order.
    pub(super) fn pull(&mut self, key: Key, owner: u64) -> Vec<Pulled> {
        let mut pulled = Vec::new();
        let Some(places) = self.places.get(key as usize) else { return pulled };
        for &(index, place) in places {
            self.entries[index as usize].pull(&self.waiting, place, owner, &mut pulled);
        }
        pulled.sort_by_key(|pulled| pulled.number);
        pulled
    }

    /// Begins to give the next topic's broadcasts to its subscribers.
    pub(super) fn take_off(&mut self) -> Option<Flight> {
        let index = *self.dirty.front()?;
        let entry = &self.entries[index as usize];
        let waiting = &mut self.waiting[entry.waiting as usize];
        waiting.cursor = 0;
        let mut bytes = 0;
        let fits = |pending: &&Pending| {
            let is_first = bytes == 0;
            // What was lost cannot be in a run with others, which would then be taken one by one.
            bytes += if pending.has_missed() { MAX_FLIGHT } else { pending.size() };
            is_first || bytes <= MAX_FLIGHT
        };
        let frames: Vec<Pending> = waiting.pending.iter().take_while(fits).cloned().collect();
        let end = entry.base.wrapping_add(frames.len() as u32);
        Some(Flight { topic: entry.key(index), base: entry.base, frames, end })
    }

    /// The next subscribers that the flight is for, out of the next `at_most`, appended to `subs`; false when all were
    /// visited. They count as having got it, unless they take it by themselves.
    pub(super) fn visit(&mut self, flight: &Flight, at_most: usize, subs: &mut Vec<Visited>) -> bool {
        let several = self.dirty.len() > 1;
        let places = &self.places;
        let is_ordered = |sub: &Sub| {
            let places = places.get(sub.key() as usize).filter(|places| places.len() > 1);
            let is_here = |(topic, _): &&(u32, u32)| *topic == flight.topic.index;
            places.is_some_and(|places| several || places.iter().filter(is_here).count() > 1)
        };
        let Some(entry) = Self::entry(&mut self.entries, flight.topic) else { return false };
        let waiting = &mut self.waiting[entry.waiting as usize];
        let first = waiting.cursor.min(entry.subs.len());
        let last = (first + at_most).min(entry.subs.len());
        for sub in &mut entry.subs[first..last] {
            if flight.end.wrapping_sub(sub.next).cast_signed() > 0 {
                let is_ordered = is_ordered(sub);
                subs.push(Visited { sub: *sub, is_ordered });
                // Who takes them by itself may do so before its turn comes, with later ones.
                if !is_ordered {
                    sub.next = flight.end;
                }
            }
        }
        waiting.cursor = last;
        last > first
    }

    /// Notes that a subscriber takes what it was visited for by itself.
    pub(super) fn return_to(&mut self, flight: &Flight, sub: &Sub) {
        let Some(places) = self.places.get(sub.key() as usize) else { return };
        let Some(entry) = Self::entry(&mut self.entries, flight.topic) else { return };
        for &(_, place) in places.iter().filter(|(index, _)| *index == flight.topic.index) {
            let found = &mut entry.subs[place as usize];
            if found.token == sub.token {
                found.next = sub.next;
            }
        }
    }

    /// The topic, if its place is not another's by now.
    fn entry(entries: &mut Slab<Entry>, topic: TopicKey) -> Option<&mut Entry> {
        entries.get_mut(topic.index as usize).filter(|entry| entry.generation == topic.generation)
    }

    /// Ends a flight. What is given back is to be dropped when no lock is held.
    pub(super) fn land(&mut self, flight: &Flight) -> VecDeque<Pending> {
        // The topic may have gone meanwhile.
        let Some(entry) = Self::entry(&mut self.entries, flight.topic) else { return VecDeque::new() };
        let waiting = &mut self.waiting[entry.waiting as usize];
        let done = flight.end.wrapping_sub(entry.base) as usize;
        self.lanes.get(entry.lane).landed(waiting.pending.iter().take(done));
        entry.base = flight.end;
        // It has been the first since it took off.
        self.dirty.pop_front();
        if done < waiting.pending.len() {
            waiting.cursor = 0;
            self.dirty.push_back(flight.topic.index);
            return waiting.pending.drain(..done).collect();
        }
        let landed = self.waiting.remove(entry.waiting as usize).pending;
        entry.waiting = NOTHING;
        if self.waiting.is_empty() && self.waiting.capacity() > 64 {
            self.waiting = Slab::new();
        }
        landed
    }
}

impl TopicKey {
    fn to_token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// What [`to_token`](Self::to_token) made.
    pub(super) fn from_token(token: u64) -> Self {
        TopicKey { index: token as u32, generation: (token >> 32) as u32 }
    }
}

impl Flight {
    /// Whether a subscriber has to get all of it.
    pub(super) fn is_whole_for(&self, sub: &Sub) -> bool {
        sub.next == self.base
    }
}

impl Entry {
    fn key(&self, index: u32) -> TopicKey {
        TopicKey { index, generation: self.generation }
    }

    /// Takes what waits for one subscription.
    fn pull(&mut self, waiting: &Slab<Waiting>, place: u32, owner: u64, pulled: &mut Vec<Pulled>) {
        let Some(Waiting { pending, .. }) = waiting.get(self.waiting as usize) else { return };
        let sub = &mut self.subs[place as usize];
        let first = (sub.next.wrapping_sub(self.base) as usize).min(pending.len());
        sub.next = self.base.wrapping_add(pending.len() as u32);
        let token = sub.token;
        let waiting = pending.range(first..).filter(|pending| !pending.is_from(owner, token));
        pulled.extend(waiting.map(|Pending { number, delivery, .. }| Pulled {
            number: *number,
            token,
            delivery: delivery.clone(),
        }));
    }
}

impl Pending {
    /// Whether it is what this very subscription sent to all others.
    pub(super) fn is_from(&self, owner: u64, token: u64) -> bool {
        self.from.is_some_and(|from| from.token == token && from.owner() == owner)
    }

    /// Whether it stands for what was lost.
    pub(super) fn has_missed(&self) -> bool {
        self.delivery.get::<Missed>().is_some()
    }

    pub(super) fn size(&self) -> usize {
        Self::size_of(&self.delivery)
    }

    /// Bytes that a delivery counts for.
    pub(super) fn size_of(delivery: &Delivery) -> usize {
        let broadcast = delivery.get::<bennu_protocol::Broadcast>();
        broadcast.map_or_else(|| delivery.size(), |broadcast| broadcast.payload().len()) + 64
    }
}

#[cfg(test)]
mod tests;
