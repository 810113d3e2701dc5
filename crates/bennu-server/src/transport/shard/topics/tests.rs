//! The table of topics against plain lists, with flights that are interrupted anywhere.

use std::collections::HashMap;

use bennu_protocol::{Broadcast, Encoding, Payload, Serializer};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::super::queue::ShardBounds;
use super::*;
use crate::config::SocketOptions;
use crate::endpoint::mount;
use crate::socket::AllowAnonymous;

const KEYS: usize = 4;
const TOPICS: usize = 3;
/// Subscriptions that one connection may have to one topic.
const SUBS: usize = 2;

/// So few of these fit into one flight that flights end early.
static LARGE: [u8; 50_000] = [b' '; 50_000];

const ROOMY: ShardBounds = ShardBounds { bytes: usize::MAX, broadcasts: usize::MAX };

type Id = (usize, usize, usize);

#[derive(Debug, Clone)]
enum Act {
    Subscribe(Id),
    Unsubscribe(Id),
    /// With whom it leaves out, and whether it is large.
    Broadcast(usize, Option<Id>, bool),
    Pull(usize),
    /// The connection ends, and its key is the next one's.
    Replace(usize),
}

#[derive(Debug, Clone)]
enum Step {
    Act(Act),
    TakeOff,
    /// Visits so many; each is written to at once, or runs and does something by itself.
    Visit(usize, Vec<(bool, Option<Act>)>),
    Land,
}

fn id() -> impl Strategy<Value = Id> {
    (0..KEYS, 0..TOPICS, 0..SUBS)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => id().prop_map(Act::Subscribe),
        1 => id().prop_map(Act::Unsubscribe),
        4 => (0..TOPICS, prop::option::of(id()), prop::bool::weighted(0.2))
            .prop_map(|(topic, from, large)| Act::Broadcast(topic, from, large)),
        1 => (0..KEYS).prop_map(Act::Pull),
        1 => (0..KEYS).prop_map(Act::Replace),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let visited = prop::collection::vec((any::<bool>(), prop::option::of(act())), 4);
    prop_oneof![
        6 => act().prop_map(Step::Act),
        2 => Just(Step::TakeOff),
        4 => (1..5_usize, visited).prop_map(|(at_most, visited)| Step::Visit(at_most, visited)),
        2 => Just(Step::Land),
    ]
}

/// The table, what a runner would have, and what each subscription has yet to get.
struct World {
    topics: Topics,
    queue: Arc<Queue>,
    pubsub: PubSub,
    owners: [SubscriberId; KEYS],
    flight: Option<Flight>,
    /// Numbers of broadcasts.
    expected: HashMap<Id, VecDeque<u64>>,
    /// The number of the last broadcast that each connection got.
    last: [u64; KEYS],
    _poll: mio::Poll,
}

fn name(topic: usize) -> Topic {
    format!("room:{topic}").into()
}

fn token((_, topic, sub): Id) -> u64 {
    (topic * SUBS + sub) as u64
}

impl World {
    fn new() -> Self {
        World::bounded(ROOMY)
    }

    fn bounded(bounds: ShardBounds) -> Self {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        World {
            topics: Topics::default(),
            queue: Queue::new(waker, bounds, metrics::Counter::noop()),
            pubsub: PubSub::local(),
            owners: std::array::from_fn(|_| SubscriberId::unique()),
            flight: None,
            expected: HashMap::new(),
            last: [0; KEYS],
            _poll: poll,
        }
    }

    fn act(&mut self, act: &Act) -> TestCaseResult {
        match *act {
            Act::Subscribe(id) => self.subscribe(id),
            Act::Unsubscribe(id) => self.unsubscribe(id)?,
            Act::Broadcast(topic, from, large) => self.broadcast(topic, from, large),
            Act::Pull(key) => self.run(key, Vec::new())?,
            Act::Replace(key) => {
                for (topic, sub) in (0..TOPICS).flat_map(|topic| (0..SUBS).map(move |sub| (topic, sub))) {
                    self.unsubscribe((key, topic, sub))?;
                }
                self.owners[key] = SubscriberId::unique();
            }
        }
        self.check_places()
    }

