//! Clients of an endpoint that join while others come and go, and forgive nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bennu_presence::{Crowd, Diff, Owner, Presence, PresenceBuilder, Presences};
use bennu_protocol::presence::{DIFF, STATE};
use bennu_pubsub::{ClusterOptions, PubSub};
use bennu_server::{
    Channel, ChannelError, Channels, Context, Endpoint, JoinRefusal, JoinRequest, Joined, SocketOptions,
};
use bennu_testkit::{AllowAs, Hub, TestChannel, connect};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clients::refs;

const TOPIC: &str = "room:1";
const COUNT: &str = "presence_count";

/// More than two periods of the replication.
const LONG: Duration = Duration::from_secs(5);

/// How far a channel may go in its `after_join`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gate {
    Shut,
    Reads,
    Pushes,
}

/// One node: what all its channels share.
#[derive(Clone)]
struct Node {
    presence: Presence,
    endpoint: Endpoint,
    gates: Arc<Mutex<HashMap<usize, watch::Receiver<Gate>>>>,
}

/// What connections are given.
#[derive(Clone)]
struct Building {
    presence: Presence,
    gates: Arc<Mutex<HashMap<usize, watch::Receiver<Gate>>>>,
}

/// How a client joins.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Join {
    client: usize,
    /// Whether the channel tracks its client.
    tracks: bool,
    /// Whether it pushes a list, as channels do whose clients are told of everyone.
    lists: bool,
}

/// A channel that stops before it reads who is there, and before it pushes that.
struct Room<const INTERCEPTS: bool> {
    me: Owner,
    join: Join,
    gate: watch::Receiver<Gate>,
}

impl<const INTERCEPTS: bool> Channel for Room<INTERCEPTS> {
    type Assigns = Building;

    const INTERCEPT: &'static [&'static str] = if INTERCEPTS { &[DIFF, COUNT] } else { &[] };

    async fn join(request: JoinRequest<Building>) -> Result<Joined<Self>, JoinRefusal> {
        let join: Join = request.payload().parse()?;
        let Building { presence, gates } = request.assigns();
        let gate = gates.lock().unwrap()[&join.client].clone();
        Ok(Joined::new(Room { me: presence.owner(), join, gate }))
    }

    async fn after_join(&mut self, cx: &mut Context<Building>) -> Result<(), ChannelError> {
        self.opens(Gate::Reads).await?;
        if self.join.tracks {
            self.me.track(cx.topic(), format!("client:{}", self.join.client), json!({}))?;
        }
        if self.join.lists {
            let list = self.me.list(cx.topic()).await;
            self.opens(Gate::Pushes).await?;
            cx.push(STATE, list)?;
            return Ok(());
        }
        let state = self.me.state(cx.topic()).await;
        self.opens(Gate::Pushes).await?;
        for (event, payload) in state {
            cx.push(event, payload)?;
        }
        Ok(())
    }
}

impl<const INTERCEPTS: bool> Room<INTERCEPTS> {
    async fn opens(&mut self, gate: Gate) -> Result<(), ChannelError> {
        let open = self.gate.wait_for(|open| *open >= gate).await;
        open.map(|_| ()).map_err(|_| ChannelError::msg("the client is gone"))
    }
}

impl Node {
    fn new(pubsub: PubSub, build: impl Fn(PresenceBuilder) -> PresenceBuilder) -> Self {
        let presence = build(Presence::builder(pubsub.clone())).build();
        let gates = Arc::default();
        let building = Building { presence: presence.clone(), gates: Arc::clone(&gates) };
        let rooms = Channels::new().channel::<Room<false>>("room:*");
        let intercepting = Channels::new().channel::<Room<true>>("room:*");
        let inside = || {
            AllowAs::new({
                let building = building.clone();
                move || building.clone()
            })
        };
        let endpoint = Endpoint::builder(pubsub)
            .socket("/socket", inside(), rooms, SocketOptions::default())
            .socket("/intercepting", inside(), intercepting, SocketOptions::default())
            .build()
            .unwrap();
        Node { presence, endpoint, gates }
    }

    fn nodes(count: usize, hub: &Hub, build: impl Fn(PresenceBuilder) -> PresenceBuilder) -> Vec<Self> {
        if count == 1 {
            return vec![Node::new(PubSub::local(), build)];
        }
        let cluster = |number| {
            let options = ClusterOptions::new("a secret of the cluster").node(format!("node-{number}"));
            PubSub::cluster(hub.adapter(), options).unwrap()
        };
        (0..count).map(|number| Node::new(cluster(number), &build)).collect()
    }

    /// Joins, and waits until the channel stands at its first gate.
    async fn join(&self, path: &str, join: Join) -> Client {
        let (gate, waits) = watch::channel(Gate::Shut);
        self.gates.lock().unwrap().insert(join.client, waits);
        let socket = connect(&self.endpoint, path, json!({})).await.unwrap();
        let (_, room) = socket.join(TOPIC, &join).await.unwrap();
        let room = room.within(Duration::ZERO);
        Client {
            room,
            gate,
            has_state: false,
            seen: BTreeMap::new(),
            counts: Vec::new(),
            repeats: 0,
            diffs: 0,
        }
    }

