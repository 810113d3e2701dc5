//! Some nodes, a network between them, and someone who knows everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bennu_presence::replica::{
    EncodedMeta, Machine, Message, OwnerId, ReplicaOptions, ReplicaRef, Status, Target, TopicDiff,
};

use super::viewer::{Listing, Viewer, listing};

pub(crate) const TOPICS: [&str; 3] = ["a", "b", "c"];

/// The broadcast period of all worlds.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);

/// All periods in proportion to the default ones, except for silence, which is shorter.
pub(crate) fn options() -> ReplicaOptions {
    ReplicaOptions::default()
        .broadcast_period(PERIOD)
        .max_silent_periods(4)
        .down_period(PERIOD * 10)
        .permdown_period(PERIOD * 60)
}

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

/// How the network is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) max_delay: u64,
    pub(crate) lost_percent: u64,
    pub(crate) twice_percent: u64,
}

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    pub(crate) nodes: Vec<Node>,
    /// Pairs that do not hear each other.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// All messages that were sent, by kind; what they were, without where they went.
    pub(crate) sent: BTreeMap<&'static str, usize>,
    options: ReplicaOptions,
    in_flight: Vec<(Duration, usize, Message)>,
    versions: u64,
    metas: u64,
}

pub(crate) struct Node {
    name: Arc<str>,
    /// `None` while it is dead.
    machine: Option<Machine>,
    is_frozen: bool,
    /// What waits in the socket of a frozen node.
    waiting: VecDeque<Message>,
    viewer: Viewer,
    diffs: Vec<TopicDiff>,
    /// What its owners track: the truth.
    tracked: BTreeMap<(OwnerId, &'static str, String), EncodedMeta>,
}

impl Node {
    pub(crate) fn is_alive(&self) -> bool {
        self.machine.is_some()
    }
}

impl World {
    pub(crate) fn new(nodes: usize, seed: u64, options: ReplicaOptions) -> Self {
        options.check().unwrap();
        let node = |index: usize| Node {
            name: format!("n{index}").into(),
            machine: None,
            is_frozen: false,
            waiting: VecDeque::new(),
            viewer: Viewer::default(),
            diffs: Vec::new(),
            tracked: BTreeMap::new(),
        };
        World {
            now: Duration::from_secs(5),
            dice: Dice::new(seed),
            weather: Weather::default(),
            nodes: (0..nodes).map(node).collect(),
            cut: BTreeSet::new(),
            sent: BTreeMap::new(),
            options,
            in_flight: Vec::new(),
            versions: 0,
            metas: 0,
        }
    }

    /// With all nodes started, and as they are once everyone has heard of everyone.
    pub(crate) fn settled(nodes: usize, options: ReplicaOptions) -> Self {
        let mut world = World::new(nodes, 1, options);
        (0..nodes).for_each(|node| world.start(node));
        world.run(PERIOD * 3);
        world.sent.clear();
        world
    }

    /// A new life of a node.
    pub(crate) fn start(&mut self, node: usize) {
        self.versions += 1;
        let me = ReplicaRef { name: self.nodes[node].name.clone(), version: self.versions };
        let first = self.now + PERIOD * (self.dice.roll(25) as u32) / 100;
        let node = &mut self.nodes[node];
        node.machine = Some(Machine::new(me, self.options.clone(), first));
        node.viewer = Viewer::default();
        node.diffs.clear();
        node.waiting.clear();
        node.is_frozen = false;
    }

    /// As by SIGKILL.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].machine = None;
        self.nodes[node].is_frozen = false;
        self.nodes[node].tracked.clear();
    }

    /// As by SIGTERM.
    pub(crate) fn stop(&mut self, node: usize) {
        if let Some(machine) = &mut self.nodes[node].machine {
            machine.shut_down();
        }
        self.collect(node);
        self.kill(node);
    }

    /// As by SIGSTOP.
    pub(crate) fn freeze(&mut self, node: usize) {
        self.nodes[node].is_frozen = self.nodes[node].is_alive();
    }

