//! What a shard's thread counts and measures once for a turn, and not for each message.
//!
//! A counter is memory that all threads share, behind what an exporter puts in front of it: to raise four of them
//! for each message costs as much as to decode one. On other threads nothing is put off.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use crate::metrics::TransportMetrics;
use crate::mount::Mount;
use crate::socket::TransportKind;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static TALLY: RefCell<Option<Tally>> = const { RefCell::new(None) };
}

/// What one kind of connections has sent and received.
#[derive(Default)]
struct Tally {
    whose: Option<(Arc<Mount>, TransportKind)>,
    counts: Counts,
}

/// Frames and bytes, as the transport carries them.
#[derive(Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) received_frames: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_frames: u64,
    pub(crate) sent_bytes: u64,
}

/// A turn of this thread begins, which will [`settle`] it before it sleeps.
pub(crate) fn begin() {
    BEGAN.set(Some(Instant::now()));
    TALLY.with_borrow_mut(|tally| _ = tally.get_or_insert_default());
}

/// Adds what was counted to the metrics.
pub(crate) fn settle() {
    TALLY.with_borrow_mut(|tally| tally.iter_mut().for_each(Tally::settle));
}

/// When the turn began: what is found now came before, at the latest by as much as a handler blocks the thread.
pub(crate) fn now() -> Instant {
    BEGAN.get().unwrap_or_else(|| tokio::time::Instant::now().into_std())
}

/// Counts what connections of a mount received or sent.
pub(crate) fn count(mount: &Arc<Mount>, transport: TransportKind, counts: Counts) {
    TALLY.with_borrow_mut(|tally| match tally {
        Some(tally) => tally.count(mount, transport, counts),
        None => counts.add_to(mount.metrics.transport(transport)),
    });
}

impl Tally {
    fn count(&mut self, mount: &Arc<Mount>, transport: TransportKind, counts: Counts) {
        let is_same =
            |(own, kind): &(Arc<Mount>, TransportKind)| Arc::ptr_eq(own, mount) && *kind == transport;
        if !self.whose.as_ref().is_some_and(is_same) {
            self.settle();
            self.whose = Some((mount.clone(), transport));
        }
        self.counts.received_frames += counts.received_frames;
        self.counts.received_bytes += counts.received_bytes;
        self.counts.sent_frames += counts.sent_frames;
        self.counts.sent_bytes += counts.sent_bytes;
    }

    fn settle(&mut self) {
        if let Some((mount, transport)) = self.whose.take() {
            std::mem::take(&mut self.counts).add_to(mount.metrics.transport(transport));
        }
    }
}

impl Counts {
    fn add_to(self, metrics: &TransportMetrics) {
        let Counts { received_frames, received_bytes, sent_frames, sent_bytes } = self;
        let counters = [
            (&metrics.received_frames, received_frames),
            (&metrics.received_bytes, received_bytes),
            (&metrics.sent_frames, sent_frames),
            (&metrics.sent_bytes, sent_bytes),
        ];
        for (counter, count) in counters {
            if count > 0 {
                counter.increment(count);
            }
        }
    }
}
