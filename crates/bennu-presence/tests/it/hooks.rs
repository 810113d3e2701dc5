//! What an application adds to presence, and what it hears.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bennu_presence::{Crowd, Presence};
use bennu_pubsub::PubSub;
use metrics_util::CompositeKey;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
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
async fn a_fetch_that_hangs_holds_up_its_own_topic_alone_and_for_a_bounded_time() {
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let pubsub = PubSub::local();
    let presence = Presence::builder(pubsub.clone())
        .fetch(|topic, mut presences| async move {
            if topic == "hangs" {
                std::future::pending::<()>().await;
            }
            presences.iter_mut().for_each(|(_, entry)| drop(entry.extra.insert("name".into(), json!("Ada"))));
            presences
        })
        .fetch_timeout(Duration::from_secs(3))
        .build();
    let mut stuck = Client::join(&pubsub, &presence, "hangs").await;
    let mut free = Client::join(&pubsub, &presence, "t").await;
    let mut owner = presence.owner();
    for topic in ["hangs", "t"] {
        owner.track(topic, "ada", json!({})).unwrap();
    }
    let name = |client: &Client| client.list.presences().get("ada").map(|ada| ada.extra.get("name").cloned());

    tokio::time::sleep(Duration::from_millis(1)).await;
    stuck.catch_up();
    free.catch_up();
    assert_eq!((name(&stuck), name(&free)), (None, Some(Some(json!("Ada")))));

    tokio::time::sleep(Duration::from_secs(3)).await;
    stuck.catch_up();
    assert_eq!(name(&stuck), Some(None), "as it was tracked");
    assert_eq!(counter(&recorder), 1);

    assert_eq!(presence.list("hangs").await.len(), 1);
    assert_eq!(presence.get_by_key("hangs", "ada").await.map(|ada| ada.metas.len()), Some(1));
    assert!(presence.state("hangs").await.presences().is_some());
    assert_eq!(counter(&recorder), 3);
}

/// What was counted since it was asked last.
fn counter(recorder: &DebuggingRecorder) -> u64 {
    let is_it = |key: &CompositeKey| key.key().name() == "bennu_presence_late_fetches_total";
    let all = recorder.snapshotter().snapshot().into_vec();
    let of = |(key, _, _, value)| match value {
        DebugValue::Counter(value) if is_it(&key) => Some(value),
        _ => None,
    };
    all.into_iter().filter_map(of).sum()
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_of_a_topic_in_order_however_long_fetch_takes() {
    let (heard, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let presence = Presence::builder(PubSub::local())
        // Clients are told less than the observer, so `fetch` is run twice.
        .crowd(|_| Crowd::First(1))
        .fetch(|topic, presences| async move {
            let calls = if topic == "slow" { 200 } else { 1 };
            tokio::time::sleep(Duration::from_millis(calls * presences.len() as u64)).await;
            presences
        })
        .observer(move |change| {
            let keys: Vec<String> = change.diff.joins.iter().map(|(key, _)| key.clone()).collect();
            heard.send((change.topic.clone(), keys)).unwrap();
        })
        .build();
    let mut owner = presence.owner();
    for key in 0..30 {
        for topic in ["slow", "quick"] {
            owner.track(topic, format!("{key:02}"), json!({})).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (mut slow, mut quick, mut first_slow) = (Vec::new(), Vec::new(), None);
    while let Ok((topic, keys)) = changes.try_recv() {
        if topic == "slow" {
            first_slow = first_slow.or(Some(quick.len()));
            slow.extend(keys);
        } else {
            quick.extend(keys);
        }
    }
    let all: Vec<String> = (0..30).map(|key| format!("{key:02}")).collect();
    assert_eq!((&slow, &quick), (&all, &all));
    assert!(first_slow > Some(1), "the quick topic did not wait for the slow one");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_nobody_listens_to_is_not_told_and_who_joins_later_misses_nothing() {
    let pubsub = PubSub::local();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let presence = Presence::builder(pubsub.clone())
        .fetch(move |_, presences| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { presences }
        })
        .build();
    let mut owner = presence.owner();
    for _ in 0..30 {
        owner.track("t", "ada", json!({})).unwrap();
        owner.untrack("t", "ada");
    }
    owner.track("t", "bob", json!({})).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 0);

    let mut client = Client::join(&pubsub, &presence, "t").await;
    assert!(client.list.presences().get("bob").is_some());
    owner.untrack("t", "bob");
    owner.track("t", "eve", json!({})).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.catch_up();
    let keys: Vec<&str> = client.list.presences().iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!((keys, client.diffs), (vec!["eve"], 2));
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