    fn subscribe(&mut self, id: Id) {
        let (key, topic, _) = id;
        if self.expected.contains_key(&id) {
            return;
        }
        self.topics.subscribe(&self.queue, &self.pubsub, name(topic), (key as Key, token(id)), None);
        self.expected.insert(id, VecDeque::new());
        let index = self.topics.find(&name(topic)).unwrap() as usize;
        let entry = &mut self.topics.entries[index];
        if entry.base == 0 && entry.subs.len() == 1 && entry.waiting == NOTHING {
            // The counts are about to wrap around.
            entry.base = u32::MAX - 1;
            entry.subs[0].next = entry.base;
        }
    }

    fn unsubscribe(&mut self, id: Id) -> TestCaseResult {
        let (key, topic, _) = id;
        self.topics.absorb(&self.queue);
        let owner = self.owners[key].owner();
        let sub = (key as Key, token(id));
        let pulled = self.topics.unsubscribe(&self.pubsub, &name(topic), sub, owner);
        // What waits for the others is found before anything is done about this.
        self.run(key, pulled)?;
        if let Some(left) = self.expected.remove(&id) {
            prop_assert!(left.is_empty(), "{:?} never got {:?}", id, left);
        }
        Ok(())
    }

    fn broadcast(&mut self, topic: usize, from: Option<Id>, large: bool) {
        let number = self.queue.delivered();
        let payload = Payload::Json(if large { LARGE.as_slice().into() } else { b"{}".as_slice().into() });
        let broadcast = Broadcast::new(name(topic), "event", payload);
        match from {
            None => self.pubsub.broadcast(name(topic), broadcast),
            Some(from) => {
                let from_id = self.owners[from.0].with_token(token(from));
                self.pubsub.broadcast_from(from_id, name(topic), broadcast)
            }
        };
        for (id, expected) in &mut self.expected {
            if id.1 == topic && Some(*id) != from {
                expected.push_back(number);
            }
        }
    }

    /// A turn of a connection: it takes all that waits for it.
    fn run(&mut self, key: usize, unsubscribed: Vec<Pulled>) -> TestCaseResult {
        self.topics.absorb(&self.queue);
        let mut pulled = self.topics.pull(key as Key, self.owners[key].owner());
        pulled.extend(unsubscribed);
        pulled.sort_by_key(|pulled| pulled.number);
        pulled.iter().try_for_each(|pulled| self.got(key, pulled.token, pulled.number))
    }

    fn got(&mut self, key: usize, token: u64, number: u64) -> TestCaseResult {
        let (topic, sub) = (token as usize / SUBS, token as usize % SUBS);
        let expected = self.expected.get_mut(&(key, topic, sub)).and_then(VecDeque::pop_front);
        prop_assert_eq!(expected, Some(number));
        prop_assert!(self.last[key] <= number, "{} after {}", number, self.last[key]);
        self.last[key] = number;
        Ok(())
    }

    /// As a runner does it.
    fn deliver(&mut self, visited: &Visited, is_clear: bool, then: Option<&Act>) -> TestCaseResult {
        let Visited { sub, is_ordered } = visited;
        let Some(flight) = &self.flight else { return Ok(()) };
        let owner = self.owners[sub.key() as usize].owner();
        let is_whole = !is_ordered && flight.is_whole_for(sub);
        if is_whole && is_clear && !flight.frames.iter().any(|one| one.is_from(owner, sub.token)) {
            let numbers: Vec<u64> = flight.frames.iter().map(|one| one.number).collect();
            return numbers
                .into_iter()
                .try_for_each(|number| self.got(sub.key() as usize, sub.token, number));
        }
        if !is_ordered {
            self.topics.return_to(flight, sub);
        }
        self.run(sub.key() as usize, Vec::new())?;
        // A handler of this connection; another's does not run now.
        let key = sub.key() as usize;
        match then.cloned() {
            None => Ok(()),
            Some(Act::Subscribe((_, topic, sub))) => self.act(&Act::Subscribe((key, topic, sub))),
            Some(Act::Unsubscribe((_, topic, sub))) => self.act(&Act::Unsubscribe((key, topic, sub))),
            Some(Act::Replace(_)) => Ok(()),
            Some(broadcast @ Act::Broadcast(..)) => self.act(&broadcast),
            Some(Act::Pull(_)) => self.act(&Act::Pull(key)),
        }
    }

