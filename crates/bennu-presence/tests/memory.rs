//! What a presence costs on the node that has it and on every other, and how fast a node that joins has them all.
//!
//! `cargo test --release -p bennu-presence --test memory -- --nocapture` prints the figures.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where; the figures are for people"
)]

use std::alloc::System;
use std::time::{Duration, Instant};

use bennu_presence::replica::{EncodedMeta, Machine, Message, OwnerId, ReplicaOptions, ReplicaRef, Target};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PRESENCES: usize = 100_000;

/// Bytes that a presence may cost on a node, its key and its meta included.
const MAX_BYTES: usize = 400;

fn machine(name: &str) -> Machine {
    let me = ReplicaRef { name: name.into(), version: 1 };
    Machine::new(me, ReplicaOptions::default(), Duration::ZERO)
}

/// Everyone on topics of their own size, each with an owner, as channels have it.
fn fill(machine: &mut Machine, topics: usize) {
    for number in 0..PRESENCES {
        let meta =
            format!(r#"{{"online_at":1700{number:06},"device":"web","phx_ref":"GOn2fe_dhy{number:06}"}}"#);
        let (topic, key) = (format!("room:{}", number % topics), format!("user:{number}"));
        machine.join(OwnerId(number as u64), &topic, &key, EncodedMeta::new(meta)).unwrap();
        machine.poll_change();
    }
}

/// Carries messages between two nodes until neither has any, and counts what crosses.
fn converse(one: &mut Machine, other: &mut Machine, now: Duration) -> (usize, usize) {
    let (mut messages, mut bytes) = (0, 0);
    loop {
        let mut carry = |from: &mut Machine, to: &mut Machine| {
            let mut count = 0;
            while let Some((Target::All | Target::Node(_), message)) = from.poll_message() {
                let mut wire = Vec::new();
                message.encode(&mut wire);
                (bytes, count) = (bytes + wire.len(), count + 1);
                to.receive(Message::decode(&wire).unwrap(), now);
                while to.poll_change().is_some() {}
            }
            count
        };
        let crossed = carry(one, other) + carry(other, one);
        messages += crossed;
        if crossed == 0 {
            return (messages, bytes);
        }
    }
}

#[test]
fn a_presence_costs_little_where_it_is_and_elsewhere() {
    for topics in [1, 1_000, PRESENCES] {
        let region = Region::new(ALLOCATOR);
        let mut one = machine("one");
        fill(&mut one, topics);
        let bytes = |region: &Region<'_, System>| {
            let stats = region.change();
            (stats.bytes_allocated - stats.bytes_deallocated) / PRESENCES
        };
        let here = bytes(&region);
        one.handle_timeout(Duration::ZERO);
        while one.poll_message().is_some() {}

        let region = Region::new(ALLOCATOR);
        let mut other = machine("other");
        let now = Duration::from_secs(1);
        other.handle_timeout(now);
        converse(&mut one, &mut other, now);
        let started = Instant::now();
        let soon = other.poll_timeout().unwrap();
        other.handle_timeout(soon);
        let (messages, crossed) = converse(&mut one, &mut other, soon);
        let took = started.elapsed();
        let there = bytes(&region);
        assert_eq!(other.topic("room:0").unwrap().count(), PRESENCES / topics);
        println!(
            "{PRESENCES} presences on {topics} topics: {here} bytes each on their node, {there} on another, \
             which had them after {took:?}, {messages} messages and {crossed} bytes"
        );
        // A topic of its own has a name of its own, too.
        let max = if topics == PRESENCES { MAX_BYTES + 100 } else { MAX_BYTES };
        assert!(here <= max && there <= max, "{here} and {there} bytes");
    }
}
