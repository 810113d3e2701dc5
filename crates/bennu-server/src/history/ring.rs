//! What one topic keeps.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bennu_protocol::{Broadcast, EncodeError, Topic};
use bennu_pubsub::{Delivery, Gap, LinkStatus, PubSub, Subscriber, SubscriberId};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::time::Instant;

use super::position::Recover;
use super::{History, OFFSET};

/// Bytes that a ring counts for itself and its place in the table of rings; its topic comes on top.
const RING_BYTES: usize = 512;

/// Bytes that a frame has beside topic, event and payload, and the allocation around it.
const FRAME_BYTES: usize = 96;

/// The last broadcasts of one topic, numbered without a gap.
///
/// Its lock is what makes the order: it is held while a broadcast is numbered, delivered and
/// kept, and while a channel subscribes and looks what its client missed. So it comes before
/// the PubSub's locks, and nobody may wait for it who holds one of those.
pub(crate) struct Ring {
    topic: Topic,
    history: Arc<History>,
    pubsub: PubSub,
    /// In a cluster, what other nodes broadcast has to be kept as long as the ring lives, whoever is joined; from
    /// the first join on.
    keeper: OnceLock<Keeper>,
    /// Bytes of all rings.
    total: Arc<AtomicUsize>,
    /// Bytes that it takes with nothing in it.
    own_bytes: usize,
    state: Mutex<State>,
}

struct State {
    /// Random, so that a position in a ring that is gone fits no other; and another one whenever
    /// broadcasts may have been missed.
    epoch: String,
    /// Since when the link to other nodes, if there is one, was up when this epoch began.
    link_since: Option<Instant>,
    /// The newest at the back; their offsets end with `newest`.
    kept: VecDeque<Kept>,
    bytes: usize,
    newest: u64,
    seats: usize,
    /// When the last seat was given up; `None` before that as well.
    left: Option<Instant>,
}

struct Kept {
    delivery: Delivery,
    at: Instant,
    bytes: usize,
}

/// A joined channel's place at a ring; keeps the ring alive.
pub(super) struct Seat(Arc<Ring>);

/// The ring's own subscription to its topic.
struct Keeper {
    id: SubscriberId,
    hole: Arc<Hole>,
}

/// Whether broadcasts of other nodes were missed since the epoch began. Told under the PubSub's locks, so nothing is done there.
#[derive(Default)]
struct Hole(AtomicBool);

impl Subscriber for Hole {
    fn deliver(&self, _: SubscriberId, delivery: &Delivery, _: Option<SubscriberId>) {
        if delivery.get::<Gap>().is_some() {
            self.0.store(true, Ordering::Release);
        }
    }

    /// It is nobody that anything is sent to.
    fn count(&self, _: SubscriberId) -> usize {
        0
    }
}

/// What a channel finds when it joins.
pub(super) struct Found {
    pub(super) epoch: String,
    pub(super) newest: u64,
    /// What the client missed, if it asked.
    pub(super) missed: Option<Result<Vec<Delivery>, Lost>>,
}

/// Why a client cannot get what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Lost {
    #[error("what it sent as `recover` is no position")]
    Malformed,
    #[error("its epoch is another one")]
    OtherEpoch,
    #[error("its offset is higher than any that was given")]
    Future,
    #[error("what it missed is not kept any more")]
    TooOld,
    #[error("what it missed is more than its connection may have waiting")]
    TooMuch,
    #[error("the link to other nodes is down, so what they broadcast is not known")]
    CutOff,
}

impl Ring {
    pub(super) fn new(topic: &Topic, history: Arc<History>, pubsub: PubSub, total: Arc<AtomicUsize>) -> Self {
        let own_bytes = RING_BYTES + topic.len();
        total.fetch_add(own_bytes, Ordering::Relaxed);
        let state = State {
            epoch: new_epoch(),
            link_since: up_since(&pubsub.link()),
            kept: VecDeque::new(),
            bytes: 0,
            newest: 0,
            seats: 0,
            left: None,
        };
        let (topic, keeper) = (topic.clone(), OnceLock::new());
        Ring { topic, history, pubsub, keeper, total, own_bytes, state: Mutex::new(state) }
    }

    /// Numbers a broadcast, has it sent, and keeps it, unless nobody could ever ask for it.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the payload cannot carry its offset; nothing is sent then.
    pub(super) fn publish(
        &self,
        broadcast: &Broadcast,
        send: impl FnOnce(Broadcast) -> Delivery,
    ) -> Result<Delivery, EncodeError> {
        let mut state = self.state.lock();
        let offset = state.newest + 1;
        let payload = broadcast.payload().with_members(&serde_json::json!({ OFFSET: offset }))?;
        state.newest = offset;
        let delivery = send(Broadcast::new(broadcast.topic(), broadcast.event(), payload));
        if state.is_known() {
            let bytes = memory(&delivery);
            state.kept.push_back(Kept { delivery: delivery.clone(), at: Instant::now(), bytes });
            state.bytes += bytes;
            self.total.fetch_add(bytes, Ordering::Relaxed);
        }
        self.expire(&mut state);
        Ok(delivery)
    }