    fn visit(&mut self, at_most: usize, answers: &[(bool, Option<Act>)]) -> Result<bool, TestCaseError> {
        let Some(flight) = &self.flight else { return Ok(false) };
        let mut visited = Vec::new();
        let goes_on = self.topics.visit(flight, at_most, &mut visited);
        prop_assert!(visited.len() <= at_most);
        for (visited, (is_clear, then)) in visited.iter().zip(answers.iter().cycle()) {
            self.deliver(visited, *is_clear, then.as_ref())?;
        }
        Ok(goes_on)
    }

    fn land(&mut self) -> TestCaseResult {
        while self.visit(1, &[(true, None)])? {}
        self.flight.take().iter().for_each(|flight| drop(self.topics.land(flight)));
        Ok(())
    }

    fn take_off(&mut self) {
        if self.flight.is_none() {
            self.topics.absorb(&self.queue);
            self.flight = self.topics.take_off();
        }
    }

    fn check_places(&self) -> TestCaseResult {
        let subs = self.topics.entries.iter().map(|(_, entry)| entry.subs.len()).sum::<usize>();
        prop_assert_eq!(subs, self.expected.len());
        for (key, places) in self.topics.places.iter().enumerate() {
            for (index, place) in places {
                prop_assert_eq!(
                    self.topics.entries[*index as usize].subs[*place as usize].key() as usize,
                    key
                );
            }
        }
        let has_waiting = |entry: &Entry| entry.waiting != NOTHING;
        prop_assert!(
            self.topics.dirty.iter().all(|index| has_waiting(&self.topics.entries[*index as usize]))
        );
        let dirty = self.topics.entries.iter().filter(|(_, entry)| has_waiting(entry)).count();
        prop_assert_eq!((self.topics.dirty.len(), self.topics.waiting.len()), (dirty, dirty));
        prop_assert!(self.topics.waiting.iter().all(|(_, waiting)| !waiting.pending.is_empty()));
        for topic in 0..TOPICS {
            let expected = self.expected.keys().filter(|(_, other, _)| *other == topic).count();
            prop_assert_eq!(self.pubsub.subscriber_count(name(topic)), expected);
        }
        Ok(())
    }

    /// Everybody has got everything, and when all have gone nothing is left.
    fn end(mut self) -> TestCaseResult {
        self.land()?;
        self.take_off();
        while self.flight.is_some() {
            self.land()?;
            self.take_off();
        }
        for (id, expected) in &self.expected {
            prop_assert!(expected.is_empty(), "{:?} never got {:?}", id, expected);
        }
        (0..KEYS).try_for_each(|key| self.act(&Act::Replace(key)))?;
        prop_assert!(self.topics.names.is_empty() && self.topics.entries.is_empty());
        prop_assert!(self.topics.dirty.is_empty() && self.topics.waiting.is_empty());
        self.topics.absorb(&self.queue);
        prop_assert_eq!(self.queue.backlog(), (0, 0));
        prop_assert!(self.topics.places.iter().all(SmallVec::is_empty));
        prop_assert!((0..TOPICS).all(|topic| self.pubsub.subscriber_count(name(topic)) == 0));
        Ok(())
    }
}

fn agree(steps: Vec<Step>) -> TestCaseResult {
    let mut world = World::new();
    for step in steps {
        match step {
            Step::Act(act) => world.act(&act)?,
            Step::TakeOff => world.take_off(),
            Step::Visit(at_most, answers) => {
                world.visit(at_most, &answers)?;
            }
            Step::Land => world.land()?,
        }
        world.check_places()?;
    }
    world.end()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn everybody_gets_what_was_broadcast_once_and_in_order(steps in prop::collection::vec(step(), 1..80)) {
        agree(steps)?;
    }
}

#[test]
fn what_ten_thousand_leave_takes_no_memory() {
    let mut world = World::new();
    let pubsub = world.pubsub.clone();
    for key in 0..10_000 {
        world.topics.subscribe(&world.queue, &pubsub, name(0), (key, 0), None);
    }
    world.topics.subscribe(&world.queue, &pubsub, name(0), (10_000, 0), None);
    for key in 0..10_000 {
        world.topics.unsubscribe(&pubsub, &name(0), (key, 0), 0);
    }
    let entry = &world.topics.entries[world.topics.find(&name(0)).unwrap() as usize];
    assert_eq!(entry.subs.len(), 1);
    assert!(entry.subs.capacity() <= 64, "{}", entry.subs.capacity());
}

