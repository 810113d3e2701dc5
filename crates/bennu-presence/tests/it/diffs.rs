//! Diffs of many changes, and lists between them.

use std::time::Duration;

use bennu_presence::{Diff, Owner, Presence};
use bennu_protocol::Broadcast;
use bennu_pubsub::{PubSub, Subscription};
use proptest::prelude::*;
use serde_json::json;

use crate::clients::{Client, comparable};

const TOPIC: &str = "room:1";
const WINDOW: Duration = Duration::from_millis(100);

fn received(subscription: &mut Subscription) -> Vec<Diff> {
    let mut all = Vec::new();
    while let Some(Ok(delivery)) = subscription.try_recv() {
        all.push(delivery.get::<Broadcast>().expect("a broadcast").payload().parse().expect("a diff"));
    }
    all
}

/// Uses up what a topic may tell at once.
fn spend(presence: &Presence, room: &mut Subscription) {
    let mut owner = presence.owner();
    for _ in 0..8 {
        owner.track(TOPIC, "burst", json!({})).expect("tracked");
        owner.untrack(TOPIC, "burst");
    }
    assert_eq!(received(room).len(), 16, "the first go out at once");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_joins_is_told_once_for_each_window() {
    let pubsub = PubSub::local();
    let presence = Presence::new(pubsub.clone());
    let mut room = pubsub.subscribe(TOPIC);
    let mut owners: Vec<Owner> = Vec::new();
    for step in 0..10 {
        for n in 0..1_000 {
            owners.push(presence.owner());
            owners.last_mut().unwrap().track(TOPIC, format!("{step}-{n}"), json!({})).unwrap();
        }
        tokio::time::sleep(WINDOW).await;
    }
    tokio::time::sleep(WINDOW).await;
    let diffs = received(&mut room);
    assert!(diffs.len() <= 16 + 11, "{} diffs", diffs.len());
    assert_eq!(diffs.iter().map(|diff| diff.joins.len()).sum::<usize>(), 10_000);
    drop(owners);
    tokio::time::sleep(WINDOW * 2).await;
    assert_eq!(received(&mut room).iter().map(|diff| diff.leaves.len()).sum::<usize>(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_saw_is_not_told_and_what_somebody_saw_is() {
    let pubsub = PubSub::local();
    let presence = Presence::new(pubsub.clone());
    let mut room = pubsub.subscribe(TOPIC);
    spend(&presence, &mut room);
    let mut owner = presence.owner();
    owner.track(TOPIC, "unseen", json!({})).unwrap();
    owner.untrack(TOPIC, "unseen");
    tokio::time::sleep(WINDOW * 20).await;
    assert_eq!(received(&mut room), []);

    spend(&presence, &mut room);
    owner.track(TOPIC, "seen", json!({})).unwrap();
    let mut client = Client::join(&pubsub, &presence, TOPIC).await;
    assert!(client.list.presences().get("seen").is_some());
    owner.untrack(TOPIC, "seen");
    tokio::time::sleep(WINDOW * 2).await;
    let [diff] = &received(&mut room)[..] else { panic!("one diff") };
    assert_eq!(diff.joins, diff.leaves);
    client.catch_up();
    assert!(client.list.presences().is_empty());
}

#[tokio::test(start_paused = true)]
async fn updates_in_a_row_are_one_join_and_one_leave_of_what_clients_know() {
    let pubsub = PubSub::local();
    let presence = Presence::new(pubsub.clone());
    let mut room = pubsub.subscribe(TOPIC);
    let (mut known, mut new) = (presence.owner(), presence.owner());
    let first = known.track(TOPIC, "known", json!({"n": 0})).unwrap();
    tokio::time::sleep(WINDOW).await;
    room.try_recv();
    spend(&presence, &mut room);
    new.track(TOPIC, "new", json!({"n": 0})).unwrap();
    let mut last = (String::new(), String::new());
    for n in 1..=3 {
        last = (
            known.update(TOPIC, "known", json!({"n": n})).unwrap(),
            new.update_with(TOPIC, "new", |old| json!({"n": old["n"].as_u64().unwrap() + 1})).unwrap(),
        );
    }
    let client = Client::join(&pubsub, &presence, TOPIC).await;
    let listed = client.list.presences();
    assert_eq!(
        listed.get("known").unwrap().metas[0]["phx_ref"],
        first.as_str(),
        "until the diff replaces it"
    );
    assert_eq!(listed.get("new").unwrap().metas[0]["phx_ref"], last.1.as_str());
    assert_eq!(presence.get_by_key(TOPIC, "known").await.unwrap().metas[0]["n"], 3);

    tokio::time::sleep(WINDOW * 2).await;
    let [diff] = &received(&mut room)[..] else { panic!("one diff") };
    let known = json!({"n": 3, "phx_ref": last.0, "phx_ref_prev": first});
    let new = json!({"n": 3, "phx_ref": last.1});
    let expected = json!({
        "joins": {"known": {"metas": [known]}, "new": {"metas": [new]}},
        "leaves": {"known": {"metas": [{"n": 0, "phx_ref": first}]}},
    });
    assert_eq!(serde_json::to_value(diff).unwrap(), expected);
}

#[test]
fn without_a_runtime_every_change_is_told_at_once() {
    let pubsub = PubSub::local();
    let presence = Presence::new(pubsub.clone());
    let mut room = pubsub.subscribe(TOPIC);
    let mut owner = presence.owner();
    for n in 0..100 {
        owner.track(TOPIC, format!("{n}"), json!({})).unwrap();
    }
    assert_eq!(received(&mut room).len(), 100);
}

#[derive(Debug, Clone)]
enum Step {
    Track(usize, usize),
    Update(usize, usize),
    Untrack(usize, usize),
    Drop(usize),
    /// Somebody joins, and is sent the state, or a list.
    Join(bool),
    Wait(u64),
}

const OWNERS: usize = 4;
const KEYS: [&str; 3] = ["ada", "bob", "eve"];

fn step() -> impl Strategy<Value = Step> {
    let (owner, key) = (0..OWNERS, 0..KEYS.len());
    prop_oneof![
        4 => (owner.clone(), key.clone()).prop_map(|(owner, key)| Step::Track(owner, key)),
        3 => (owner.clone(), key.clone()).prop_map(|(owner, key)| Step::Update(owner, key)),
        3 => (owner.clone(), key).prop_map(|(owner, key)| Step::Untrack(owner, key)),
        1 => owner.prop_map(Step::Drop),
        2 => any::<bool>().prop_map(Step::Join),
        2 => (0_u64..150).prop_map(Step::Wait),
    ]
}

/// Whoever joins at any moment has the list that the server has, when everything is told, and never hears of the leave of
/// something it did not know.
async fn run(steps: &[Step], fetch: Option<u64>) {
    let pubsub = PubSub::local();
    let builder = Presence::builder(pubsub.clone()).diff_window(WINDOW);
    let presence = match fetch {
        None => builder.build(),
        Some(milliseconds) => {
            let delay = Duration::from_millis(milliseconds);
            let fetch = move |_, presences| async move {
                tokio::time::sleep(delay).await;
                presences
            };
            builder.fetch(fetch).build()
        }
    };
    let mut owners: Vec<Owner> = (0..OWNERS).map(|_| presence.owner()).collect();
    // From here on, diffs wait.
    for _ in 0..8 {
        drop(owners[0].track(TOPIC, "burst", json!({})));
        owners[0].untrack(TOPIC, "burst");
    }
    let mut clients = vec![Client::join(&pubsub, &presence, TOPIC).await];
    let mut joining = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        match *step {
            Step::Track(owner, key) => drop(owners[owner].track(TOPIC, KEYS[key], json!({"n": n}))),
            Step::Update(owner, key) => drop(owners[owner].update(TOPIC, KEYS[key], json!({"n": n}))),
            Step::Untrack(owner, key) => owners[owner].untrack(TOPIC, KEYS[key]),
            Step::Drop(owner) => owners[owner] = presence.owner(),
            Step::Join(has_list) => {
                let (pubsub, presence) = (pubsub.clone(), presence.clone());
                joining.push(tokio::spawn(async move {
                    match has_list {
                        true => Client::join_with_list(&pubsub, &presence, TOPIC).await,
                        false => Client::join(&pubsub, &presence, TOPIC).await,
                    }
                }));
                tokio::task::yield_now().await;
            }
            Step::Wait(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
        }
        clients.iter_mut().for_each(Client::catch_up);
    }
    for client in joining {
        clients.push(client.await.expect("joined"));
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let expected = presence.list(TOPIC).await;
    assert_eq!(presence.count(TOPIC), expected.len());
    for mut client in clients {
        client.catch_up();
        assert_eq!(comparable(client.list.presences()), comparable(&expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whoever_joins_at_any_moment_ends_with_the_list(
        steps in prop::collection::vec(step(), 0..60),
        fetch in prop::option::weighted(0.4, 0_u64..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(&steps, fetch));
    }
}
