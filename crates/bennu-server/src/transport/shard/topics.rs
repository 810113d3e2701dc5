//! Who of a shard's connections joined what, and what was broadcast that they have not got yet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bennu_protocol::Topic;
use bennu_pubsub::{Delivery, PubSub, SubscriberId};
use slab::Slab;
use smallvec::SmallVec;

use super::lane::{Audience, TopicLane};
use super::queue::Queue;

/// A connection's place in its shard's table.
pub(super) type Key = u32;

/// The topics of one shard. Only its thread uses it, so its lock is never waited for.
#[derive(Default)]
pub(super) struct Topics {
    names: HashMap<Topic, u32>,
    entries: Slab<Entry>,
    /// Where each connection's subscriptions are, by its key.
    places: Vec<Places>,
    /// Topics for which something waits.
    dirty: VecDeque<u32>,
}

/// Topic and place in its list of each subscription of one connection.
type Places = SmallVec<[(u32, u32); 2]>;

struct Entry {
    topic: Topic,
    id: SubscriberId,
    lane: Arc<TopicLane>,
    subs: Vec<Sub>,
    pending: VecDeque<Pending>,
    /// How many broadcasts came before the first of `pending`; wraps around.
    base: u32,
    /// How many of `subs` the flight has visited.
    cursor: usize,
}

/// One subscription: 16 bytes for each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sub {
    pub(super) token: u64,
    pub(super) key: Key,
    /// The count of the topic's next broadcast for it; wraps around.
    next: u32,
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
    topic: u32,
    id: SubscriberId,
    /// The count of the first.
    base: u32,
    pub(super) frames: Vec<Pending>,
    /// The topic's count after the last of them.
    end: u32,
}

