//! The channels of a session: where each lives, and how it is found by its topic.

use std::hash::{BuildHasher as _, RandomState};

use super::server::{ChannelId, JoinRefRule};
use crate::message::Message;
use crate::refs::Ref;
use crate::topic::Topic;

/// So many slots are looked through one by one; beyond that there is an index.
const FEW: usize = 8;

/// The table of channels. It has room for little more than there is, since most connections join
/// one topic or two.
#[derive(Debug, Default)]
pub(super) struct Slots {
    places: Vec<Option<Slot>>,
    /// How many places are taken.
    taken: u32,
    /// Counts all channels that ever were.
    generation: u32,
    /// Bytes of the topics and refs.
    names: usize,
    /// While there are more than a few.
    index: Option<Box<Index>>,
}

/// One topic of the connection.
///
/// A joined channel whose join carried its `ref` as `join_ref`, a number, as those of official clients
/// do, is all in here.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) topic: Topic,
    generation: u32,
    /// The join's `join_ref` and its `ref`, unless `rare` has them.
    number: u32,
    rare: Option<Box<Rare>>,
}

/// What a slot holds while it is not just joined, or with other refs.
#[derive(Debug)]
struct Rare {
    refs: Refs,
    state: State,
}

/// What names a join, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refs {
    /// The join message's `join_ref`.
    pub(super) join_ref: Option<Ref>,
    /// The join message's `ref`.
    pub(super) reference: Option<Ref>,
}

#[derive(Debug)]
pub(super) enum State {
    Joining(Joining),
    Joined,
    Leaving,
}

/// What a join that is not answered yet holds.
#[derive(Debug, Default)]
pub(super) struct Joining {
    /// `join_ref` of the channel that this join replaces, whose `phx_close` is due after the answer.
    pub(super) replaces: Option<Option<Ref>>,
    /// Messages for this topic that came meanwhile.
    pub(super) parked: Vec<Message>,
}

/// The places of topics, in the order of the topics' hashes.
#[derive(Debug, Default)]
struct Index {
    /// Clients choose topics, so no client may know it.
    hasher: RandomState,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: u32,
    place: u32,
}

impl Slots {
    /// Puts a new channel into a free place.
    pub(super) fn insert(&mut self, topic: Topic, refs: Refs, joining: Joining) -> ChannelId {
        self.generation = self.generation.wrapping_add(1);
        self.names += topic.len() + refs.heap_size();
        let rare = Rare { refs, state: State::Joining(joining) };
        let slot = Slot { topic, generation: self.generation, number: 0, rare: Some(Box::new(rare)) };
        let place = self.free_place();
        self.places[place] = Some(slot);
        self.taken += 1;
        self.note(place);
        // A session holds at most `max_channels` slots, far below u32::MAX.
        ChannelId { index: place as u32, generation: self.generation }
    }

    /// Frees a channel's place.
    pub(super) fn remove(&mut self, channel: ChannelId) -> Option<Slot> {
        self.get(channel)?;
        let place = channel.index as usize;
        let slot = self.places[place].take()?;
        self.taken -= 1;
        self.names -= slot.topic.len() + slot.rare.as_ref().map_or(0, |rare| rare.refs.heap_size());
        if self.len() <= FEW / 2 {
            self.index = None;
        } else if let Some(index) = &mut self.index {
            index.remove(&slot.topic, place);
        }
        if self.taken == 0 {
            self.places = Vec::new();
        }
        Some(slot)
    }

    /// The channel that is joining, joined to or leaving a topic.
    pub(super) fn find(&self, topic: &str) -> Option<ChannelId> {
        let is_for = |place: usize| self.places[place].as_ref().is_some_and(|slot| *slot.topic == *topic);
        let place = match &self.index {
            Some(index) => index.find(topic, is_for)?,
            None => (0..self.places.len()).find(|place| is_for(*place))?,
        };
        let slot = self.places[place].as_ref()?;
        Some(ChannelId { index: place as u32, generation: slot.generation })
    }

    pub(super) fn get(&self, channel: ChannelId) -> Option<&Slot> {
        let slot = self.places.get(channel.index as usize)?.as_ref()?;
        (slot.generation == channel.generation).then_some(slot)
    }

    pub(super) fn get_mut(&mut self, channel: ChannelId) -> Option<&mut Slot> {
        let slot = self.places.get_mut(channel.index as usize)?.as_mut()?;
        (slot.generation == channel.generation).then_some(slot)
    }

