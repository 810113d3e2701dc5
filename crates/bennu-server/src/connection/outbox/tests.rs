use std::collections::BTreeMap;

use bennu_protocol::{Broadcast, Payload};
use proptest::prelude::*;

use super::*;

/// The channels of the tests: each has its policy, and a bound of its own.
const CHANNELS: usize = 6;

fn policies() -> Vec<Arc<SlowReader>> {
    let key = |event: &str, _: &Payload| (event != "none").then(|| event.to_owned());
    let policies = [
        SlowReader::drop_oldest(),
        SlowReader::drop_oldest().lossy(),
        SlowReader::keep_latest(key),
        SlowReader::keep_latest(key).lossy(),
        SlowReader::keep_latest(key).lossy().max_backlog_frames(1),
        SlowReader::disconnect(),
    ];
    let bounded = policies.map(|policy| match policy.is_exceeded(0, 2) {
        true => policy,
        false => policy.max_backlog_frames(6).max_backlog(60),
    });
    bounded.iter().filter_map(|policy| policy.resolved(1_000)).collect()
}

fn channel(index: usize) -> ChannelId {
    ChannelId { index: index as u32, generation: 0 }
}

fn delivery(event: &str) -> Delivery {
    Delivery::new("room:1", Broadcast::new("room:1", event, Payload::empty()))
}

/// The number of a frame; the rest of it is filling.
fn frame(number: u32, size: usize) -> Frame {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(size, 0);
    Frame::binary(bytes)
}

fn number_of(frame: &Frame) -> u32 {
    u32::from_be_bytes(frame.payload()[..4].try_into().unwrap())
}

#[derive(Debug, Clone)]
enum Step {
    Push {
        size: usize,
    },
    Broadcast {
        channel: usize,
        size: usize,
        key: &'static str,
        is_vital: bool,
    },
    Lose {
        channel: usize,
    },
    MakeRoom {
        bytes: usize,
        frames: usize,
        others: usize,
    },
    Take {
        at_most: usize,
        bytes: usize,
    },
    /// The lost channels have ended.
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop::sample::select(vec!["none", "a", "b", "c", "d", "e", "f", "g", "h"]);
    // The last channel closes the connection, which is seldom.
    let channel = prop_oneof![40 => 0..CHANNELS - 1, 1 => Just(CHANNELS - 1)];
    let is_vital = prop::bool::weighted(0.1);
    prop_oneof![
        4 => (4_usize..20).prop_map(|size| Step::Push { size }),
        24 => (channel, 4_usize..20, key, is_vital).prop_map(|(channel, size, key, is_vital)| {
            Step::Broadcast { channel, size, key, is_vital }
        }),
        1 => (0..CHANNELS - 1).prop_map(|channel| Step::Lose { channel }),
        3 => (50_usize..300, 5_usize..30, 0_usize..100)
            .prop_map(|(bytes, frames, others)| Step::MakeRoom { bytes, frames, others }),
        4 => (0_usize..6, 0_usize..80).prop_map(|(at_most, bytes)| Step::Take { at_most, bytes }),
        1 => Just(Step::Forget),
    ]
}

/// What a connection's outbox should do, with one list and no cleverness.
#[derive(Default)]
struct Model {
    waiting: Vec<Waits>,
    merging: [bool; CHANNELS],
    lost: [bool; CHANNELS],
    dropped: BTreeMap<usize, usize>,
    closed: bool,
}

#[derive(Clone)]
struct Waits {
    number: u32,
    size: usize,
    channel: Option<usize>,
    key: Option<&'static str>,
    is_vital: bool,
}

impl Model {
    fn of(&self, channel: usize) -> Vec<Waits> {
        self.waiting.iter().filter(|waits| waits.channel == Some(channel)).cloned().collect()
    }

    fn drop(&mut self, number: u32) {
        let index = self.waiting.iter().position(|waits| waits.number == number).unwrap();
        let dropped = self.waiting.remove(index);
        *self.dropped.entry(dropped.channel.unwrap()).or_default() += 1;
    }

    fn lose(&mut self, channel: usize) {
        self.lost[channel] = true;
        self.of(channel).iter().for_each(|waits| self.drop(waits.number));
    }