/// The frames of a flight hold so many bytes at most, unless the first alone is longer.
const MAX_FLIGHT: usize = 128 * 1024;

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
        let index = match self.names.get(&topic) {
            Some(index) => *index,
            None => self.open(queue, pubsub, topic),
        };
        // What was broadcast before is in the queue still, and not for this one.
        self.absorb(queue);
        let (key, token) = sub;
        let entry = &mut self.entries[index as usize];
        entry.lane.add(audience);
        let place = entry.subs.len() as u32;
        entry.subs.push(Sub { token, key, next: entry.count() });
        if self.places.len() <= key as usize {
            self.places.resize_with(key as usize + 1, Places::new);
        }
        self.places[key as usize].push((index, place));
        entry.topic.clone()
    }

    fn open(&mut self, queue: &Arc<Queue>, pubsub: &PubSub, topic: Topic) -> u32 {
        let vacant = self.entries.vacant_entry();
        // A slab of as many topics does not fit into memory.
        let index = vacant.key() as u32;
        let lane = Arc::new(TopicLane::new(queue.clone(), index));
        let id = SubscriberId::unique();
        let topic: Topic = pubsub.add_subscriber(topic, id, lane.clone()).into();
        let (subs, pending) = (Vec::new(), VecDeque::new());
        vacant.insert(Entry { topic: topic.clone(), id, lane, subs, pending, base: 0, cursor: 0 });
        self.names.insert(topic, index);
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
        let Some(index) = self.names.get(topic).copied() else { return pulled };
        let Some(places) = self.places.get_mut(key as usize) else { return pulled };
        let entry = &mut self.entries[index as usize];
        let is_it =
            |&(other, place): &(u32, u32)| other == index && entry.subs[place as usize].token == token;
        let Some(found) = places.iter().position(is_it) else { return pulled };
        let (_, place) = places.swap_remove(found);
        self.entries[index as usize].pull(place, owner, &mut pulled);
        if places.is_empty() {
            *places = Places::new();
        }
        self.remove(index, place as usize);
        self.entries[index as usize].lane.remove();
        self.close_if_empty(index, pubsub);
        pulled
    }

    /// Takes a subscription out of its topic's list, so that what the flight has yet to visit stays behind its cursor.
    fn remove(&mut self, index: u32, mut place: usize) {
        let entry = &mut self.entries[index as usize];
        if place < entry.cursor {
            entry.cursor -= 1;
            let last_visited = entry.cursor;
            entry.subs.swap(place, last_visited);
            Self::moved(&mut self.places, index, entry.subs[place], last_visited, place);
            place = last_visited;
        }
        entry.subs.swap_remove(place);
        if let Some(sub) = entry.subs.get(place) {
            let was = entry.subs.len();
            Self::moved(&mut self.places, index, *sub, was, place);
        }
        if entry.subs.capacity() > 64 && entry.subs.len() < entry.subs.capacity() / 4 {
            entry.subs.shrink_to(entry.subs.len() * 2);
        }
    }

    fn moved(places: &mut [Places], index: u32, sub: Sub, was: usize, is: usize) {
        let mut of_sub = places[sub.key as usize].iter_mut();
        if let Some(place) = of_sub.find(|place| **place == (index, was as u32)) {
            place.1 = is as u32;
        }
    }

    fn close_if_empty(&mut self, index: u32, pubsub: &PubSub) {
        let entry = &self.entries[index as usize];
        if entry.subs.is_empty() {
            pubsub.remove_subscriber(&entry.topic, entry.id);
            self.names.remove(&entry.topic);
            if !entry.pending.is_empty() {
                self.dirty.retain(|dirty| *dirty != index);
            }
            self.entries.remove(index as usize);
        }
    }

    /// Takes over what was broadcast to the shard since the last time.
    pub(super) fn absorb(&mut self, queue: &Queue) {
        for (index, pending) in queue.take_deliveries() {
            // The place may be another topic's by now.
            let entry = self.entries.get_mut(index as usize);
            let Some(entry) = entry.filter(|entry| *entry.topic == *pending.delivery.topic()) else {
                continue;
            };
            if entry.pending.is_empty() {
                self.dirty.push_back(index);
            }
            entry.pending.push_back(pending);
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
            self.entries[index as usize].pull(place, owner, &mut pulled);
        }
        pulled.sort_by_key(|pulled| pulled.number);
        pulled
    }

    /// Begins to give the next topic's broadcasts to its subscribers.
    pub(super) fn take_off(&mut self) -> Option<Flight> {
        let topic = *self.dirty.front()?;
        let entry = &mut self.entries[topic as usize];
        entry.cursor = 0;
        let mut bytes = 0;
        let fits = |pending: &&Pending| {
            let is_first = bytes == 0;
            bytes += pending.size();
            is_first || bytes <= MAX_FLIGHT
        };
        let frames: Vec<Pending> = entry.pending.iter().take_while(fits).cloned().collect();
        let end = entry.base.wrapping_add(frames.len() as u32);
        Some(Flight { topic, id: entry.id, base: entry.base, frames, end })
    }

    /// The next subscribers that the flight is for, out of the next `at_most`, appended to `subs`; false when all were
    /// visited. They count as having got it, unless they take it by themselves.
    pub(super) fn visit(&mut self, flight: &Flight, at_most: usize, subs: &mut Vec<Visited>) -> bool {
        let several = self.dirty.len() > 1;
        let places = &self.places;
        let is_ordered = |sub: &Sub| {
            let places = places.get(sub.key as usize).filter(|places| places.len() > 1);
            let is_here = |(topic, _): &&(u32, u32)| *topic == flight.topic;
            places.is_some_and(|places| several || places.iter().filter(is_here).count() > 1)
        };
        let entry = self.entries.get_mut(flight.topic as usize).filter(|entry| entry.id == flight.id);
        let Some(entry) = entry else { return false };
        let first = entry.cursor.min(entry.subs.len());
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
        entry.cursor = last;
        last > first
    }

    /// Notes that a subscriber takes what it was visited for by itself.
    pub(super) fn return_to(&mut self, flight: &Flight, sub: &Sub) {
        let Some(places) = self.places.get(sub.key as usize) else { return };
        let Some(entry) = self.entries.get_mut(flight.topic as usize) else { return };
        for &(_, place) in places.iter().filter(|(index, _)| *index == flight.topic) {
            let found = &mut entry.subs[place as usize];
            if found.token == sub.token {
                found.next = sub.next;
            }
        }
    }

    fn entry(&mut self, flight: &Flight) -> Option<&mut Entry> {
        self.entries.get_mut(flight.topic as usize).filter(|entry| entry.id == flight.id)
    }

    /// Ends a flight. What is given back is to be dropped when no lock is held.
    pub(super) fn land(&mut self, flight: &Flight) -> Vec<Pending> {
        // The topic may have gone meanwhile, and its place be another's.
        let Some(entry) = self.entry(flight) else { return Vec::new() };
        let done = flight.end.wrapping_sub(entry.base) as usize;
        let landed = entry.pending.drain(..done.min(entry.pending.len())).collect();
        entry.base = flight.end;
        entry.cursor = 0;
        let is_done = entry.pending.is_empty();
        if is_done {
            entry.pending = VecDeque::new();
        }
        // It has been the first since it took off.
        self.dirty.pop_front();
        if !is_done {
            self.dirty.push_back(flight.topic);
        }
        landed
    }
}

impl Flight {
    /// Whether a subscriber has to get all of it.
    pub(super) fn is_whole_for(&self, sub: &Sub) -> bool {
        sub.next == self.base
    }
}

impl Entry {
    /// How many broadcasts there have been; wraps around.
    fn count(&self) -> u32 {
        self.base.wrapping_add(self.pending.len() as u32)
    }

    /// Takes what waits for one subscription.
    fn pull(&mut self, place: u32, owner: u64, pulled: &mut Vec<Pulled>) {
        let count = self.count();
        let sub = &mut self.subs[place as usize];
        let first = (sub.next.wrapping_sub(self.base) as usize).min(self.pending.len());
        sub.next = count;
        let token = sub.token;
        let waiting = self.pending.range(first..).filter(|pending| !pending.is_from(owner, token));
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

    fn size(&self) -> usize {
        self.delivery.get::<bennu_protocol::Broadcast>().map_or(0, |broadcast| broadcast.payload().len()) + 64
    }
}

#[cfg(test)]
mod tests;
