//! What an application adds to presence, and what it hears.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bennu_presence::{Crowd, Presence};
use bennu_pubsub::PubSub;
use serde_json::json;

use crate::clients::Client;

#[tokio::test(start_paused = true)]
async fn a_panic_in_fetch_or_an_observer_ends_neither_presence_nor_the_order() {
    let pubsub = PubSub::local();
    let (heard, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let presence = Presence::builder(pubsub.clone())
        .fetch(|_, mut presences| async move {
            assert!(presences.get("mallory").is_none(), "nobody knows mallory");
            for (key, entry) in presences.iter_mut() {
                entry.extra.insert("name".into(), key.to_uppercase().into());
            }
            presences
        })
        .observer(move |change| {
            let key = change.diff.joins.iter().next().map(|(key, _)| key.clone()).unwrap();
            assert_ne!(key, "bob", "the observer has enough of bob");
            heard.send((key, change.presences.len(), change.presences.metas("ada").len())).unwrap();
        })
        .build();
    let mut client = Client::join(&pubsub, &presence, "t").await;
    let mut owner = presence.owner();
    for key in ["ada", "mallory", "bob", "eve"] {
        owner.track("t", key, json!({})).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.catch_up();
    let names: Vec<_> = client.list.presences().iter().map(|(_, entry)| entry.extra.get("name")).collect();
    assert_eq!(names, [Some(&json!("ADA")), Some(&json!("BOB")), Some(&json!("EVE")), None]);
    for expected in [("ada".to_owned(), 1, 1), ("mallory".to_owned(), 2, 1), ("eve".to_owned(), 4, 1)] {
        assert_eq!(changes.recv().await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_fetch_runs_is_the_next_diff() {
    let pubsub = PubSub::local();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let presence = Presence::builder(pubsub.clone())
        .fetch(move |_, presences| {
            counted.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                presences
            }
        })
        .build();
    let mut client = Client::join(&pubsub, &presence, "t").await;
    let mut owner = presence.owner();
    for n in 0..100 {
        owner.track("t", format!("{n}"), json!({})).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.catch_up();
    assert_eq!((client.list.presences().len(), client.diffs, calls.load(Ordering::Relaxed)), (100, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_observer_of_a_counted_crowd_hears_who_they_are() {
    let (heard, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let presence = Presence::builder(PubSub::local())
        .crowd(|_| Crowd::Count)
        .observer(move |change| heard.send((change.diff.joins.len(), change.presences.len())).unwrap())
        .build();
    let mut owner = presence.owner();
    owner.track("t", "ada", json!({})).unwrap();
    assert_eq!(changes.recv().await.unwrap(), (1, 1));
    owner.update("t", "ada", json!({"n": 1})).unwrap();
    assert_eq!(changes.recv().await.unwrap(), (1, 1), "though the number is the same");
}

#[tokio::test(start_paused = true)]
async fn presences_are_those_after_the_change_however_many_came_since() {
    let (heard, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let presence = Presence::builder(PubSub::local())
        .observer(move |change| {
            let keys: Vec<String> = change.presences.iter().map(|(key, _)| key.clone()).collect();
            heard.send(keys).unwrap();
        })
        .build();
    let mut owner = presence.owner();
    // The worker runs when this task waits for the first time, and finds all of it done.
    for key in ["a", "b", "c"] {
        owner.track("t", key, json!({})).unwrap();
    }
    owner.untrack("t", "a");
    assert_eq!(changes.recv().await.unwrap(), ["a"]);
    assert_eq!(changes.recv().await.unwrap(), ["b", "c"]);
}