    fn broadcast(&mut self, policy: &SlowReader, waits: &Waits) {
        let channel = waits.channel.unwrap();
        self.waiting.push(waits.clone());
        if self.lost[channel] {
            return self.drop(waits.number);
        }
        if self.merging[channel] {
            self.merge(policy, channel);
        }
        loop {
            let of = self.of(channel);
            let bytes = of.iter().map(|waits| waits.size).sum();
            if of.len() == 1 || !policy.is_exceeded(bytes, of.len()) {
                return;
            }
            let dispensable = of.iter().find(|waits| policy.is_lossy() && !waits.is_vital);
            match dispensable {
                _ if policy.disconnects() => return self.closed = true,
                _ if policy.keeps_latest() && !self.merging[channel] => self.merge(policy, channel),
                Some(waits) => self.drop(waits.number),
                None => self.lose(channel),
            }
        }
    }

    fn merge(&mut self, policy: &SlowReader, channel: usize) {
        let of = self.of(channel);
        if !policy.keeps_latest() || of.is_empty() {
            return;
        }
        self.merging[channel] = true;
        for (index, older) in of.iter().enumerate() {
            if older.key.is_some() && of[index + 1..].iter().any(|newer| newer.key == older.key) {
                self.drop(older.number);
            }
        }
    }

    fn make_room(&mut self, policies: &[Arc<SlowReader>], bounds: Bounds, others: usize) {
        let is_exceeded = |waiting: &[Waits]| {
            let bytes: usize = waiting.iter().map(|waits| waits.size).sum();
            bytes + others > bounds.bytes || waiting.len() > bounds.frames
        };
        if is_exceeded(&self.waiting) {
            (0..CHANNELS).for_each(|channel| self.merge(&policies[channel], channel));
        }
        while is_exceeded(&self.waiting) {
            let is_lossy = |waits: &&Waits| waits.channel.is_some_and(|channel| policies[channel].is_lossy());
            if let Some(waits) = self.waiting.iter().filter(is_lossy).find(|waits| !waits.is_vital) {
                self.drop(waits.number);
                continue;
            }
            let sizes = (0..CHANNELS).filter(|channel| !policies[*channel].disconnects());
            let sizes = sizes.map(|channel| {
                let of = self.of(channel);
                let oldest = of.first().map(|waits| Reverse(waits.number));
                (of.iter().map(|waits| waits.size).sum::<usize>(), oldest, channel)
            });
            match sizes.max().filter(|(size, ..)| *size > 0) {
                Some((.., channel)) => self.lose(channel),
                None => return self.closed = true,
            }
        }
    }

    fn take(&mut self, at_most: usize, bytes: usize) -> Vec<u32> {
        let before = |index: usize| self.waiting[..index].iter().map(|waits| waits.size).sum::<usize>();
        let count = (0..self.waiting.len()).take_while(|index| before(*index) < bytes).count().min(at_most);
        let taken = self.waiting.drain(..count).map(|waits| waits.number).collect();
        for channel in 0..CHANNELS {
            self.merging[channel] &= !self.of(channel).is_empty();
        }
        taken
    }
}