    fn owner(&self) -> Owner {
        self.presence.owner()
    }
}

/// A client that believes all it is told, and breaks at what it cannot believe.
struct Client {
    room: TestChannel,
    gate: watch::Sender<Gate>,
    has_state: bool,
    seen: BTreeMap<String, BTreeSet<String>>,
    counts: Vec<u64>,
    diffs: usize,
    /// Joins that it was told of twice.
    repeats: usize,
}

impl Client {
    /// Lets its channel go on, and takes in what comes of that.
    async fn open(&mut self, gate: Gate) {
        self.gate.send_replace(gate);
        self.catch_up().await;
    }

    async fn catch_up(&mut self) {
        // Time goes on when nobody has anything to do.
        sleep(Duration::from_millis(1)).await;
        while let Some((event, payload)) = self.room.next_push().await {
            match &*event {
                STATE => self.state(&payload.parse().unwrap()),
                DIFF => self.diff(&payload.parse().unwrap()),
                COUNT => self.counts.push(payload["count"].as_u64().unwrap()),
                other => panic!("{other} {payload}"),
            }
        }
    }

    fn state(&mut self, state: &Presences) {
        self.has_state = true;
        self.seen = refs(state);
    }

    fn diff(&mut self, diff: &Diff) {
        assert!(self.has_state, "a diff before the state");
        self.diffs += 1;
        for (key, joined) in refs(&diff.joins) {
            let known = self.seen.entry(key).or_default();
            self.repeats += joined.iter().filter(|joined| known.contains(*joined)).count();
            known.extend(joined);
        }
        for (key, left) in refs(&diff.leaves) {
            let known = self.seen.get_mut(&key).unwrap_or_else(|| panic!("{key} leaves unseen"));
            for left in left {
                assert!(known.remove(&left), "{left} of {key} leaves unseen");
            }
            if known.is_empty() {
                self.seen.remove(&key);
            }
        }
    }

    fn keys(&self) -> String {
        self.seen.keys().cloned().collect::<Vec<_>>().join(" ")
    }
}

fn joins(lists: bool) -> Join {
    Join { client: 0, tracks: false, lists }
}