    /// How many channels there are.
    pub(super) fn len(&self) -> usize {
        self.taken as usize
    }

    /// Bytes of the topics and refs that it keeps.
    pub(super) fn names(&self) -> usize {
        self.names
    }

    fn free_place(&mut self) -> usize {
        let free = match self.places.len() > self.len() {
            true => self.places.iter().position(Option::is_none),
            false => None,
        };
        free.unwrap_or_else(|| {
            reserve_tightly(&mut self.places);
            self.places.push(None);
            self.places.len() - 1
        })
    }

    /// Lets a new channel be found.
    fn note(&mut self, place: usize) {
        match (&mut self.index, &self.places[place]) {
            (Some(index), Some(slot)) => index.insert(&slot.topic, place),
            (None, _) if self.taken as usize > FEW => self.index = Some(Index::of(&self.places)),
            (_, _) => {}
        }
    }
}

impl Index {
    fn of(places: &[Option<Slot>]) -> Box<Self> {
        let mut index = Box::<Index>::default();
        for (place, slot) in places.iter().enumerate() {
            slot.iter().for_each(|slot| index.insert(&slot.topic, place));
        }
        index
    }

    fn insert(&mut self, topic: &str, place: usize) {
        let entry = self.entry(topic, place);
        let at = self.entries.partition_point(|other| *other < entry);
        reserve_tightly(&mut self.entries);
        self.entries.insert(at, entry);
    }

    fn remove(&mut self, topic: &str, place: usize) {
        if let Ok(at) = self.entries.binary_search(&self.entry(topic, place)) {
            self.entries.remove(at);
        }
    }

    fn find(&self, topic: &str, is_for: impl Fn(usize) -> bool) -> Option<usize> {
        let first = self.entry(topic, 0);
        let from = self.entries.partition_point(|entry| *entry < first);
        let same = self.entries[from..].iter().take_while(|entry| entry.hash == first.hash);
        same.map(|entry| entry.place as usize).find(|place| is_for(*place))
    }

    fn entry(&self, topic: &str, place: usize) -> Entry {
        // Half of the hash is enough, for the topics are compared; places are far below u32::MAX.
        Entry { hash: self.hasher.hash_one(topic) as u32, place: place as u32 }
    }
}

/// Makes room for one more, and for a quarter when there are many.
fn reserve_tightly<T>(table: &mut Vec<T>) {
    if table.len() == table.capacity() {
        table.reserve_exact(1 + table.len() / 4);
    }
}

impl Slot {
    /// The join message's refs.
    pub(super) fn refs(&self) -> Refs {
        match &self.rare {
            Some(rare) => rare.refs.clone(),
            None => {
                let number = Some(Ref::from_number(self.number));
                Refs { join_ref: number.clone(), reference: number }
            }
        }
    }

    /// What a message of the server says that it belongs to.
    pub(super) fn shown(&self) -> Option<Ref> {
        match &self.rare {
            Some(rare) => rare.refs.join_ref.as_ref().or(rare.refs.reference.as_ref()).cloned(),
            None => Some(Ref::from_number(self.number)),
        }
    }

    /// Whether a message with this `join_ref` is for the channel.
    pub(super) fn accepts(&self, join_ref: Option<&Ref>, rule: JoinRefRule) -> bool {
        let Some(join_ref) = join_ref else { return true };
        let Some(rare) = &self.rare else { return join_ref.as_number() == Some(self.number) };
        let is_own = rare.refs.join_ref.as_ref() == Some(join_ref);
        match rule {
            JoinRefRule::Strict => is_own,
            JoinRefRule::Lenient => is_own || rare.refs.reference.as_ref() == Some(join_ref),
        }
    }

    /// The state of a join that is not answered.
    pub(super) fn joining(&mut self) -> Option<&mut Joining> {
        match &mut self.rare.as_mut()?.state {
            State::Joining(joining) => Some(joining),
            State::Joined | State::Leaving => None,
        }
    }

    /// Answers the join: the slot is in another state now. `None` if it was not joining.
    pub(super) fn answered(&mut self, state: State) -> Option<Joining> {
        self.joining()?;
        match self.replace_state(state) {
            State::Joining(joining) => Some(joining),
            State::Joined | State::Leaving => None,
        }
    }