    /// As by SIGCONT: what waited is read only after timers have run, which is the harder order.
    pub(crate) fn thaw(&mut self, node: usize) {
        if !std::mem::take(&mut self.nodes[node].is_frozen) {
            return;
        }
        self.time_out(node);
        for message in std::mem::take(&mut self.nodes[node].waiting) {
            self.deliver(node, message);
        }
    }

    /// Cuts two groups from each other.
    pub(crate) fn partition(&mut self, ones: &[usize], others: &[usize]) {
        for one in ones {
            self.cut.extend(others.iter().flat_map(|other| [(*one, *other), (*other, *one)]));
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn is_running(&self, node: usize) -> bool {
        self.nodes[node].machine.is_some() && !self.nodes[node].is_frozen
    }

    pub(crate) fn machine(&mut self, node: usize) -> &mut Machine {
        self.nodes[node].machine.as_mut().unwrap()
    }

    pub(crate) fn join(&mut self, node: usize, owner: u64, topic: &'static str, key: &str) {
        let meta = self.meta();
        let tracked = (OwnerId(owner), topic, key.to_owned());
        let result = self.machine(node).join(OwnerId(owner), topic, key, meta.clone());
        let known = &mut self.nodes[node].tracked;
        assert_eq!(result.is_err(), known.contains_key(&tracked));
        known.entry(tracked).or_insert(meta);
        self.collect(node);
    }

    pub(crate) fn update(&mut self, node: usize, owner: u64, topic: &'static str, key: &str) {
        let meta = self.meta();
        let result = self.machine(node).update(OwnerId(owner), topic, key, meta.clone());
        let known = self.nodes[node].tracked.get_mut(&(OwnerId(owner), topic, key.to_owned()));
        assert_eq!(result.is_ok(), known.is_some());
        if let Some(known) = known {
            *known = meta;
        }
        self.collect(node);
    }

    pub(crate) fn leave(&mut self, node: usize, owner: u64, topic: &'static str, key: &str) {
        let was_there = self.machine(node).leave(OwnerId(owner), topic, key);
        let known = self.nodes[node].tracked.remove(&(OwnerId(owner), topic, key.to_owned()));
        assert_eq!(was_there, known.is_some());
        self.collect(node);
    }

    pub(crate) fn leave_owner(&mut self, node: usize, owner: u64) {
        self.machine(node).leave_owner(OwnerId(owner));
        self.nodes[node].tracked.retain(|(other, _, _), _| *other != OwnerId(owner));
        self.collect(node);
    }

    /// Lets time pass, one millisecond after the other.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(1);
            self.step();
        }
    }

    /// Everything that happens now.
    fn step(&mut self) {
        let now = self.now;
        // A copy of each that is due, in the order of sending, and the rest stays.
        let (due, later) = std::mem::take(&mut self.in_flight).into_iter().partition(|(at, ..)| *at <= now);
        self.in_flight = later;
        let due: Vec<(Duration, usize, Message)> = due;
        for (_, to, message) in due {
            match self.nodes[to].is_frozen {
                true => self.nodes[to].waiting.push_back(message),
                false => self.deliver(to, message),
            }
        }
        for node in 0..self.nodes.len() {
            if self.is_running(node) {
                self.time_out(node);
            }
        }
    }

    fn time_out(&mut self, node: usize) {
        let now = self.now;
        let machine = self.machine(node);
        while machine.poll_timeout().is_some_and(|due| due <= now) {
            machine.handle_timeout(now);
        }
        self.collect(node);
    }

    pub(crate) fn deliver(&mut self, node: usize, message: Message) {
        let now = self.now;
        let Some(machine) = &mut self.nodes[node].machine else { return };
        machine.receive(message, now);
        self.collect(node);
    }

