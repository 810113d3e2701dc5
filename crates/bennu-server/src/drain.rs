//! Graceful end: who is connected, and how they are asked to come back later.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bennu_protocol::websocket::close;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::mailbox::{Item, Mailbox};

/// Connections that are asked together have at least this between them and the next.
const BATCH_INTERVAL: Duration = Duration::from_millis(50);
/// What each connection adds to a window that nobody set, and how far that goes.
const WINDOW_PER_CONNECTION: Duration = Duration::from_millis(1);
const LONGEST_DEFAULT_WINDOW: Duration = Duration::from_secs(10);
/// This part of the deadline is kept for close frames, once nothing else is waited for.
const CLOSING_PART: u32 = 10;

/// How long what is to be done once everybody has gone may take together, and what was broadcast to leave.
const LAST_ACTS: Duration = Duration::from_secs(5);
const FLUSH: Duration = Duration::from_secs(2);

/// How an endpoint is drained. Each option has a default that suits most servers.
///
/// ```
/// use std::time::Duration;
/// use bennu_server::DrainOptions;
///
/// let options = DrainOptions::default().window(Duration::from_secs(20)).deadline(Duration::from_secs(60));
/// assert_eq!(options.grace, Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "drainer")]
pub struct DrainOptions {
    /// Over how long connections are closed, evenly and in random order, so that their clients do
    /// not reconnect all at once. By default a millisecond for each connection, 10 s at most.
    pub window: Option<Duration>,
    /// How long handlers of a connection that is being closed may go on, so that their replies
    /// reach the client before the close frame; 5 s by default.
    pub grace: Duration,
    /// When draining ends, whoever is left by then; 30 s by default. The window and the grace
    /// are shortened to fit into it.
    pub deadline: Duration,
}

impl Default for DrainOptions {
    fn default() -> Self {
        DrainOptions { window: None, grace: Duration::from_secs(5), deadline: Duration::from_secs(30) }
    }
}

impl DrainOptions {
    /// Sets [`window`](Self::window); zero closes all connections at once.
    #[must_use]
    #[doc(alias = "batch_size")]
    #[doc(alias = "batch_interval")]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = Some(window);
        self
    }

    /// Sets [`grace`](Self::grace).
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets [`deadline`](Self::deadline).
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    fn window_for(&self, connections: usize) -> Duration {
        let connections = u32::try_from(connections).unwrap_or(u32::MAX);
        self.window.unwrap_or_else(|| {
            (WINDOW_PER_CONNECTION.saturating_mul(connections)).min(LONGEST_DEFAULT_WINDOW)
        })
    }
}

/// What came of draining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections that ended, their channels with them.
    pub closed: usize,
    /// Connections that were still there at the deadline.
    pub left: usize,
}

/// Keeps [`Endpoint::is_ready`] false until it is dropped.
#[must_use]
pub struct Unready(Endpoint);

impl Drop for Unready {
    fn drop(&mut self) {
        self.0.connections().unready.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unready")
    }
}

/// Who is connected to an endpoint, and whether anybody else may be.
#[derive(Default)]
pub(crate) struct Connections {
    mailboxes: Mutex<HashMap<u64, Arc<Mailbox>>>,
    /// Changed and, where it matters that nobody slips through, read under the lock of the mailboxes.
    draining: AtomicBool,
    /// How many [`Unready`] there are.
    unready: AtomicUsize,
    /// Told when the last connection has gone.
    all_gone: Notify,
}

impl Connections {
    /// Adds a connection. One whose handshake began before the drain is asked to end at once.
    pub(crate) fn register(&self, mailbox: &Arc<Mailbox>) {
        let mut mailboxes = self.mailboxes.lock();
        mailboxes.insert(mailbox.id.owner(), mailbox.clone());
        if self.is_draining() {
            mailbox.send(Item::Drain);
        }
    }

