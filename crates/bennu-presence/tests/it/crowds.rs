//! Topics whose clients are not told of everyone.

use std::time::Duration;

use bennu_presence::{Crowd, Owner, Presence};
use bennu_pubsub::PubSub;
use proptest::prelude::*;
use serde_json::json;

use crate::clients::{Client, refs};

const TOPIC: &str = "hall:1";

fn presence(pubsub: &PubSub, crowd: Crowd) -> Presence {
    Presence::builder(pubsub.clone())
        .crowd(move |topic| if topic.starts_with("hall:") { crowd } else { Crowd::Full })
        .build()
}

#[tokio::test(start_paused = true)]
async fn a_counted_crowd_is_told_its_number_and_nothing_else() {
    let pubsub = PubSub::local();
    let presence = presence(&pubsub, Crowd::Count);
    let mut first = Client::join(&pubsub, &presence, TOPIC).await;
    let mut owners: Vec<Owner> = (0..500).map(|_| presence.owner()).collect();
    for (n, owner) in owners.iter_mut().enumerate() {
        owner.track(TOPIC, format!("user:{}", n % 250), json!({})).unwrap();
    }
    let mut second = Client::join(&pubsub, &presence, TOPIC).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.catch_up();
    second.catch_up();
    assert_eq!((first.counts.first(), first.counts.last(), first.counts.len()), (Some(&0), Some(&250), 18));
    assert_eq!((second.counts.first(), second.counts.last()), (Some(&250), Some(&250)));
    assert_eq!((first.diffs, second.diffs), (0, 0));
    assert_eq!((presence.list(TOPIC).await.len(), presence.count(TOPIC)), (250, 250));
    drop(owners);
    tokio::time::sleep(Duration::from_secs(1)).await;
    second.catch_up();
    assert_eq!(second.counts.last(), Some(&0));
}

#[tokio::test(start_paused = true)]
async fn a_counted_crowd_hears_nothing_of_updates_and_other_topics_are_told_everything() {
    let pubsub = PubSub::local();
    let presence = presence(&pubsub, Crowd::Count);
    let mut counted = Client::join(&pubsub, &presence, TOPIC).await;
    let mut full = Client::join(&pubsub, &presence, "room:1").await;
    let mut owner = presence.owner();
    for topic in [TOPIC, "room:1"] {
        owner.track(topic, "ada", json!({})).unwrap();
        owner.update(topic, "ada", json!({"away": true})).unwrap();
    }
    counted.catch_up();
    full.catch_up();
    assert_eq!((counted.counts, full.counts, full.diffs), (vec![0, 1], vec![], 2));
}

#[tokio::test(start_paused = true)]
async fn the_first_are_shown_until_they_leave_and_then_the_next_takes_the_place() {
    let pubsub = PubSub::local();
    let presence = presence(&pubsub, Crowd::First(2));
    let mut client = Client::join(&pubsub, &presence, TOPIC).await;
    let mut owners = Vec::new();
    for key in ["ada", "bob", "eve"] {
        owners.push(presence.owner());
        owners.last_mut().unwrap().track(TOPIC, key, json!({})).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    client.catch_up();
    let keys = |client: &Client| refs(client.list.presences()).into_keys().collect::<Vec<_>>();
    assert_eq!(
        (keys(&client), client.counts.clone(), client.diffs),
        (vec!["ada".into(), "bob".into()], vec![0, 1, 2, 3], 2)
    );
    drop(owners.remove(0));
    client.catch_up();
    assert_eq!((keys(&client), client.counts.last()), (vec!["bob".into(), "eve".into()], Some(&2)));
    assert_eq!(presence.list(TOPIC).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_comes_again_under_a_key_whose_leave_is_on_its_way_is_not_shown() {
    let pubsub = PubSub::local();
    let fetch = |_, presences| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        presences
    };
    let presence = Presence::builder(pubsub.clone()).crowd(|_| Crowd::First(1)).fetch(fetch).build();
    let [mut ada, mut bob, mut again] = [presence.owner(), presence.owner(), presence.owner()];
    ada.track(TOPIC, "ada", json!({})).unwrap();
    bob.track(TOPIC, "bob", json!({})).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    ada.untrack(TOPIC, "ada");
    again.track(TOPIC, "ada", json!({})).unwrap();
    let mut client = Client::join(&pubsub, &presence, TOPIC).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.catch_up();
    assert_eq!(refs(client.list.presences()).into_keys().collect::<Vec<_>>(), ["bob"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn clients_of_a_partly_shown_crowd_see_as_many_as_there_are_places_and_all_are_there(
        steps in prop::collection::vec((0_usize..8, 0_u32..10, 0_u64..80), 0..80),
        places in 0_usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let pubsub = PubSub::local();
            let presence = presence(&pubsub, Crowd::First(places));
            let mut owners: Vec<Owner> = (0..8).map(|_| presence.owner()).collect();
            let mut clients = Vec::new();
            for (owner, action, wait) in steps {
                let key = format!("user:{}", owner % 6);
                match action {
                    0..4 => drop(owners[owner].track(TOPIC, key, json!({}))),
                    4 | 5 => drop(owners[owner].update(TOPIC, &key, json!({"n": wait}))),
                    6 | 7 => owners[owner].untrack(TOPIC, &key),
                    8 => clients.push(Client::join(&pubsub, &presence, TOPIC).await),
                    _ => tokio::time::sleep(Duration::from_millis(wait)).await,
                }
                clients.iter_mut().for_each(Client::catch_up);
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            let everyone = refs(&presence.list(TOPIC).await);
            let late = Client::join(&pubsub, &presence, TOPIC).await;
            let shown = refs(late.list.presences());
            assert_eq!(shown.len(), places.min(everyone.len()));
            for mut client in clients {
                client.catch_up();
                assert_eq!(client.counts.last(), Some(&(everyone.len() as u64)));
                assert_eq!(refs(client.list.presences()), shown);
            }
            assert!(shown.iter().all(|(key, refs)| everyone.get(key) == Some(refs)));
        });
    }
}
