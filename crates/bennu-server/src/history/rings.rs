//! The rings of all topics.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bennu_protocol::{Broadcast, EncodeError, Topic};
use bennu_pubsub::{Delivery, PubSub};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::History;
use super::ring::Ring;

/// How often what is too old is looked for in topics that nobody uses.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// The rings of an endpoint, within a budget of bytes.
///
/// The table's lock is held to find a ring and to sweep, never while something is broadcast.
pub(crate) struct Rings {
    pubsub: PubSub,
    budget: usize,
    /// Bytes of all rings; each counts its own.
    bytes: Arc<AtomicUsize>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    rings: HashMap<Topic, Slot>,
    /// Counts the uses of all rings, to tell which were quiet longest.
    uses: u64,
    next_sweep: Option<Instant>,
    /// Bytes up to which making room is of no use: what is left after the last time cannot go.
    ceiling: usize,
}

struct Slot {
    ring: Arc<Ring>,
    used: u64,
}

impl Rings {
    pub(crate) fn new(pubsub: PubSub, budget: usize) -> Self {
        Rings { pubsub, budget, bytes: Arc::default(), table: Mutex::default() }
    }

    /// Broadcasts with an offset, and keeps what was sent.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the payload cannot carry an offset; nothing is sent then.
    pub(crate) fn publish(
        &self,
        broadcast: &Broadcast,
        history: &Arc<History>,
        send: impl FnOnce(Broadcast) -> Delivery,
    ) -> Result<Delivery, EncodeError> {
        let ring = self.ring(broadcast.topic(), history);
        let published = ring.publish(broadcast, send);
        let known = ring.is_known();
        drop(ring);
        if !known {
            self.table.lock().forget_unknown(broadcast.topic());
        }
        if self.bytes.load(Ordering::Relaxed) > self.budget {
            self.table.lock().make_room(self.budget, &self.bytes);
        }
        published
    }

    /// Numbers and keeps what another node broadcast, for the subscribers of this one.
    pub(crate) fn publish_remote(&self, delivery: &Delivery, history: &Arc<History>) {
        let Some(broadcast) = delivery.get::<Broadcast>() else { return };
        let send = |numbered| self.pubsub.local_broadcast(delivery.topic(), numbered);
        if let Err(error) = self.publish(broadcast, history, send) {
            let topic = delivery.topic();
            tracing::error!(
                topic,
                %error,
                "a broadcast of another node cannot be kept: who recovers from before it has to start anew"
            );
            self.ring(broadcast.topic(), history).miss();
            self.pubsub.redeliver(delivery);
        }
    }

    /// The ring of a topic, made if there is none.
    pub(crate) fn ring(&self, topic: &Topic, history: &Arc<History>) -> Arc<Ring> {
        let mut table = self.table.lock();
        table.sweep_if_due();
        table.make_room(self.budget, &self.bytes);
        table.uses += 1;
        let used = table.uses;
        if let Some(slot) = table.rings.get_mut(topic) {
            slot.used = used;
            return slot.ring.clone();
        }
        let ring = Arc::new(Ring::new(topic, history.clone(), self.pubsub.clone(), self.bytes.clone()));
        table.rings.insert(topic.clone(), Slot { ring: ring.clone(), used });
        ring
    }
}

impl Table {
    fn sweep_if_due(&mut self) {
        let now = Instant::now();
        if self.next_sweep.is_some_and(|due| now < due) {
            return;
        }
        self.next_sweep = Some(now + SWEEP_EVERY);
        self.rings.retain(|_, slot| {
            slot.ring.sweep();
            slot.is_taken() || !slot.ring.is_abandoned()
        });
    }

    /// Takes from those that were quiet longest until an eighth of the budget is free.
    fn make_room(&mut self, budget: usize, bytes: &AtomicUsize) {
        if bytes.load(Ordering::Relaxed) <= budget.max(self.ceiling) {
            return;
        }
        let mut quiet: Vec<(u64, Topic)> =
            self.rings.iter().map(|(topic, slot)| (slot.used, topic.clone())).collect();
        quiet.sort_unstable();
        for (_, topic) in quiet {
            if bytes.load(Ordering::Relaxed) <= budget - budget / 8 {
                break;
            }
            match self.rings.get(&topic) {
                Some(slot) if slot.is_taken() => slot.ring.clear(),
                Some(_) | None => drop(self.rings.remove(&topic)),
            }
        }
        self.ceiling = bytes.load(Ordering::Relaxed) + budget / 8;
        tracing::warn!(
            budget,
            "the histories of topics took more than their budget: the quietest lost what they kept"
        );
    }