    /// The client has left, and the server has yet to answer.
    pub(super) fn leave(&mut self) {
        self.replace_state(State::Leaving);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| matches!(rare.state, State::Leaving))
    }

    fn replace_state(&mut self, state: State) -> State {
        let refs = self.refs();
        let number = refs.number();
        let before = match (self.rare.take(), &state, number) {
            // The box of a join is not kept.
            (before, State::Joined, Some(number)) => {
                self.number = number;
                before.map(|rare| rare.state)
            }
            (before, _, _) => {
                self.rare = Some(Box::new(Rare { refs, state }));
                before.map(|rare| rare.state)
            }
        };
        before.unwrap_or(State::Joined)
    }
}

impl Refs {
    /// What pushes and replies of the channel carry: the join's `join_ref`, else its `ref`.
    pub(super) fn shown(self) -> Option<Ref> {
        self.join_ref.or(self.reference)
    }

    pub(super) fn heap_size(&self) -> usize {
        [&self.join_ref, &self.reference].into_iter().flatten().map(Ref::heap_size).sum()
    }

    /// The number that both are, if they are.
    fn number(&self) -> Option<u32> {
        let number = self.join_ref.as_ref()?.as_number()?;
        (self.join_ref == self.reference).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(number: u32) -> Refs {
        Refs { join_ref: Some(Ref::from_number(number)), reference: Some(Ref::from_number(number)) }
    }

    fn insert(slots: &mut Slots, number: u32) -> ChannelId {
        let channel = slots.insert(Topic::from(format!("room:{number}")), refs(number), Joining::default());
        slots.get_mut(channel).unwrap().answered(State::Joined).unwrap();
        channel
    }

    #[test]
    fn a_slot_is_small() {
        assert_eq!(size_of::<Option<Slot>>(), 32);
    }

    #[test]
    fn the_first_place_is_the_only_one_and_more_come_a_quarter_at_a_time() {
        let mut slots = Slots::default();
        insert(&mut slots, 0);
        assert_eq!(slots.places.capacity(), 1);
        for number in 1..100 {
            insert(&mut slots, number);
            assert!(slots.places.capacity() <= 1 + slots.len() * 5 / 4);
        }
    }

    #[test]
    fn channels_are_found_by_topic_however_many_there_are_and_come_and_go() {
        let mut slots = Slots::default();
        let mut channels = Vec::new();
        for number in 0..200 {
            channels.push(insert(&mut slots, number));
            // Every third leaves, and its place is taken again.
            if number % 3 == 0 {
                slots.remove(channels.swap_remove(number as usize % channels.len())).unwrap();
            }
        }
        while let Some(channel) = channels.pop() {
            for channel in &channels {
                let topic = slots.get(*channel).unwrap().topic.clone();
                assert_eq!(slots.find(&topic), Some(*channel));
            }
            let topic = slots.get(channel).unwrap().topic.clone();
            slots.remove(channel).unwrap();
            assert_eq!((slots.find(&topic), slots.len()), (None, channels.len()));
        }
        assert_eq!((slots.names(), slots.places.capacity()), (0, 0));
        assert!(slots.index.is_none());
    }

    #[test]
    fn a_joined_slot_keeps_any_refs_and_a_box_only_for_odd_ones() {
        let (one, two) = (Ref::from_text("1"), Ref::from_text("2"));
        let (odd, large) = (Ref::from_text("a"), Ref::from_text("4294967296"));
        for (join_ref, reference, is_boxed) in [
            (Some(&one), Some(&one), false),
            (Some(&one), Some(&two), true),
            (None, Some(&one), true),
            (Some(&one), None, true),
            (None, None, true),
            (Some(&odd), Some(&odd), true),
            (Some(&large), Some(&large), true),
        ] {
            let refs = Refs { join_ref: join_ref.cloned(), reference: reference.cloned() };
            let mut slots = Slots::default();
            let channel = slots.insert("room:1".into(), refs.clone(), Joining::default());
            let slot = slots.get_mut(channel).unwrap();
            assert!(slot.answered(State::Joined).is_some() && slot.answered(State::Joined).is_none());
            assert_eq!((slot.refs(), slot.rare.is_some()), (refs.clone(), is_boxed));
            slot.leave();
            assert_eq!((slot.refs(), slot.is_leaving()), (refs, true));
        }
    }
}
