//! The task that has a shard speak with the same shard of other nodes.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bennu_pubsub::{
    Codec, CodecError, CrossingError, Delivery, Gap, Lagged, LinkStatus, NodeName, PubSub, Subscription,
};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::replica::{Machine, Message, ReplicaOptions, ReplicaRef, Target};
use crate::shard::Shard;

/// Messages that are taken in a row before timers are looked at.
const TURN: usize = 64;

/// Messages are not made smaller than this, whatever the engine says.
const LEAST_MESSAGE: usize = 1_024;

/// A message as the PubSub carries it.
#[derive(Debug)]
struct ShardMessage(Message);

/// A machine, and how it speaks with other nodes, if there can be any.
pub(crate) struct Replica {
    pub(crate) machine: Machine,
    pub(crate) replication: Option<Replication>,
}

impl Replica {
    /// What one shard starts with.
    pub(crate) fn of_shard(pubsub: &PubSub, name: &str, shard: usize, options: &ReplicaOptions) -> Self {
        if pubsub.link() == LinkStatus::Local {
            return Replica { machine: Machine::alone(), replication: None };
        }
        pubsub.register_codec(Codec::<ShardMessage> { name: "bennu.presence", encode, decode });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Microseconds fit into 64 bits for half a million years.
        let me = ReplicaRef { name: pubsub.node().as_str().into(), version: now.as_micros() as u64 };
        // Nodes that start together speak one after the other.
        let part = RandomState::new().hash_one(shard) as u32;
        let moment = options.period().mul_f64(f64::from(part) / f64::from(u32::MAX) / 4.0);
        let topic = format!("phx_presence:{name}_shard{shard}").into();
        let replication = Replication { pubsub: pubsub.clone(), topic, started: Instant::now(), moment };
        Replica { machine: Machine::new(me, options.clone(), moment), replication: Some(replication) }
    }
}

/// How a shard speaks with the same shard of other nodes.
#[derive(Clone)]
pub(crate) struct Replication {
    pubsub: PubSub,
    topic: Arc<str>,
    started: Instant,
    /// How long after the others it speaks, when all begin together.
    moment: Duration,
}

/// The same, with its task, which ends when this is dropped.
pub(crate) struct Replicating {
    replication: Replication,
    task: JoinHandle<()>,
}

impl Drop for Replicating {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Replicating {
    /// Says what has to be said before this node stops.
    pub(crate) fn shut_down(&self, shard: &Arc<Shard>) {
        shard.change(Machine::shut_down);
        self.replication.send(shard, None);
    }
}

impl Replication {
    pub(crate) fn start(self, shard: Weak<Shard>) -> Replicating {
        // From now on nothing is missed, although the task may start later.
        let subscription = self.pubsub.subscribe(&self.topic);
        let task = tokio::spawn(self.clone().run(shard, subscription));
        Replicating { replication: self, task }
    }

    /// Runs until the shard is gone or has said farewell.
    async fn run(self, shard: Weak<Shard>, mut subscription: Subscription) {
        let mut link = self.pubsub.link_changes();
        let mut is_unheard = self.pubsub.link().is_up();
        while let Some(due) = shard.upgrade().and_then(|shard| shard.read(Machine::poll_timeout)) {
            // Each of these may be dropped while it waits, and begins again where it was.
            let step = tokio::select! {
                biased;
                delivery = subscription.recv() => Step::Take(delivery),
                is_up = linked(&mut link) => Step::Linked { is_up },
                () = self.pubsub.settle(&self.topic), if is_unheard => Step::Settled,
                () = tokio::time::sleep_until(self.started + due) => Step::Due,
            };
            let Some(shard) = shard.upgrade() else { return };
            match step {
                Step::Take(delivery) => self.take(&shard, delivery, &mut subscription),
                Step::Linked { is_up } => is_unheard = is_up,
                Step::Settled => {
                    is_unheard = false;
                    self.change(&shard, |machine, now| machine.handle_link_up(now + self.moment));
                }
                Step::Due => {}
            }
            self.change(&shard, Machine::handle_timeout);
            self.send(&shard, Some(&subscription));
        }
    }

    /// Takes what came, and what waits behind it.
    fn take(&self, shard: &Arc<Shard>, delivery: Result<Delivery, Lagged>, subscription: &mut Subscription) {
        let (mut next, mut taken) = (Some(delivery), 0);
        while let Some(delivery) = next {
            match delivery {
                Ok(delivery) => self.receive(shard, &delivery),
                Err(Lagged { .. }) => self.change(shard, |machine, now| machine.handle_gap(None, now)),
            }
            taken += 1;
            next = if taken < TURN { subscription.try_recv() } else { None };
        }
    }

    fn receive(&self, shard: &Arc<Shard>, delivery: &Delivery) {
        if let Some(ShardMessage(message)) = delivery.get() {
            shard.receive(message.clone(), self.started.elapsed());
        } else if let Some(gap) = delivery.get::<Gap>() {
            let node = gap.node.as_ref().map(NodeName::as_str);
            self.change(shard, |machine, now| machine.handle_gap(node, now));
        }
    }

    fn change(&self, shard: &Arc<Shard>, change: impl FnOnce(&mut Machine, Duration)) {
        let now = self.started.elapsed();
        shard.change(|machine| change(machine, now));
    }

    fn send(&self, shard: &Arc<Shard>, subscription: Option<&Subscription>) {
        while let Some((target, message)) = shard.poll_message() {
            let message = ShardMessage(message);
            let crossing = match (target, subscription) {
                (Target::Node(node), _) => self.pubsub.direct_broadcast(&*node, &self.topic, message),
                (Target::All, Some(own)) => {
                    self.pubsub.broadcast_from(own.id(), &self.topic, message).crossing()
                }
                (Target::All, None) => self.pubsub.broadcast(&self.topic, message).crossing(),
            };
            match crossing {
                Ok(()) => {}
                Err(CrossingError::TooLarge { size, limit }) => {
                    tracing::warn!(size, limit, "presence: the engine carries smaller messages only");
                    shard.change(|machine| machine.limit_messages((limit / 2).max(LEAST_MESSAGE)));
                }
                Err(error) => tracing::error!(%error, "presence: a message cannot be sent"),
            }
        }
    }
}

/// What made a shard's task go on.
enum Step {
    Take(Result<Delivery, Lagged>),
    Linked {
        is_up: bool,
    },
    /// The engine knows that this node listens.
    Settled,
    Due,
}

/// Waits until the link goes up or down, and says which.
async fn linked(link: &mut Option<watch::Receiver<LinkStatus>>) -> bool {
    if let Some(changes) = link {
        if changes.changed().await.is_ok() {
            return changes.borrow_and_update().is_up();
        }
        *link = None;
    }
    std::future::pending().await
}

fn encode(message: &ShardMessage, out: &mut Vec<u8>) -> Result<(), CodecError> {
    message.0.encode(out);
    Ok(())
}

/// Clients are sent metas as they came, so none is taken that is not what presence writes.
fn decode(bytes: Bytes) -> Result<ShardMessage, CodecError> {
    let message = Message::decode(&bytes)?;
    let mut presences = message.sections().iter().flat_map(|section| &section.presences);
    if presences.any(|presence| !presence.meta.is_written()) {
        return Err("a meta is not what presence writes".into());
    }
    Ok(ShardMessage(message))
}

impl Serialize for ShardMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        self.0.encode(&mut bytes);
        bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ShardMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        Message::decode(&bytes).map(ShardMessage).map_err(serde::de::Error::custom)
    }
}