    pub(crate) fn unregister(&self, mailbox: &Mailbox) {
        let mut mailboxes = self.mailboxes.lock();
        mailboxes.remove(&mailbox.id.owner());
        if mailboxes.is_empty() {
            self.all_gone.notify_waiters();
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.mailboxes.lock().len()
    }

    /// Calls back with the bytes that wait for each connection.
    pub(crate) fn with_backlogs(&self, record: impl FnOnce(&mut dyn Iterator<Item = usize>)) {
        let mailboxes = self.mailboxes.lock();
        record(&mut mailboxes.values().map(|mailbox| mailbox.backlog()));
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Lets nobody in any more; who is connected, in random order.
    fn begin_drain(&self) -> Vec<Arc<Mailbox>> {
        let mailboxes = self.mailboxes.lock();
        self.draining.store(true, Ordering::Relaxed);
        let mut connected: Vec<_> = mailboxes.values().cloned().collect();
        drop(mailboxes);
        let random = RandomState::new();
        connected.sort_by_cached_key(|mailbox| random.hash_one(mailbox.id.owner()));
        connected
    }

    async fn all_gone(&self) {
        loop {
            let notified = self.all_gone.notified();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Endpoint {
    /// Whether a load balancer should send clients here: what a readiness route answers with.
    /// False while the endpoint drains, and while there is an [`Unready`].
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let connections = self.connections();
        !connections.is_draining() && connections.unready.load(Ordering::Relaxed) == 0
    }

    /// Makes [`is_ready`](Self::is_ready) false until the returned value is dropped; whoever
    /// connects nevertheless is served. A server does this while it cannot take connections.
    pub fn unready(&self) -> Unready {
        self.connections().unready.fetch_add(1, Ordering::Relaxed);
        Unready(self.clone())
    }

    /// Ends all connections in good order, and lets nobody in any more: upgrades are refused with 503.
    ///
    /// Connections are asked in random order, spread over [`DrainOptions::window`]. A connection
    /// that is asked reads nothing more. Messages that it has read are still handled, and their
    /// replies sent, for [`DrainOptions::grace`] at most; then it is closed with 1012, upon which
    /// official clients reconnect and rejoin. Channels end with
    /// [`TerminateReason::Draining`](crate::TerminateReason::Draining).
    ///
    /// Returns when everybody has gone, or at the deadline. Then what [`on_shutdown`](crate::EndpointBuilder::on_shutdown) asked for is
    /// done, and in a cluster what was broadcast is handed to the engine; that takes 7 s at most. A second call while the first runs
    /// goes by its own options, so one without a window hurries the first.
    #[doc(alias = "shutdown")]
    #[doc(alias = "drainer")]
    pub async fn drain(&self, options: DrainOptions) -> DrainReport {
        let began = Instant::now();
        let connected = self.connections().begin_drain();
        let total = connected.len();
        let steps = plan(connected, &options);
        tracing::info!(connections = total, window = ?options.window_for(total), "draining");
        let asking = async {
            for step in steps {
                tokio::time::sleep(step.after.saturating_sub(began.elapsed())).await;
                step.take();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = asking => {}
            _ = tokio::time::timeout(options.deadline, self.connections().all_gone()) => {}
        }
        let left = self.connection_count();
        let report = DrainReport { closed: total.saturating_sub(left), left };
        match left {
            0 => tracing::info!(closed = report.closed, "drained"),
            _ => tracing::warn!(closed = report.closed, left, "connections are left at the end of the drain"),
        }
        self.last_acts().run().await;
        if tokio::time::timeout(FLUSH, self.pubsub().flush()).await.is_err() {
            tracing::warn!("the engine did not take all that was broadcast before the end");
        }
        report
    }
}

/// What is done once everybody has gone; each once, whoever drains.
#[derive(Default)]
pub(crate) struct LastActs(tokio::sync::Mutex<Vec<LastAct>>);

/// Begun when its turn comes.
pub(crate) type LastAct = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

impl LastActs {
    pub(crate) fn new(acts: Vec<LastAct>) -> Self {
        LastActs(tokio::sync::Mutex::new(acts))
    }

    /// Who comes second waits until all is done.
    async fn run(&self) {
        let mut acts = self.0.lock().await;
        let all = async {
            for act in acts.drain(..) {
                if AssertUnwindSafe(async { act().await }).catch_unwind().await.is_err() {
                    tracing::error!("something that was to be done at the shutdown panicked");
                }
            }
        };
        if tokio::time::timeout(LAST_ACTS, all).await.is_err() {
            tracing::warn!(timeout = ?LAST_ACTS, "what was to be done at the shutdown was cut off");
        }
    }
}

/// One thing to do in the course of a drain, and with whom.
struct Step<M> {
    /// When, from the beginning.
    after: Duration,
    ask: Ask,
    mailboxes: Vec<M>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// End when what was read has been handled.
    End,
    /// Close now; handlers that still run have had their time.
    Close,
}

impl Step<Arc<Mailbox>> {
    fn take(self) {
        tracing::debug!(connections = self.mailboxes.len(), ask = ?self.ask, "draining");
        for mailbox in self.mailboxes {
            mailbox.send(match self.ask {
                Ask::End => Item::Drain,
                Ask::Close => Item::Close(close::SERVICE_RESTART),
            });
        }
    }
}

/// When who is asked what, in order of time.
fn plan<M: Clone>(connected: Vec<M>, options: &DrainOptions) -> Vec<Step<M>> {
    let window = options.window_for(connected.len());
    let batches = window.as_nanos().div_ceil(BATCH_INTERVAL.as_nanos());
    let batches = usize::try_from(batches).unwrap_or(usize::MAX).clamp(1, connected.len().max(1));
    let last = options.deadline - options.deadline / CLOSING_PART;
    let mut rest = connected.into_iter();
    let mut steps = Vec::with_capacity(2 * batches);
    for batch in 0..batches {
        let size = rest.len().div_ceil(batches - batch);
        let mailboxes: Vec<_> = rest.by_ref().take(size).collect();
        let after = window.mul_f64(batch as f64 / batches as f64).min(last);
        let close = after.saturating_add(options.grace).min(last);
        steps.push(Step { after, ask: Ask::End, mailboxes: mailboxes.clone() });
        steps.push(Step { after: close, ask: Ask::Close, mailboxes });
    }
    steps.sort_by_key(|step| step.after);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(connections: usize, options: &DrainOptions) -> Vec<(u128, Ask, usize)> {
        let steps = plan(vec![(); connections], options);
        steps.iter().map(|step| (step.after.as_millis(), step.ask, step.mailboxes.len())).collect()
    }

    fn asked(connections: usize, options: &DrainOptions) -> Vec<(u128, usize)> {
        let all = steps(connections, options).into_iter();
        all.filter(|(_, ask, _)| *ask == Ask::End).map(|(at, _, count)| (at, count)).collect()
    }

    #[test]
    fn the_window_is_filled_evenly() {
        let window = |ms| DrainOptions::default().window(Duration::from_millis(ms));
        assert_eq!(asked(3, &window(3_000)), [(0, 1), (1_000, 1), (2_000, 1)]);
        assert_eq!(asked(10, &window(100)), [(0, 5), (50, 5)]);
        assert_eq!(asked(7, &window(150)), [(0, 3), (50, 2), (100, 2)]);
        assert_eq!(asked(1_000, &window(0)), [(0, 1_000)]);
        assert_eq!(asked(0, &window(100)), [(0, 0)]);
    }

    #[test]
    fn a_window_that_nobody_set_grows_with_the_connections() {
        let options = DrainOptions::default();
        assert_eq!(asked(1, &options), [(0, 1)]);
        assert_eq!(asked(100, &options), [(0, 50), (50, 50)]);
        let many = asked(40_000, &options);
        assert_eq!((many.len(), many[0].1, many.last().unwrap().0), (200, 200, 9_950));
    }

    #[test]
    fn the_grace_runs_for_each_batch_and_the_deadline_holds_for_all() {
        let options = DrainOptions::default().window(Duration::from_secs(2)).grace(Duration::from_secs(3));
        let expected =
            [(0, Ask::End, 1), (1_000, Ask::End, 1), (3_000, Ask::Close, 1), (4_000, Ask::Close, 1)];
        assert_eq!(steps(2, &options), expected);
        let hurried = options.deadline(Duration::from_millis(500));
        let expected = [(0, Ask::End, 1), (450, Ask::Close, 1), (450, Ask::End, 1), (450, Ask::Close, 1)];
        assert_eq!(steps(2, &hurried), expected);
    }
}