#[test]
fn frames_are_built_by_the_broadcaster_for_all_who_joined_that_topic_and_no_others() {
    let World { mut topics, queue, pubsub, _poll, .. } = World::new();
    let mount = Arc::new(mount("/socket", AllowAnonymous, Vec::new(), SocketOptions::default()).unwrap());
    let mut subscribe = |topic, key, serializer: Serializer| {
        let audience = Audience { mount: mount.clone(), route: 0, encoding: Encoding::from(serializer) };
        topics.subscribe(&queue, &pubsub, name(topic), (key, 0), Some(audience));
    };
    // Version 1 cannot carry bytes, which the broadcaster is to hear at once.
    let fails = |topic| {
        let broadcast = Broadcast::new(name(topic), "event", Payload::Binary(b"bytes".as_slice().into()));
        let delivery = pubsub.broadcast(name(topic), broadcast);
        delivery.get::<Broadcast>().unwrap().encode_error().is_some()
    };
    for topic in 0..3 {
        subscribe(topic, 0, Serializer::V2);
        assert!(!fails(topic));
    }
    subscribe(1, 1, Serializer::V1);
    subscribe(2, 1, Serializer::V2);
    assert_eq!([fails(0), fails(1), fails(2)], [false, true, false]);
    subscribe(2, 2, Serializer::V1);
    subscribe(2, 3, Serializer::V2);
    assert_eq!([fails(0), fails(1), fails(2)], [false, true, true]);
    assert_eq!([0, 1, 2].map(|topic| pubsub.subscriber_count(name(topic))), [1, 2, 4]);
    // The table knows who it is after the change too.
    for (topic, key) in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3)] {
        topics.unsubscribe(&pubsub, &name(topic), (key, 0), 0);
    }
    assert_eq!([0, 1, 2].map(|topic| pubsub.subscriber_count(name(topic))), [0, 0, 0]);
}

/// What a connection finds: numbers, or `None` where something was lost.
fn pulled(world: &mut World) -> Vec<Option<u64>> {
    world.topics.absorb(&world.queue);
    let pulled = world.topics.pull(0, 0);
    pulled.iter().map(|one| one.delivery.get::<Broadcast>().map(|_| one.number)).collect()
}

#[test]
fn what_finds_no_room_is_lost_and_leaves_one_mark_in_its_topic() {
    for (name, bounds, is_large) in [
        ("by number", ShardBounds { bytes: usize::MAX, broadcasts: 3 }, false),
        ("by size", ShardBounds { bytes: 3 * (LARGE.len() + 64), broadcasts: usize::MAX }, true),
    ] {
        let mut world = World::bounded(bounds);
        (0..2).for_each(|topic| world.subscribe((0, topic, 0)));
        (0..5).for_each(|_| world.broadcast(0, None, is_large));
        // A small one has room in the second case, but not behind what was lost.
        world.broadcast(0, None, false);
        assert_eq!((world.queue.lost(), world.queue.backlog().0), (3, 4), "{name}");
        assert_eq!(pulled(&mut world), [Some(0), Some(1), Some(2), None], "{name}");
        world.broadcast(0, None, is_large);
        assert_eq!(pulled(&mut world), [None], "{name}: nothing has landed");
        while let Some(flight) = world.topics.take_off() {
            world.topics.land(&flight);
        }
        assert_eq!(world.queue.backlog(), (0, 0), "{name}");
        (0..2).for_each(|topic| world.broadcast(topic, None, is_large));
        assert_eq!(pulled(&mut world), [Some(5), Some(6)], "{name}");
        assert_eq!(world.queue.lost(), 4, "{name}");
    }
}

#[test]
fn what_was_lost_flies_alone_behind_what_came_before() {
    let mut world = World::bounded(ShardBounds { bytes: usize::MAX, broadcasts: 2 });
    world.subscribe((0, 0, 0));
    (0..3).for_each(|_| world.broadcast(0, None, false));
    world.topics.absorb(&world.queue);
    let mut flights = Vec::new();
    while let Some(flight) = world.topics.take_off() {
        flights.push(flight.frames.iter().map(Pending::has_missed).collect::<Vec<_>>());
        world.topics.land(&flight);
        if flights.len() == 1 {
            world.broadcast(0, None, false);
            world.topics.absorb(&world.queue);
        }
    }
    assert_eq!(flights, [vec![false, false], vec![true], vec![false]]);
}
