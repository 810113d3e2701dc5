//! What one topic keeps.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bennu_protocol::{Broadcast, EncodeError};
use bennu_pubsub::Delivery;
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
    history: Arc<History>,
    /// Random, so that a position in a ring that is gone fits no other.
    epoch: String,
    /// Bytes of all rings.
    total: Arc<AtomicUsize>,
    /// Bytes that it takes with nothing in it.
    own_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
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

/// What a channel finds when it joins.
pub(super) struct Found {
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
}

impl Ring {
    pub(super) fn new(topic: &str, history: Arc<History>, total: Arc<AtomicUsize>) -> Self {
        let own_bytes = RING_BYTES + topic.len();
        total.fetch_add(own_bytes, Ordering::Relaxed);
        // Keys that the system seeded, hashed: unlike any other, and no one can guess it.
        let epoch = format!("{:016x}", RandomState::new().hash_one(Instant::now()));
        Ring { history, epoch, total, own_bytes, state: Mutex::default() }
    }

    pub(super) fn epoch(&self) -> &str {
        &self.epoch
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
        subscribe();
        state.seats += 1;
        let missed = match recover {
            Recover::NotAsked => None,
            Recover::Malformed => Some(Err(Lost::Malformed)),
            Recover::Since(position) if position.epoch != self.epoch => Some(Err(Lost::OtherEpoch)),
            Recover::Since(position) => Some(state.since(position.offset)),
        };
        let found = Found { newest: state.newest, missed };
        drop(state);
        (Seat(self), found)
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

impl Drop for Ring {
    fn drop(&mut self) {
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
