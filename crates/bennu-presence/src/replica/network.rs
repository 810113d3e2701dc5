//! What a machine knows of the other nodes, and what it owes them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::clock::ClockSet;
use super::origin::{Generation, Origin};
use super::{Clock, Message, ReplicaOptions, ReplicaRef, Status, Target};

/// Other nodes, and when to speak to them.
pub(super) struct Network {
    pub(super) me: ReplicaRef,
    pub(super) options: ReplicaOptions,
    /// One life of each name.
    pub(super) replicas: BTreeMap<Arc<str>, Replica>,
    pub(super) outgoing: VecDeque<(Target, Message)>,
    /// What this node did since it last said so.
    pub(super) delta: Generation,
    pub(super) next_tick: Duration,
    pub(super) ticks: u32,
    /// Periods since this node last spoke to all.
    pub(super) quiet: u32,
    /// The next heartbeat asks for answers.
    pub(super) wants_answers: bool,
    /// It said farewell.
    pub(super) has_left: bool,
    pub(super) pending: ClockSet,
    /// When to look at the pending clocks although their periods are not over.
    pub(super) early_sample: Option<Duration>,
    /// Nodes that something was missed of, whose clock nobody may tell soon.
    pub(super) missed: BTreeSet<Arc<str>>,
    pub(super) transfers: BTreeMap<Arc<str>, Transfer>,
    pub(super) next_transfer: u64,
    /// Before then nobody is taken for dead: this node was stopped, and what the others sent meanwhile may still wait to be read.
    pub(super) judges_from: Duration,
    /// That was put off once, and nobody was judged since.
    pub(super) has_postponed: bool,
    /// Nodes that said farewell. What they sent before may come after it.
    pub(super) departed: VecDeque<(ReplicaRef, Duration)>,
}

/// Another node.
pub(super) struct Replica {
    pub(super) reference: ReplicaRef,
    pub(super) status: Status,
    pub(super) last_heard: Duration,
    /// Up to where the parts lead of which it sent the last one.
    pub(super) parts_upto: u64,
    pub(super) origin: Origin,
}

/// What another node was asked for and has not told to the end.
pub(super) struct Transfer {
    pub(super) id: u64,
    /// Why it was asked.
    pub(super) clock: Clock,
    /// When.
    pub(super) asked: Duration,
    /// Whether parts of the answer have come.
    pub(super) is_begun: bool,
}

impl Network {
    pub(super) fn new(me: ReplicaRef, options: ReplicaOptions, first_tick: Duration) -> Self {
        Network {
            // So that no earlier life of this node has asked for the same.
            next_transfer: me.version,
            me,
            replicas: BTreeMap::new(),
            outgoing: VecDeque::new(),
            delta: Generation::default(),
            next_tick: first_tick,
            ticks: 0,
            // The first tick speaks.
            quiet: options.max_silent_periods,
            wants_answers: true,
            has_left: false,
            pending: ClockSet::default(),
            early_sample: None,
            missed: BTreeSet::new(),
            transfers: BTreeMap::new(),
            judges_from: Duration::ZERO,
            has_postponed: false,
            departed: VecDeque::new(),
            options,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.early_sample.map_or(self.next_tick, |sample| sample.min(self.next_tick))
    }

    pub(super) fn replicas(&self) -> impl Iterator<Item = (&ReplicaRef, Status)> {
        self.replicas.values().map(|replica| (&replica.reference, replica.status))
    }

    /// One of this node's own has left. If others may have heard of it, they must be told.
    pub(super) fn forget_own(&mut self, clock: u64) {
        if clock <= self.delta.after {
            self.delta.gone.insert(clock, clock);
        }
    }

    /// What is known of one life of a node, unless it is this node's own or unknown.
    pub(super) fn replica(&mut self, reference: &ReplicaRef) -> Option<&mut Replica> {
        self.replicas.get_mut(&reference.name).filter(|replica| replica.reference == *reference)
    }

    pub(super) fn is_up(&self, reference: &ReplicaRef) -> bool {
        let replica = self.replicas.get(&reference.name);
        replica.is_some_and(|replica| replica.reference == *reference && replica.status == Status::Up)
    }

    /// Whether parts of what a node tells have come, and others have not.
    pub(super) fn awaits_parts(&self) -> bool {
        let is_behind =
            |replica: &Replica| replica.status == Status::Up && replica.origin.clock < replica.parts_upto;
        self.replicas.values().any(is_behind) || self.transfers.values().any(|transfer| transfer.is_begun)
    }

    /// How far the own and all that are up are known.
    pub(super) fn clock(&self, own: u64) -> Clock {
        let up = self.replicas.values().filter(|replica| replica.status == Status::Up);
        let up = up.map(|replica| (replica.reference.clone(), replica.origin.clock));
        up.chain([(self.me.clone(), own)]).collect()
    }

    /// Notes how far someone is, of those replicas alone about which it could be asked.
    pub(super) fn heard_clock(&mut self, from: &ReplicaRef, clock: &Clock) {
        let of_use = clock.iter().filter(|(replica, _)| self.is_up(replica) || **replica == self.me);
        let of_use: Clock = of_use.map(|(replica, clock)| (replica.clone(), *clock)).collect();
        self.pending.append(from.clone(), of_use);
    }

    /// Has the pending clocks looked at soon, when those that come together have come.
    pub(super) fn sample_soon(&mut self, now: Duration) {
        let soon = now + self.options.broadcast_period / 4;
        self.early_sample = Some(self.early_sample.map_or(soon, |sample| sample.min(soon)));
    }

    pub(super) fn has_departed(&self, reference: &ReplicaRef) -> bool {
        self.departed.iter().any(|(departed, _)| departed == reference)
    }
}