    /// Takes a seat: subscribes, and looks what a client missed, with no broadcast between the two.
    pub(super) fn join(self: Arc<Self>, recover: &Recover, subscribe: impl FnOnce()) -> (Seat, Found) {
        let mut state = self.state.lock();
        self.expire(&mut state);
        let link = self.pubsub.link();
        if link != LinkStatus::Local {
            self.keep_subscribed();
        }
        subscribe();
        // After that: of what is missed from here on the channel hears itself.
        self.look_for_holes(&mut state, &link);
        state.seats += 1;
        let missed = match recover {
            Recover::NotAsked => None,
            Recover::Malformed => Some(Err(Lost::Malformed)),
            Recover::Since(_) if link.is_down() => Some(Err(Lost::CutOff)),
            Recover::Since(position) if position.epoch != state.epoch => Some(Err(Lost::OtherEpoch)),
            Recover::Since(position) => Some(state.since(position.offset)),
        };
        let found = Found { epoch: state.epoch.clone(), newest: state.newest, missed };
        drop(state);
        (Seat(self), found)
    }

    fn keep_subscribed(&self) {
        self.keeper.get_or_init(|| {
            let keeper = Keeper { id: SubscriberId::unique(), hole: Arc::default() };
            self.pubsub.add_subscriber(self.topic.clone(), keeper.id, keeper.hole.clone());
            keeper
        });
    }

    /// Begins a new epoch if something that was broadcast may be missing: no client can recover then that knows the last one.
    fn look_for_holes(&self, state: &mut State, link: &LinkStatus) {
        let has_hole = self.keeper.get().is_some_and(|keeper| keeper.hole.0.swap(false, Ordering::AcqRel));
        let link_since = up_since(link);
        if has_hole || link_since != state.link_since {
            state.link_since = link_since;
            state.epoch = new_epoch();
            let kept = state.kept.len();
            self.drop_oldest(state, kept);
        }
    }

    /// Something was broadcast, or may have been, that has no number here.
    pub(super) fn miss(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.hole.0.store(true, Ordering::Release);
        }
    }

    /// Drops what is too old, unless somebody is at it just now.
    pub(super) fn sweep(&self) {
        if let Some(mut state) = self.state.try_lock() {
            self.expire(&mut state);
        }
    }

    /// Drops all that is kept, unless somebody is at it just now. Positions stay what they
    /// are, but who is behind the newest has lost what it missed.
    pub(super) fn clear(&self) {
        if let Some(mut state) = self.state.try_lock() {
            let kept = state.kept.len();
            self.drop_oldest(&mut state, kept);
        }
    }

    /// Whether a client may have a position in it.
    pub(super) fn is_known(&self) -> bool {
        self.state.lock().is_known()
    }

    /// Whether its last channel went so long ago that nobody will come back to it.
    pub(super) fn is_abandoned(&self) -> bool {
        let state = self.state.lock();
        state.seats == 0 && state.left.is_none_or(|left| left.elapsed() >= self.history.max_age)
    }

    fn expire(&self, state: &mut State) {
        let mut bytes = state.bytes;
        let mut left = state.kept.len();
        let too_old = state.kept.iter().take_while(|kept| {
            let gone = left > self.history.max_messages
                || bytes > self.history.max_bytes
                || kept.at.elapsed() >= self.history.max_age;
            (bytes, left) = (bytes - kept.bytes, left - 1);
            gone
        });
        let count = too_old.count();
        self.drop_oldest(state, count);
    }

    fn drop_oldest(&self, state: &mut State, count: usize) {
        let bytes = state.kept.drain(..count).map(|kept| kept.bytes).sum();
        state.bytes -= bytes;
        self.total.fetch_sub(bytes, Ordering::Relaxed);
        if state.kept.is_empty() {
            state.kept = VecDeque::new();
        }
    }
}

impl State {
    fn is_known(&self) -> bool {
        self.seats > 0 || self.left.is_some()
    }

    /// Everything after `offset`, or why that cannot be had.
    fn since(&self, offset: u64) -> Result<Vec<Delivery>, Lost> {
        let missed = self.newest.checked_sub(offset).ok_or(Lost::Future)?;
        let missed = usize::try_from(missed).map_err(|_| Lost::TooOld)?;
        let first = self.kept.len().checked_sub(missed).ok_or(Lost::TooOld)?;
        Ok(self.kept.range(first..).map(|kept| kept.delivery.clone()).collect())
    }
}

/// Keys that the system seeded, hashed: unlike any other, and no one can guess it.
fn new_epoch() -> String {
    format!("{:016x}", RandomState::new().hash_one(Instant::now()))
}

/// Since when the link has not been down; none while it is, and without a cluster.
fn up_since(link: &LinkStatus) -> Option<Instant> {
    match link {
        LinkStatus::Up { since, .. } => Some(*since),
        _ => None,
    }
}

impl Seat {
    /// What other nodes broadcast may not have arrived when the position was told.
    pub(super) fn miss(&self) {
        self.0.miss();
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            self.pubsub.remove_subscriber(&self.topic, keeper.id);
        }
        self.total.fetch_sub(self.own_bytes + self.state.get_mut().bytes, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.seats -= 1;
        if state.seats == 0 {
            state.left = Some(Instant::now());
        }
    }
}

/// Bytes that a broadcast takes once clients of both versions have asked for its frame.
fn memory(delivery: &Delivery) -> usize {
    let Some(broadcast) = delivery.get::<Broadcast>() else { return delivery.size() };
    let names = broadcast.topic().len() + broadcast.event().len();
    let payload = broadcast.payload().len();
    delivery.size() + payload + 2 * (payload + names + FRAME_BYTES)
}
