//! What presence costs: `./presence-benchmarks.sh`, or
//! `cargo run --release -p bennu-presence --example presence-benchmarks -- [rounds]`.
//!
//! Prints a table in Markdown, with the median of the rounds.

#![allow(clippy::print_stdout, reason = "the figures are for people")]

use std::alloc::System;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bennu_presence::{Crowd, Owner, Presence};
use bennu_pubsub::{ClusterOptions, PubSub};
use bennu_testkit::Hub;
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PRESENCES: usize = 100_000;

/// Joins that are measured in a row.
const JOINS: usize = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(5), |rounds| rounds.parse()).context("[rounds]")?;
    println!("| | median | least | most |\n| --- | --- | --- | --- |");
    for topics in [1, 1_000, PRESENCES] {
        let mut figures = Vec::new();
        for _ in 0..rounds {
            figures.push(a_node_joins(topics).await?);
        }
        let row = |name: &str, figure: fn(&Joined) -> f64| {
            row(&format!("{PRESENCES} presences on {topics} topics: {name}"), figures.iter().map(figure));
        };
        row("bytes each on their own node", |joined| joined.bytes_here);
        row("the same without their owners", |joined| joined.bytes_unowned);
        row("bytes each on the node that joins", |joined| joined.bytes_there);
        row("ms until that node has all", |joined| joined.took.as_secs_f64() * 1_000.0);
        row("KiB that cross for it", |joined| joined.crossed as f64 / 1_024.0);
    }
    for (name, crowd) in [("full", Crowd::Full), ("count", Crowd::Count), ("the first 20", Crowd::First(20))]
    {
        for size in [10, 10_000] {
            let nanoseconds = (0..rounds).map(|_| a_join(size, crowd)).collect::<anyhow::Result<Vec<_>>>()?;
            row(
                &format!("ns for a join, told to one subscriber: {name}, topic of {size}"),
                nanoseconds.into_iter(),
            );
        }
    }
    let states = (0..rounds).map(|_| a_state(10_000));
    let states =
        futures_util::future::join_all(states).await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    row("µs for the state of a topic of 10000", states.into_iter());
    Ok(())
}

fn row(name: &str, figures: impl Iterator<Item = f64>) {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let (least, most) = (figures.first(), figures.last());
    let at = |figure: Option<&f64>| figure.map_or(String::new(), |figure| format!("{figure:.0}"));
    println!("| {name} | {} | {} | {} |", at(figures.get(figures.len() / 2)), at(least), at(most));
}

struct Joined {
    bytes_here: f64,
    bytes_unowned: f64,
    bytes_there: f64,
    took: Duration,
    crossed: u64,
}

fn held(region: &Region<'_, System>) -> f64 {
    let change = region.change();
    (change.bytes_allocated as f64 - change.bytes_deallocated as f64) / PRESENCES as f64
}

/// One node has everyone, and then another one joins it, over an engine that takes no time.
async fn a_node_joins(topics: usize) -> anyhow::Result<Joined> {
    // What an earlier round had is gone by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let hub = Hub::new();
    let node = |name: &str| {
        let options = ClusterOptions::new("a secret of these benchmarks").node(name);
        PubSub::cluster(hub.adapter(), options)
    };
    let one = node("one")?;
    let presence = Presence::new(one.clone());
    let mut owners: Vec<Owner> = Vec::with_capacity(PRESENCES);
    owners.extend((0..PRESENCES).map(|_| presence.owner()));
    let region = Region::new(ALLOCATOR);
    for (number, owner) in owners.iter_mut().enumerate() {
        let meta = json!({"online_at": 1_700_000_000 + number, "device": "web"});
        owner.track(format!("room:{}", number % topics), format!("user:{number}"), meta)?;
    }
    // Long enough for what is told and replicated at once to be forgotten.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let bytes_unowned = held(&region);
    let bytes_here = bytes_unowned + size_of::<Owner>() as f64;

    let carried = hub.carried_bytes();
    let region = Region::new(ALLOCATOR);
    let begun = Instant::now();
    let two = node("two")?;
    let joining = Presence::new(two.clone());
    // Topics are looked at one after the other: those that are complete stay so.
    let (per_topic, mut complete) = (PRESENCES / topics, 0);
    while complete < topics {
        if joining.count(format!("room:{complete}")) == per_topic {
            complete += 1;
            continue;
        }
        anyhow::ensure!(
            begun.elapsed() < Duration::from_secs(60),
            "the node that joins does not get to know all"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = begun.elapsed();
    let crossed = hub.carried_bytes() - carried;
    tokio::time::sleep(Duration::from_secs(4)).await;
    Ok(Joined { bytes_here, bytes_unowned, bytes_there: held(&region), took, crossed })
}

/// Nanoseconds of a join in a topic of so many, and of telling one subscriber.
fn a_join(size: usize, crowd: Crowd) -> anyhow::Result<f64> {
    let pubsub = PubSub::local();
    let mut room = pubsub.subscribe("room:1");
    let builder = Presence::builder(pubsub).diff_window(Duration::ZERO);
    let presence = builder.crowd(move |_| crowd).build();
    let mut owners: Vec<Owner> = (0..size + JOINS).map(|_| presence.owner()).collect();
    let (present, joining) = owners.split_at_mut(size);
    for (number, owner) in present.iter_mut().enumerate() {
        owner.track("room:1", format!("user:{number}"), json!({"device": "web"}))?;
        room.try_recv();
    }
    let begun = Instant::now();
    for (number, owner) in joining.iter_mut().enumerate() {
        owner.track("room:1", format!("joins:{number}"), json!({"device": "web"}))?;
        room.try_recv();
        // The topic stays as large as it is.
        owner.untrack("room:1", &format!("joins:{number}"));
        room.try_recv();
    }
    Ok(begun.elapsed().as_nanos() as f64 / (2 * JOINS) as f64)
}

/// Microseconds of writing what a client that joins is told.
async fn a_state(size: usize) -> anyhow::Result<f64> {
    let presence = Presence::new(PubSub::local());
    let mut owners: Vec<Owner> = (0..size).map(|_| presence.owner()).collect();
    for (number, owner) in owners.iter_mut().enumerate() {
        owner.track("room:1", format!("user:{number}"), json!({"device": "web"}))?;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    for _ in 0..20 {
        anyhow::ensure!(presence.state("room:1").await.into_iter().count() == 1, "one event");
    }
    Ok(begun.elapsed().as_micros() as f64 / 20.0)
}
