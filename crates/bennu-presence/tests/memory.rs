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
use bennu_presence::{Owner, Presence};
use bennu_pubsub::{PubSub, Subscription};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::sync::Mutex;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that a presence may cost on a node, its key of ten bytes and its meta of 70 included.
const MAX_BYTES: usize = 270;

/// What it may cost more if its topic is its own, whose name is there for it alone.
const MAX_TOPIC_BYTES: usize = 80;

/// One test at a time counts what is allocated.
static ALONE: Mutex<()> = Mutex::const_new(());

fn held(region: &Region<'_, System>) -> usize {
    let stats = region.change();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

fn machine(name: &str) -> Machine {
    let me = ReplicaRef { name: name.into(), version: 1 };
    Machine::new(me, ReplicaOptions::default(), Duration::ZERO)
}

/// So many on so many topics, each with an owner, as channels have it.
fn fill(machine: &mut Machine, presences: usize, topics: usize) {
    for number in 0..presences {
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
    let _alone = ALONE.blocking_lock();
    // Of the second number, what grows by doubling holds little more than half of what it could.
    for presences in [100_000, 60_000] {
        for topics in [1, 1_000, presences] {
            let max = MAX_BYTES + MAX_TOPIC_BYTES * topics / presences;
            let (here, there) = costs(presences, topics);
            assert!(
                here <= max && there <= max,
                "{here} and {there} bytes of {presences} on {topics} topics"
            );
        }
    }
}

/// Bytes of each on the node where they are, and on another that joins it.
fn costs(presences: usize, topics: usize) -> (usize, usize) {
    let region = Region::new(ALLOCATOR);
    let mut one = machine("one");
    fill(&mut one, presences, topics);
    let here = held(&region) / presences;
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
    let there = held(&region) / presences;
    assert_eq!(other.topic("room:0").unwrap().count(), presences / topics);
    println!(
        "{presences} presences on {topics} topics: {here} bytes each on their node, {there} on another, \
         which had them after {took:?}, {messages} messages and {crossed} bytes"
    );
    (here, there)
}

/// Reads what was told, so that no queue holds it.
fn read_all(rooms: &mut [Subscription]) {
    rooms.iter_mut().for_each(|room| while room.try_recv().is_some() {});
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_quiet_costs_what_is_on_it_and_nothing_more() {
    const TOPICS: usize = 20_000;
    const QUIET: Duration = Duration::from_secs(5);
    let _alone = ALONE.lock().await;
    let pubsub = PubSub::local();
    let presence = Presence::new(pubsub.clone());
    let names: Vec<String> = (0..TOPICS).map(|number| format!("room:{number}")).collect();
    let mut rooms: Vec<Subscription> = names.iter().map(|name| pubsub.subscribe(name)).collect();
    let mut owners: Vec<Owner> = names.iter().map(|_| presence.owner()).collect();
    let enter = |owners: &mut [Owner]| {
        for (owner, name) in owners.iter_mut().zip(&names) {
            owner.track(name, name, json!({"online_at": 1_700_000_000, "device": "web"})).unwrap();
        }
    };
    let leave = |owners: &mut [Owner]| {
        owners.iter_mut().zip(&names).for_each(|(owner, name)| owner.untrack(name, name));
    };
    // The room that queues have made is theirs.
    for name in names.iter().cycle().take(8 * TOPICS) {
        pubsub.local_broadcast(name, String::new());
    }
    read_all(&mut rooms);

    let region = Region::new(ALLOCATOR);
    for _ in 0..3 {
        enter(&mut owners);
        leave(&mut owners);
    }
    enter(&mut owners);
    read_all(&mut rooms);
    tokio::time::sleep(QUIET).await;
    let each = held(&region) / TOPICS;
    println!("{TOPICS} presences on topics with a client each, which are quiet: {each} bytes each");
    assert!(each <= MAX_BYTES + MAX_TOPIC_BYTES, "{each} bytes");

    leave(&mut owners);
    read_all(&mut rooms);
    tokio::time::sleep(QUIET).await;
    let left = held(&region);
    assert!(left <= TOPICS, "{left} bytes are held although nobody is there");
}