/// Runs the steps on both and compares what comes out and what stays.
fn agree(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let policies = policies();
    let (mut outbox, mut model) = (Outbox::default(), Model::default());
    let mut dropped: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut queued, mut left) = (0, Vec::new());
    for (number, step) in (0_u32..).zip(steps) {
        let stays_open = match step {
            Step::Push { size } => {
                queued += 1;
                outbox.push(frame(number, size));
                model.waiting.push(Waits { number, size, channel: None, key: None, is_vital: true });
                true
            }
            Step::Broadcast { channel: to, size, key, is_vital } => {
                queued += 1;
                let policy = &policies[to];
                let known = (key != "none" && !is_vital).then_some(key);
                model.broadcast(policy, &Waits { number, size, channel: Some(to), key: known, is_vital });
                let (channel, route) = (channel(to), to as u16);
                outbox.broadcast(Fastlaned {
                    channel,
                    route,
                    policy,
                    frame: frame(number, size),
                    delivery: delivery(key),
                    is_vital,
                })
            }
            Step::Lose { channel: of } => {
                model.lose(of);
                outbox.lose(channel(of), of as u16, &policies[of]);
                true
            }
            Step::MakeRoom { bytes, frames, others } => {
                let bounds = Bounds { bytes, frames };
                model.make_room(&policies, bounds, others);
                outbox.make_room(bounds, others)
            }
            Step::Take { at_most, bytes } => {
                let mut taken = Vec::new();
                outbox.take(at_most, bytes, |frame| taken.push(number_of(&frame)));
                prop_assert_eq!(&taken, &model.take(at_most, bytes));
                left.extend(taken);
                true
            }
            Step::Forget => {
                outbox.lost().into_iter().for_each(|channel| outbox.forget(channel));
                (0..CHANNELS).filter(|channel| model.lost[*channel]).for_each(|channel| {
                    model.merging[channel] = false;
                });
                model.lost = Default::default();
                true
            }
        };
        outbox.report(|_, route, lane| *dropped.entry(route as usize).or_default() += lane.frames);
        dropped.retain(|_, count| *count > 0);
        prop_assert_eq!(stays_open, !model.closed);
        if model.closed {
            return Ok(());
        }
        prop_assert_eq!(&dropped, &model.dropped);
        prop_assert_eq!(outbox.len(), model.waiting.len());
        prop_assert_eq!(outbox.bytes(), model.waiting.iter().map(|waits| waits.size).sum::<usize>());
        prop_assert_eq!(outbox.lost().len(), model.lost.iter().filter(|lost| **lost).count());
        prop_assert_eq!(left.len() + dropped.values().sum::<usize>() + outbox.len(), queued);
    }
    outbox.take(usize::MAX, usize::MAX, |frame| left.push(number_of(&frame)));
    prop_assert!(left.is_sorted(), "it is a part of what was queued, in that order");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_outbox_does_what_a_plain_list_would(steps in prop::collection::vec(step(), 1..150)) {
        agree(steps)?;
    }
}

fn taken(outbox: &mut Outbox, at_most: usize) -> Vec<u32> {
    let mut taken = Vec::new();
    outbox.take(at_most, usize::MAX, |frame| taken.push(number_of(&frame)));
    taken
}

fn broadcast(outbox: &mut Outbox, policy: &Arc<SlowReader>, number: u32, event: &str) -> bool {
    let (frame, delivery) = (frame(number, 10), delivery(event));
    outbox.broadcast(Fastlaned { channel: channel(0), route: 0, policy, frame, delivery, is_vital: false })
}

#[test]
fn it_takes_no_memory_while_it_is_empty() {
    let policy = &policies()[1];
    let mut outbox = Outbox::default();
    outbox.push(frame(0, 10));
    (1..100).for_each(|number| assert!(broadcast(&mut outbox, policy, number, "none")));
    outbox.push(frame(100, 10));
    assert_eq!(taken(&mut outbox, usize::MAX), [0, 94, 95, 96, 97, 98, 99, 100]);
    assert_eq!((outbox.frames.len(), outbox.lanes.capacity()), (0, 0));
}

#[test]
fn a_key_function_that_panics_gives_no_key() {
    let policy = SlowReader::keep_latest(|event, _| match event {
        "bomb" => panic!("asked to panic"),
        other => Some(other.to_owned()),
    });
    let policy = policy.max_backlog_frames(3).resolved(1_000).unwrap();
    let mut outbox = Outbox::default();
    for (number, event) in [(0, "bomb"), (1, "a"), (2, "bomb"), (3, "a")] {
        assert!(broadcast(&mut outbox, &policy, number, event));
    }
    assert_eq!(taken(&mut outbox, usize::MAX), [0, 2, 3]);
}

#[test]
fn one_message_larger_than_the_bound_passes() {
    let policy = SlowReader::drop_oldest().max_backlog(5).resolved(1_000).unwrap();
    let mut outbox = Outbox::default();
    assert!(broadcast(&mut outbox, &policy, 0, "none"));
    assert_eq!(taken(&mut outbox, 1), [0]);
}