    /// Lets go of a ring that was made for one broadcast to a topic that nobody joined.
    fn forget_unknown(&mut self, topic: &Topic) {
        if self.rings.get(topic).is_some_and(|slot| !slot.is_taken() && !slot.ring.is_known()) {
            self.rings.remove(topic);
        }
    }
}

impl Slot {
    /// Whether anyone holds the ring beside the table: a channel, or who broadcasts or joins just
    /// now. Nobody can begin to while the table is locked, so a ring that is not taken may go.
    fn is_taken(&self) -> bool {
        Arc::strong_count(&self.ring) > 1
    }
}

impl fmt::Debug for Rings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rings({} of {} bytes)", self.bytes.load(Ordering::Relaxed), self.budget)
    }
}

#[cfg(test)]
mod tests {
    use bennu_protocol::Payload;

    use super::super::position::Recover;
    use super::super::ring::Seat;
    use super::*;

    fn history() -> Arc<History> {
        Arc::new(History::last(10).max_age(Duration::from_secs(60)))
    }

    fn publish(rings: &Rings, topic: &str) {
        let pubsub = PubSub::local();
        let broadcast = Broadcast::new(topic, "msg", Payload::empty());
        let send = |numbered| pubsub.broadcast(topic, numbered);
        rings.publish(&broadcast, &history(), send).unwrap();
    }

    fn join(rings: &Rings, topic: &str) -> Seat {
        rings.ring(&topic.into(), &history()).join(&Recover::NotAsked, || {}).0
    }

    fn bytes(rings: &Rings) -> usize {
        rings.bytes.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn topics_that_nobody_ever_joined_keep_nothing() {
        let rings = Rings::new(PubSub::local(), usize::MAX);
        for n in 0..100 {
            publish(&rings, &format!("user:{n}"));
        }
        assert_eq!((rings.table.lock().rings.len(), bytes(&rings)), (0, 0));
        let _seat = join(&rings, "user:1");
        publish(&rings, "user:1");
        assert!(bytes(&rings) > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn topics_that_were_joined_and_left_go_away_and_give_back_their_bytes() {
        let rings = Rings::new(PubSub::local(), usize::MAX);
        for n in 0..100 {
            drop(join(&rings, &format!("room:{n}")));
            publish(&rings, &format!("room:{n}"));
        }
        let before = bytes(&rings);
        drop(join(&rings, &"t".repeat(100_000)));
        assert!(bytes(&rings) - before >= 100_000, "names of topics count");
        let seat = join(&rings, "room:0");
        let all = bytes(&rings);
        tokio::time::advance(Duration::from_secs(59)).await;
        publish(&rings, "room:0");
        assert_eq!(rings.table.lock().rings.len(), 101);
        tokio::time::advance(Duration::from_secs(11)).await;
        publish(&rings, "room:0");
        assert_eq!(rings.table.lock().rings.len(), 1, "only the one with a channel is left");
        assert!(bytes(&rings) < all / 20, "{} of {all} bytes are left", bytes(&rings));
        drop(seat);
        tokio::time::advance(Duration::from_secs(70)).await;
        publish(&rings, "room:other");
        assert_eq!((rings.table.lock().rings.len(), bytes(&rings)), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_topics_are_joined_and_left_the_budget_holds() {
        let rings = Rings::new(PubSub::local(), 50_000);
        let mut seats = Vec::new();
        for n in 0..1_000 {
            let seat = join(&rings, &format!("room:{n}"));
            publish(&rings, &format!("room:{n}"));
            if n % 20 == 0 {
                seats.push(seat);
            }
            assert!(bytes(&rings) <= 52_000, "{} after {n}", bytes(&rings));
        }
        // Positions of those who are there stay what they are.
        let ring = rings.ring(&"room:0".into(), &history());
        assert_eq!(ring.join(&Recover::NotAsked, || {}).1.newest, 1);
    }
}