    /// Takes what a machine has to say to viewers and to others.
    fn collect(&mut self, node: usize) {
        let Node { machine: Some(machine), viewer, diffs, .. } = &mut self.nodes[node] else { return };
        let before = diffs.len();
        while let Some(diff) = machine.poll_change() {
            viewer.apply(&diff);
            diffs.push(diff);
        }
        if diffs.len() > before {
            viewer.check(machine, &TOPICS);
        }
        let messages: Vec<(Target, Message)> = std::iter::from_fn(|| machine.poll_message()).collect();
        for (target, message) in messages {
            *self.sent.entry(kind(&message)).or_default() += 1;
            for to in 0..self.nodes.len() {
                let is_meant = match &target {
                    Target::All => to != node,
                    Target::Node(name) => self.nodes[to].name == *name,
                };
                if is_meant {
                    self.send(node, to, &message);
                }
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, message: &Message) {
        let Weather { max_delay, lost_percent, twice_percent } = self.weather;
        if self.cut.contains(&(from, to)) || self.dice.percent(lost_percent) {
            return;
        }
        let copies = if self.dice.percent(twice_percent) { 2 } else { 1 };
        for _ in 0..copies {
            let at = self.now + Duration::from_millis(self.dice.roll(max_delay + 1));
            self.in_flight.push((at, to, message.clone()));
        }
    }

    fn meta(&mut self) -> EncodedMeta {
        self.metas += 1;
        EncodedMeta::new(format!(r#"{{"phx_ref":"{}"}}"#, self.metas))
    }

    /// What all living owners track, with metas in no order.
    pub(crate) fn truth(&self) -> Listing {
        let mut all = Listing::new();
        for node in &self.nodes {
            for ((_, topic, key), meta) in &node.tracked {
                let metas = all.entry((*topic).to_owned()).or_default().entry(key.clone()).or_default();
                metas.push(meta.clone());
                metas.sort();
            }
        }
        all
    }

    /// What a node lists, with metas in no order.
    pub(crate) fn listed(&self, node: usize) -> Listing {
        let mut all = listing(self.nodes[node].machine.as_ref().unwrap(), &TOPICS);
        all.values_mut().flat_map(BTreeMap::values_mut).for_each(|metas| metas.sort());
        all
    }

    /// The keys of topic "a" as a node lists them.
    pub(crate) fn keys(&self, node: usize) -> Vec<String> {
        self.listed(node).remove("a").unwrap_or_default().into_keys().collect()
    }

    /// What changed on topic "a" since the last call: `+key` and `-key`.
    pub(crate) fn changes(&mut self, node: usize) -> Vec<String> {
        let mut all = Vec::new();
        for diff in self.nodes[node].diffs.drain(..) {
            all.extend(diff.joins.iter().map(|(key, _)| format!("+{key}")));
            all.extend(diff.leaves.iter().map(|(key, _)| format!("-{key}")));
        }
        all
    }

    /// Whether a node takes another for up; `None` if it does not know it.
    pub(crate) fn status(&self, node: usize, other: usize) -> Option<Status> {
        let machine = self.nodes[node].machine.as_ref().unwrap();
        let name = &self.nodes[other].name;
        machine.replicas().find(|(replica, _)| replica.name == *name).map(|(_, status)| status)
    }

    pub(crate) fn check_all_equal_the_truth(&self) {
        let truth = self.truth();
        for node in 0..self.nodes.len() {
            if self.is_running(node) {
                assert_eq!(self.listed(node), truth, "node {node}");
            }
        }
    }

    pub(crate) fn sent(&self, kind: &str) -> usize {
        self.sent.get(kind).copied().unwrap_or(0)
    }
}

pub(crate) fn kind(message: &Message) -> &'static str {
    match message {
        Message::Heartbeat(heartbeat) if heartbeat.section.is_some() => "delta",
        Message::Heartbeat(_) => "heartbeat",
        Message::TransferRequest(_) => "request",
        Message::TransferAck(_) => "ack",
        Message::Farewell { .. } => "farewell",
    }
}
