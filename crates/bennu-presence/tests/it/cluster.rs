//! Nodes that share their presences over an engine, with paused time.

use std::time::Duration;

use bennu_presence::replica::ReplicaOptions;
use bennu_presence::{Diff, Owner, Presence, Presences};
use bennu_protocol::presence::PresenceList;
use bennu_protocol::{Broadcast, Payload};
use bennu_pubsub::{ClusterOptions, PubSub, Subscription};
use bennu_testkit::Hub;
use serde_json::json;
use tokio::time::{Instant, sleep};

const TOPIC: &str = "room:1";

/// The defaults of the replication.
const PERIOD: Duration = Duration::from_millis(1_500);
const DOWN: Duration = Duration::from_secs(30);
const PERMDOWN: Duration = Duration::from_secs(1_200);
/// How often an idle node speaks.
const HEARTBEAT: Duration = Duration::from_secs(15);

struct Node {
    pubsub: PubSub,
    presence: Presence,
    /// What a client on this node is sent.
    diffs: Subscription,
    client: PresenceList,
}

impl Node {
    fn start(hub: &Hub, name: &str) -> Self {
        Node::with(hub, name, ReplicaOptions::default(), 1)
    }

    fn with(hub: &Hub, name: &str, options: ReplicaOptions, pool_size: usize) -> Self {
        let cluster = ClusterOptions::new("a secret of the cluster").node(name);
        let pubsub = PubSub::cluster(hub.adapter(), cluster).unwrap();
        let builder = Presence::builder(pubsub.clone()).pool_size(pool_size);
        let presence = builder.replication(options).unwrap().build();
        let diffs = pubsub.subscribe(TOPIC);
        let mut client = PresenceList::new();
        client.handle_state(&Payload::Json("{}".into())).unwrap();
        Node { pubsub, presence, diffs, client }
    }

    fn track(&self, key: &str) -> Owner {
        let mut owner = self.presence.owner();
        owner.track(TOPIC, key, json!({ "at": self.pubsub.node().as_str() })).unwrap();
        owner
    }

    /// What clients were told since the last call: `+key` and `-key`, joins first. Nobody leaves who was not there, and nobody joins twice.
    fn told(&mut self) -> String {
        let mut all = Vec::new();
        while let Some(Ok(delivery)) = self.diffs.try_recv() {
            let Some(broadcast) = delivery.get::<Broadcast>() else { continue };
            let diff: Diff = broadcast.payload().parse().unwrap();
            for (key, entry) in &diff.joins {
                let known = self.client.presences().get(key).map_or(0, |known| known.metas.len());
                all.push(format!("+{key}"));
                self.check_refs(key, entry.metas.len(), known, &diff.leaves);
            }
            for (key, entry) in &diff.leaves {
                let known = self.client.presences().get(key).or(diff.joins.get(key));
                assert!(
                    known.is_some_and(|known| known.metas.len() >= entry.metas.len()),
                    "{key} leaves unseen"
                );
                all.push(format!("-{key}"));
            }
            self.client.handle_diff(broadcast.payload()).unwrap();
        }
        all.join(" ")
    }

    fn check_refs(&self, key: &str, joined: usize, known: usize, leaves: &Presences) {
        let left = leaves.get(key).map_or(0, |left| left.metas.len());
        assert!(joined + known - left <= 1, "{key} joins twice");
    }

    async fn listed(&self) -> Presences {
        self.presence.list(TOPIC).await
    }

    async fn keys(&self) -> String {
        self.listed().await.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ")
    }

    /// What clients were told leads to the list.
    async fn check(&mut self) {
        self.told();
        assert_eq!(**self.client.presences(), self.listed().await);
    }
}