#[tokio::test(start_paused = true)]
async fn who_left_between_the_subscription_and_the_list_is_not_told_to_have_left() {
    for (path, lists) in
        [("/socket", false), ("/socket", true), ("/intercepting", false), ("/intercepting", true)]
    {
        let [node] = &Node::nodes(1, &Hub::new(), |builder| builder)[..] else { unreachable!() };
        let (mut ada, mut bob, mut eve) = (node.owner(), node.owner(), node.owner());
        ada.track(TOPIC, "ada", json!({})).unwrap();
        bob.track(TOPIC, "bob", json!({})).unwrap();
        let mut client = node.join(path, joins(lists)).await;
        ada.untrack(TOPIC, "ada");
        bob.update(TOPIC, "bob", json!({"away": true})).unwrap();
        eve.track(TOPIC, "eve", json!({})).unwrap();
        client.open(Gate::Reads).await;
        eve.untrack(TOPIC, "eve");
        ada.track(TOPIC, "ada", json!({})).unwrap();
        client.open(Gate::Pushes).await;
        bob.untrack(TOPIC, "bob");
        client.catch_up().await;
        // Of what waited, the last alone, in which nobody leaves.
        assert_eq!((client.keys().as_str(), client.diffs, client.repeats), ("ada", 4, 1), "{path} {lists}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_joins_hears_of_itself_behind_its_state() {
    let [node] = &Node::nodes(1, &Hub::new(), |builder| builder)[..] else { unreachable!() };
    let mut first = node.join("/socket", Join { tracks: true, ..joins(false) }).await;
    first.open(Gate::Pushes).await;
    assert_eq!((first.keys().as_str(), first.diffs, first.repeats), ("client:0", 1, 1));
    let mut second = node.join("/socket", Join { client: 1, tracks: true, lists: true }).await;
    second.open(Gate::Pushes).await;
    first.catch_up().await;
    assert_eq!((second.keys().as_str(), second.diffs, second.repeats), ("client:0 client:1", 1, 1));
    assert_eq!((first.keys().as_str(), first.diffs, first.repeats), ("client:0 client:1", 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_number_of_keys_is_not_followed_by_an_older_one() {
    for crowd in [Crowd::Count, Crowd::First(1)] {
        let [node] = &Node::nodes(1, &Hub::new(), |builder| builder.crowd(move |_| crowd))[..] else {
            unreachable!()
        };
        let mut client = node.join("/socket", joins(false)).await;
        let mut owners: Vec<Owner> = (0..3).map(|_| node.owner()).collect();
        for (n, owner) in owners.iter_mut().enumerate() {
            if n == 2 {
                client.open(Gate::Reads).await;
            }
            owner.track(TOPIC, format!("user:{n}"), json!({})).unwrap();
        }
        client.open(Gate::Pushes).await;
        assert_eq!(client.counts, [2, 3], "{crowd:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Track(usize, usize),
    Update(usize, usize),
    Untrack(usize, usize),
    Drop(usize),
    Join { tracks: bool, lists: bool, intercepts: bool },
    Open(prop::sample::Index, Gate),
    Leave(prop::sample::Index),
    Wait(u64),
}

const OWNERS: usize = 6;
const KEYS: [&str; 3] = ["ada", "bob", "eve"];

fn step() -> impl Strategy<Value = Step> {
    let (owner, key, bit) = (0..OWNERS, 0..KEYS.len(), any::<bool>());
    let client = any::<prop::sample::Index>();
    let gate = prop_oneof![Just(Gate::Reads), Just(Gate::Pushes)];
    prop_oneof![
        5 => (owner.clone(), key.clone()).prop_map(|(owner, key)| Step::Track(owner, key)),
        3 => (owner.clone(), key.clone()).prop_map(|(owner, key)| Step::Update(owner, key)),
        4 => (owner.clone(), key).prop_map(|(owner, key)| Step::Untrack(owner, key)),
        1 => owner.prop_map(Step::Drop),
        3 => (bit, bit, bit).prop_map(|(tracks, lists, intercepts)| Step::Join { tracks, lists, intercepts }),
        4 => (client.clone(), gate).prop_map(|(client, gate)| Step::Open(client, gate)),
        1 => client.prop_map(Step::Leave),
        2 => prop_oneof![0_u64..150, 1_000_u64..3_000].prop_map(Step::Wait),
    ]
}

/// How presence is used.
#[derive(Debug, Clone, Copy)]
struct Way {
    crowd: Crowd,
    /// Whether diffs of a busy topic are gathered.
    gathers: bool,
    fetches: bool,
    nodes: usize,
}

fn way() -> impl Strategy<Value = Way> {
    let crowd = prop_oneof![Just(Crowd::Full), Just(Crowd::Count), (0_usize..3).prop_map(Crowd::First)];
    let nodes = prop_oneof![Just(1), Just(3)];
    let way = |(crowd, gathers, fetches, nodes)| Way { crowd, gathers, fetches, nodes };
    (crowd, any::<bool>(), any::<bool>(), nodes).prop_map(way)
}

impl Way {
    fn build(self, builder: PresenceBuilder) -> PresenceBuilder {
        let window = Duration::from_millis(if self.gathers { 100 } else { 0 });
        let builder = builder.crowd(move |_| self.crowd).diff_window(window);
        match self.fetches {
            true => builder.fetch(|_, presences| async {
                sleep(Duration::from_millis(7)).await;
                presences
            }),
            false => builder,
        }
    }
}

/// Does the steps, and compares what clients were told with what is so.
async fn run(way: Way, nodes: &[Node], steps: Vec<Step>) {
    let mut owners: Vec<Owner> = (0..OWNERS).map(|owner| nodes[owner % nodes.len()].owner()).collect();
    let mut clients: Vec<(usize, Client)> = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Track(owner, key) => drop(owners[owner].track(TOPIC, KEYS[key], json!({}))),
            Step::Update(owner, key) => drop(owners[owner].update(TOPIC, KEYS[key], json!({"n": number}))),
            Step::Untrack(owner, key) => owners[owner].untrack(TOPIC, KEYS[key]),
            Step::Drop(owner) => owners[owner] = nodes[owner % nodes.len()].owner(),
            Step::Join { tracks, lists, intercepts } => {
                let at = number % nodes.len();
                let lists = lists && way.crowd == Crowd::Full;
                let path = if intercepts { "/intercepting" } else { "/socket" };
                let join = Join { client: number, tracks, lists };
                clients.push((at, nodes[at].join(path, join).await));
            }
            Step::Open(client, gate) if !clients.is_empty() => {
                let (_, client) = client.get_mut(&mut clients);
                let open = *client.gate.borrow();
                client.open(open.max(gate)).await;
            }
            Step::Leave(client) if !clients.is_empty() => {
                drop(clients.swap_remove(client.index(clients.len())));
            }
            Step::Open(..) | Step::Leave(_) => {}
            Step::Wait(time) => sleep(Duration::from_millis(time)).await,
        }
    }
    for (_, client) in &mut clients {
        client.open(Gate::Pushes).await;
    }
    sleep(LONG).await;
    for (at, client) in &mut clients {
        client.catch_up().await;
        client.check(way, &nodes[*at].presence).await;
    }
    drop(owners);
}

impl Client {
    async fn check(&self, way: Way, presence: &Presence) {
        let (everyone, count) = (refs(&presence.list(TOPIC).await), presence.count(TOPIC) as u64);
        let state = presence.state(TOPIC).await;
        let shown = state.presences().map(|shown| refs(&shown.parse().unwrap())).unwrap_or_default();
        match way.crowd {
            Crowd::Full => assert_eq!(self.seen, everyone),
            _ => assert_eq!((self.counts.last(), &self.seen), (Some(&count), &shown)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_client_is_told_of_the_leave_of_somebody_it_never_saw_however_it_joins(
        way in way(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let hub = Hub::new();
            let nodes = Node::nodes(way.nodes, &hub, |builder| way.build(builder));
            run(way, &nodes, steps).await;
        });
    }
}
