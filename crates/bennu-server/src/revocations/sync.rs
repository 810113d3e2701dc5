//! How nodes tell each other of revocations that one of them did not hear.
//!
//! A revocation is broadcast, which reaches each node at most once. So a node asks every other one that comes into sight, all of them after
//! an outage or a gap, and one from time to time, for what it remembers: one node at a time and in parts, and nothing but a digest crosses when
//! both remember the same.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bennu_pubsub::{Delivery, Gap, LinkStatus, NodeName, PubSub, Subscription};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Revocation, RevocationTable, TOPIC};

/// How often it is looked who has come into sight.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often one of the others is asked in any case: no fault that goes unnoticed lets a credential in for ever.
const ASK_EVERY: Duration = Duration::from_secs(15);
/// How long a node may take for a part of its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a node is asked that does not answer. It may have no endpoint.
const TRIES: u32 = 3;
/// Bytes of one part, about.
const PART: usize = 64 * 1024;
/// Bytes that a revocation takes beside its id, about.
const ENTRY: usize = 96;

/// Asks one node for revocations that it remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ask {
    from: NodeName,
    /// Of what the asking node remembers.
    digest: String,
    /// The last one of the part before; none at first.
    after: Option<Revocation>,
    /// Whether it is asked for having asked.
    is_back: bool,
}

/// What a node remembers, or a part of it, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Part {
    from: NodeName,
    entries: Vec<Revocation>,
    is_last: bool,
}

/// Tells a node's own connections that a revocation was heard late: those with older credentials close.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HeardLate(pub(crate) Revocation);

/// An endpoint's side of it; a task as long as the endpoint lives.
pub(super) struct Sync {
    table: Arc<RevocationTable>,
    pubsub: PubSub,
    subscription: Subscription,
    link: watch::Receiver<LinkStatus>,
    in_sight: BTreeSet<NodeName>,
    /// Whom to ask, and whether that is for having been asked.
    due: VecDeque<(NodeName, bool)>,
    asking: Option<Asking>,
    last_round: Instant,
    rounds: usize,
}

struct Asking {
    ask: Ask,
    node: NodeName,
    until: Instant,
    tries: u32,
}

impl Sync {
    /// Begins, within a tokio runtime. `None` without a cluster.
    pub(super) fn start(pubsub: &PubSub, table: &Arc<RevocationTable>) -> Option<AbortHandle> {
        let link = pubsub.link_changes()?;
        let sync = Sync {
            table: table.clone(),
            pubsub: pubsub.clone(),
            subscription: pubsub.subscribe(TOPIC),
            link,
            in_sight: BTreeSet::new(),
            due: VecDeque::new(),
            asking: None,
            last_round: Instant::now(),
            rounds: 0,
        };
        Some(tokio::spawn(sync.run()).abort_handle())
    }

    async fn run(mut self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                delivery = self.subscription.recv() => match delivery {
                    Ok(delivery) => self.take(&delivery),
                    Err(_) => {
                        self.ask_everyone();
                        self.table.entries().into_iter().for_each(|revocation| self.apply(revocation));
                    }
                },
                Ok(()) = self.link.changed() => {
                    if self.link.borrow_and_update().is_up() {
                        self.ask_everyone();
                    }
                }
                _ = ticks.tick() => self.look_around(),
            }
            self.ask_next();
        }
    }

    fn take(&mut self, delivery: &Delivery) {
        if let Some(revocation) = delivery.get::<Revocation>() {
            // The table has it already. The disconnect that was sent with it may have come first, or not at all.
            if delivery.is_remote() {
                self.apply(revocation.clone());
            }
        } else if let Some(ask) = delivery.get::<Ask>() {
            self.answer(ask);
        } else if let Some(part) = delivery.get::<Part>() {
            self.learn(part);
        } else if delivery.get::<Gap>().is_some() {
            self.ask_everyone();
        }
    }

    fn look_around(&mut self) {
        let nodes: BTreeSet<NodeName> = self.pubsub.nodes().into_iter().map(|node| node.name).collect();
        for node in nodes.difference(&self.in_sight) {
            self.due.push_back((node.clone(), false));
        }
        self.in_sight = nodes;
        if self.last_round.elapsed() >= ASK_EVERY && !self.in_sight.is_empty() {
            self.last_round = Instant::now();
            self.rounds += 1;
            let node = self.in_sight.iter().nth(self.rounds % self.in_sight.len());
            self.due.extend(node.map(|node| (node.clone(), false)));
        }
    }

    fn ask_everyone(&mut self) {
        self.due.retain(|(_, is_back)| *is_back);
        self.due.extend(self.in_sight.iter().map(|node| (node.clone(), false)));
    }

    /// Asks one node at a time: what the first one told, the next one need not.
    fn ask_next(&mut self) {
        let now = Instant::now();
        if let Some(asking) = &mut self.asking {
            if now < asking.until {
                return;
            }
            asking.tries += 1;
            if asking.tries < TRIES {
                asking.until = now + PATIENCE;
                return send(&self.pubsub, &asking.node, asking.ask.clone());
            }
            tracing::debug!(node = %asking.node, "a node does not tell which revocations it remembers");
            self.asking = None;
        }
        // What is revoked between the answer and the subscription would be missed.
        if !self.link.borrow().is_up() || !self.pubsub.is_settled(TOPIC) {
            return;
        }
        let Some((node, is_back)) = self.due.pop_front() else { return };
        let (from, digest) = (self.pubsub.node().clone(), self.table.digest());
        let ask = Ask { from, digest, after: None, is_back };
        send(&self.pubsub, &node, ask.clone());
        self.asking = Some(Asking { ask, node, until: now + PATIENCE, tries: 0 });
    }

    fn answer(&mut self, ask: &Ask) {
        let is_same = ask.after.is_none() && ask.digest == self.table.digest();
        let (entries, is_last) = match is_same {
            true => (Vec::new(), true),
            false => self.table.part(ask.after.as_ref(), PART, |revocation| revocation.id.len() + ENTRY),
        };
        let is_due = self.due.iter().any(|(node, _)| *node == ask.from);
        if !is_same && ask.after.is_none() && !ask.is_back && !is_due {
            // It may know some that are not known here.
            self.due.push_back((ask.from.clone(), true));
        }
        send(&self.pubsub, &ask.from, Part { from: self.pubsub.node().clone(), entries, is_last });
    }

    fn learn(&mut self, part: &Part) {
        for revocation in &part.entries {
            if self.table.remember(revocation) {
                self.apply(revocation.clone());
            }
        }
        let Some(asking) = self.asking.as_mut().filter(|asking| asking.node == part.from) else { return };
        match part.entries.last().filter(|_| !part.is_last) {
            Some(last) => {
                asking.ask.after = Some(last.clone());
                (asking.until, asking.tries) = (Instant::now() + PATIENCE, 0);
                send(&self.pubsub, &asking.node, asking.ask.clone());
            }
            None => self.asking = None,
        }
    }

    /// Closes the connections whose credentials were revoked.
    fn apply(&self, revocation: Revocation) {
        self.pubsub.local_broadcast(revocation.id.clone(), HeardLate(revocation));
    }
}

fn send<M: bennu_pubsub::PubSubMessage>(pubsub: &PubSub, node: &NodeName, message: M) {
    if let Err(error) = pubsub.direct_broadcast(node, TOPIC, message) {
        tracing::error!(%node, %error, "a revocation cannot be told to another node");
    }
}