/// Two nodes that know each other, with ann on the first and bob on the second.
async fn couple() -> (Hub, [Node; 2], [Owner; 2]) {
    let hub = Hub::new();
    let mut nodes = ["a", "b"].map(|name| Node::start(&hub, name));
    sleep(PERIOD * 2).await;
    let owners = [nodes[0].track("ann"), nodes[1].track("bob")];
    sleep(PERIOD * 2).await;
    assert_eq!([nodes[0].told(), nodes[1].told()], ["+ann +bob", "+bob +ann"]);
    (hub, nodes, owners)
}

#[tokio::test(start_paused = true)]
async fn check_137_presences_of_one_node_are_told_on_the_other() {
    let (hub, [mut a, mut b], _owners) = couple().await;
    let before = a.listed().await;
    assert_eq!(before.get("bob"), b.listed().await.get("bob"));

    // Within two broadcast periods.
    let started = Instant::now();
    let cleo = b.track("cleo");
    while a.told() != "+cleo" {
        sleep(Duration::from_millis(10)).await;
        assert!(started.elapsed() <= PERIOD * 2, "too late");
    }
    drop(cleo);
    sleep(PERIOD * 2).await;
    assert_eq!([a.told(), b.told()], ["-cleo", "+cleo -cleo"]);

    // What does not hear and is not heard is as a frozen process is to the others. Before and after it is forgotten:
    for silence in [DOWN + HEARTBEAT, PERMDOWN + HEARTBEAT] {
        hub.partition(&["a"], &["b"]);
        sleep(silence).await;
        assert_eq!([a.told(), b.told()], ["-bob", "-ann"], "after {silence:?}");
        assert_eq!([a.keys().await, b.keys().await], ["ann", "bob"]);
        hub.heal();
        sleep(HEARTBEAT + PERIOD * 3).await;
        assert_eq!([a.told(), b.told()], ["+bob", "+ann"], "after {silence:?}");
        assert_eq!(a.listed().await, before, "the metas have the same refs");
        b.check().await;
    }

    // Killed: it says nothing any more.
    hub.partition(&["a"], &["b"]);
    drop(b);
    sleep(DOWN - HEARTBEAT - PERIOD).await;
    assert_eq!(a.told(), "");
    sleep(HEARTBEAT + PERIOD * 3).await;
    assert_eq!((a.told().as_str(), a.keys().await.as_str()), ("-bob", "ann"));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_takes_nobody_for_dead_who_is_not() {
    let (hub, [mut a, mut b], _owners) = couple().await;
    // Time passes, and no task runs meanwhile.
    tokio::time::advance(DOWN * 2).await;
    sleep(HEARTBEAT * 2).await;
    assert_eq!([a.told(), b.told()], ["", ""]);
    // Those who are not there any more leave soon.
    hub.partition(&["a"], &["b"]);
    tokio::time::advance(DOWN * 2).await;
    sleep(PERIOD * 4).await;
    assert_eq!([a.told(), b.told()], ["-bob", "-ann"]);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_of_the_same_name_replaces_its_old_life_at_once() {
    let (hub, [mut a, b], [_ann, bob]) = couple().await;
    hub.partition(&["a"], &["b"]);
    drop((b, bob));
    sleep(PERIOD).await;
    hub.heal();
    let mut b = Node::start(&hub, "b");
    let _ben = b.track("ben");
    sleep(PERIOD).await;
    assert_eq!(a.told(), "+ben -bob");
    assert_eq!((a.keys().await, b.keys().await), ("ann ben".to_owned(), "ann ben".to_owned()));
    b.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_late_has_everyone_within_two_seconds() {
    let hub = Hub::new();
    let nodes = ["a", "b", "c"].map(|name| Node::start(&hub, name));
    sleep(PERIOD).await;
    let owners: Vec<Owner> =
        (0..3_000).map(|number| nodes[number % 3].track(&format!("user:{number}"))).collect();
    sleep(PERIOD * 3).await;
    let mut late = Node::start(&hub, "d");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(late.presence.count(TOPIC), owners.len());
    late.check().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_engine_is_over_soon_after_it_ends() {
    let (hub, [mut a, mut b], [ann, _bob]) = couple().await;
    hub.stop();
    sleep(Duration::from_secs(5)).await;
    let _amy = a.track("amy");
    drop(ann);
    sleep(DOWN * 2).await;
    assert_eq!([a.told(), b.told()], ["+amy -ann -bob", "-ann"]);
    hub.start();
    sleep(PERIOD * 2).await;
    assert_eq!([a.told(), b.told()], ["+bob", "+amy"]);
    assert_eq!(a.listed().await, b.listed().await);
    a.check().await;
    b.check().await;
}

#[tokio::test(start_paused = true)]
async fn lost_packets_are_made_good_within_seconds() {
    let (hub, [mut a, mut b], _owners) = couple().await;
    for key in ["one", "two", "three"] {
        hub.lose_next(2);
        let owner = b.track(key);
        sleep(PERIOD * 4).await;
        assert_eq!(a.told(), format!("+{key}"));
        hub.lose_next(2);
        drop(owner);
        sleep(PERIOD * 4).await;
        assert_eq!(a.told(), format!("-{key}"));
    }
    b.check().await;
}

#[tokio::test(start_paused = true)]
async fn shards_each_speak_for_their_topics() {
    let hub = Hub::new();
    let [a, b] = ["a", "b"].map(|name| Node::with(&hub, name, ReplicaOptions::default(), 4));
    let mut owner = a.presence.owner();
    for room in 0..50 {
        owner.track(format!("room:{room}"), "ann", json!({})).unwrap();
    }
    sleep(PERIOD * 2).await;
    for room in 0..50 {
        assert_eq!(b.presence.count(format!("room:{room}")), 1, "room {room}");
    }
    drop(owner);
    sleep(PERIOD * 2).await;
    assert!((0..50).all(|room| b.presence.count(format!("room:{room}")) == 0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_in_good_order_takes_its_presences_along() {
    let hub = Hub::new();
    let options = ReplicaOptions::default().permdown_on_shutdown(true);
    let [mut a, b] = ["a", "b"].map(|name| Node::with(&hub, name, options.clone(), 1));
    let _bob = b.track("bob");
    sleep(PERIOD * 2).await;
    assert_eq!(a.told(), "+bob");
    b.presence.shut_down().await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(a.told(), "-bob");
    // It stays so, although the process goes on for a while.
    sleep(DOWN).await;
    assert_eq!((a.told().as_str(), a.keys().await.as_str()), ("", ""));
}

#[tokio::test(start_paused = true)]
async fn what_happened_last_is_told_when_a_node_stops() {
    let (_hub, [mut a, b], [_ann, bob]) = couple().await;
    drop(bob);
    b.presence.shut_down().await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(a.told(), "-bob");
}

#[tokio::test(start_paused = true)]
async fn an_engine_for_small_messages_carries_all_presences() {
    let hub = Hub::new();
    hub.max_packet(16 << 10);
    let a = Node::start(&hub, "a");
    let owners: Vec<Owner> = (0..2_000).map(|number| a.track(&format!("user:{number}"))).collect();
    sleep(PERIOD).await;
    let b = Node::start(&hub, "b");
    sleep(HEARTBEAT).await;
    assert_eq!(b.presence.count(TOPIC), owners.len());
}

#[tokio::test(start_paused = true)]
async fn two_presences_on_one_pubsub_have_names_and_nothing_else_in_common() {
    let hub = Hub::new();
    let [a, b] = ["a", "b"].map(|name| Node::start(&hub, name));
    let agents = [&a, &b].map(|node| Presence::builder(node.pubsub.clone()).name("agents").build());
    let mut owner = agents[0].owner();
    owner.track("agents", "smith", json!({})).unwrap();
    sleep(PERIOD * 2).await;
    assert_eq!((agents[1].count("agents"), b.presence.count("agents")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_presence_leaves_no_task_behind() {
    let hub = Hub::new();
    let node = Node::start(&hub, "a");
    let pubsub = node.pubsub.clone();
    sleep(PERIOD).await;
    assert_eq!(pubsub.subscriber_count("phx_presence:presence_shard0"), 1);
    drop(node);
    tokio::task::yield_now().await;
    assert_eq!(pubsub.subscriber_count("phx_presence:presence_shard0"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_function_that_panics_does_not_end_the_replication() {
    let hub = Hub::new();
    let start = |name: &str, bad: &'static str| {
        let cluster = ClusterOptions::new("a secret of the cluster").node(name);
        let pubsub = PubSub::cluster(hub.adapter(), cluster).unwrap();
        let crowd = move |topic: &str| {
            assert_ne!(topic, bad);
            bennu_presence::Crowd::Full
        };
        Presence::builder(pubsub).crowd(crowd).build()
    };
    let (a, b) = (start("a", "none"), start("b", "bad"));
    sleep(PERIOD * 2).await;
    let mut owner = a.owner();
    owner.track("bad", "x", json!({})).unwrap();
    sleep(PERIOD * 2).await;
    owner.track("good", "x", json!({})).unwrap();
    sleep(PERIOD * 3).await;
    assert_eq!((b.count("good"), b.count("bad")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn leaves_that_do_not_fit_into_one_packet_are_told() {
    let hub = Hub::new();
    hub.max_packet(16 << 10);
    let [a, b] = ["a", "b"].map(|name| Node::start(&hub, name));
    let mut owners: Vec<Option<Owner>> = (0..20_000).map(|n| Some(a.track(&format!("u{n}")))).collect();
    sleep(HEARTBEAT * 2).await;
    assert_eq!(b.presence.count(TOPIC), 20_000);
    owners.iter_mut().step_by(2).for_each(|owner| drop(owner.take()));
    sleep(HEARTBEAT * 2).await;
    assert_eq!(b.presence.count(TOPIC), 10_000);
}

/// Updates all of so many keys at once, and gives the keys that clients of another node saw leave for a while.
async fn away_while_updated(keys: usize, hub: &Hub) -> Vec<String> {
    let [a, b] = ["a", "b"].map(|name| Node::start(hub, name));
    let mut owners: Vec<Owner> = (0..keys).map(|key| a.track(&format!("user:{key}"))).collect();
    sleep(HEARTBEAT).await;
    assert_eq!(b.presence.count(TOPIC), keys);
    let mut client = b.pubsub.subscribe(TOPIC);
    let text = "x".repeat(4_096);
    for (key, owner) in owners.iter_mut().enumerate() {
        owner.update(TOPIC, &format!("user:{key}"), json!({ "text": text })).unwrap();
    }
    sleep(HEARTBEAT).await;
    assert!(b.listed().await.iter().all(|(_, entry)| entry.metas[0]["text"] == text));
    let mut away = Vec::new();
    while let Some(Ok(delivery)) = client.try_recv() {
        let diff: Diff = delivery.get::<Broadcast>().unwrap().payload().parse().unwrap();
        away.extend(
            diff.leaves.iter().filter(|(key, _)| diff.joins.get(key).is_none()).map(|(key, _)| key.clone()),
        );
    }
    away
}

#[tokio::test(start_paused = true)]
async fn nobody_is_away_while_an_update_comes_in_parts() {
    // The parts of 200 are sent one after the other, those of 600 are asked for one by one.
    for (keys, delay) in [(200, 0), (200, 100), (600, 0), (600, 10)] {
        let hub = Hub::new();
        hub.delay(Duration::from_millis(delay));
        assert_eq!(away_while_updated(keys, &hub).await, Vec::<String>::new(), "{keys} keys, {delay} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn parts_that_come_too_slowly_are_not_waited_for() {
    let hub = Hub::new();
    // Each part is asked for after the one before it.
    hub.delay(Duration::from_millis(300));
    assert_ne!(away_while_updated(600, &hub).await, Vec::<String>::new());
}
