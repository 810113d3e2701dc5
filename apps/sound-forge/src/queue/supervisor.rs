//! Keeps leases alive, notices lost ones, rescues the dead and forgets the old.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::ids::LeaseToken;
use crate::store::{StoreError, within};

use super::{Lease, Queue, Work};

/// The tries that run in this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Running {
    tries: Arc<Mutex<HashMap<LeaseToken, (Lease, CancellationToken)>>>,
}

impl Running {
    /// Notes a try; the token tells it to stop.
    pub(super) fn begin(&self, lease: Lease) -> CancellationToken {
        let stop = CancellationToken::new();
        self.tries.lock().insert(lease.token, (lease, stop.clone()));
        stop
    }

    pub(super) fn end(&self, lease: Lease) {
        self.tries.lock().remove(&lease.token);
    }

    pub(super) fn stop_all(&self) {
        for (_, stop) in self.tries.lock().values() {
            stop.cancel();
        }
    }

    pub(super) fn leases(&self) -> Vec<Lease> {
        self.tries.lock().values().map(|(lease, _)| *lease).collect()
    }

    fn stop(&self, lease: Lease) {
        if let Some((_, stop)) = self.tries.lock().get(&lease.token) {
            stop.cancel();
        }
    }
}

/// Looks after the leases.
pub(super) struct Supervisor {
    queue: Queue,
    work: Arc<dyn Work>,
    running: Running,
    renewed: Instant,
    pruned: Instant,
    /// Since when the database has answered every time, and in time.
    pub(super) in_touch_since: Instant,
}

/// How often lost leases are looked for; a cancelled job's work stops within it.
const TICK: Duration = Duration::from_millis(250);
/// How often finished jobs and stray files are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// A lease is renewed this many times before it would run out.
const RENEWALS: u32 = 3;

impl Supervisor {
    pub(super) fn new(queue: Queue, work: Arc<dyn Work>, running: Running) -> Self {
        let now = Instant::now();
        Self { queue, work, running, renewed: now, pruned: now, in_touch_since: now }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.tick().await,
            }
        }
    }

    pub(super) async fn tick(&mut self) {
        // Renewal comes before rescue: a machine that slept keeps what nobody took.
        // An answer that comes later is of no use: what it is about has run out.
        match within(self.queue.rules().lease, self.look_after_leases()).await {
            Ok(()) => self.queue.outage().over(),
            Err(error) => {
                self.in_touch_since = Instant::now();
                self.queue.outage().complain(&error, "the queue cannot be looked after");
            }
        }
        if self.pruned.elapsed() >= PRUNE_EVERY {
            self.pruned = Instant::now();
            self.tidy().await;
        }
    }

    async fn look_after_leases(&mut self) -> Result<(), StoreError> {
        let asked = Instant::now();
        let leases = self.running.leases();
        if !leases.is_empty() && self.renewed.elapsed() >= self.queue.rules().lease / RENEWALS {
            self.queue.renew(&leases).await?;
            self.renewed = Instant::now();
        }
        for lease in &leases {
            if !self.queue.holds(*lease).await? {
                self.running.stop(*lease);
            }
        }
        if leases.is_empty() {
            // Nothing was asked so far, and silence would pass for health.
            self.queue.store().time().await?;
        }
        self.note_silence(asked);
        if self.may_rescue() {
            self.queue.rescue_expired(&leases).await?;
        }
        Ok(())
    }

    /// A database that took so long to answer was away: it stood still, and has let nobody renew.
    fn note_silence(&mut self, asked: Instant) {
        if asked.elapsed() >= self.queue.rules().lease / RENEWALS {
            self.in_touch_since = Instant::now();
        }
    }

    /// While the database was away nobody could renew a lease. Whoever shares it gives the others
    /// the time of one to do so.
    fn may_rescue(&self) -> bool {
        !self.queue.store().engine().is_shared() || self.in_touch_since.elapsed() >= self.queue.rules().lease
    }

    async fn tidy(&self) {
        match self.queue.prune().await {
            Ok(pruned) => tracing::debug!(pruned, "finished jobs forgotten"),
            Err(error) => tracing::error!(%error, "finished jobs could not be forgotten"),
        }
        if let Err(error) = self.work.sweep(&self.queue).await {
            tracing::error!(%error, "stray files could not be removed");
        }
    }
}
