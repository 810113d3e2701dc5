//! How a try tells how far it is, and learns that it shall stop.

use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Lease, Queue};

/// Between two writes of a job's progress. With the start and the end of a try it keeps below four
/// messages a second.
const INTERVAL: Duration = Duration::from_millis(350);

/// Where a try reports to. Cheap to clone; usable from any thread.
#[derive(Debug, Clone)]
pub struct Progress {
    latest: watch::Sender<Step>,
    stop: CancellationToken,
}

/// The work is to stop: the job was cancelled, its lease is lost, or the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the work was stopped")]
pub struct Stopped;

/// How far a try is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Step {
    progress: u8,
    message: String,
}

impl Progress {
    /// Goes nowhere and never stops anything.
    #[cfg(test)]
    pub(crate) fn unwatched() -> Self {
        Self { latest: watch::Sender::default(), stop: CancellationToken::new() }
    }

    /// Reports the done fraction of the work, 0 to 1, and what is being done. It never falls.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when there is no use in going on: clean up and return.
    pub fn report(&self, fraction: f64, message: &str) -> Result<(), Stopped> {
        self.check()?;
        let progress = percent(fraction);
        self.latest.send_if_modified(|step| {
            if progress <= step.progress && step.message == message {
                return false;
            }
            *step = Step { progress: progress.max(step.progress), message: message.to_owned() };
            true
        });
        Ok(())
    }

    /// Asks whether to go on.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when not.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.stop.is_cancelled() { Err(Stopped) } else { Ok(()) }
    }

    /// Waits until the work is to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

/// A whole is reported by the end of the job alone.
fn percent(fraction: f64) -> u8 {
    // A float cast saturates, and takes NaN for 0.
    (fraction * 100.0).clamp(0.0, 99.0) as u8
}

/// Writes what a try reports, until `done`. Returns early when the lease is lost, having set `stop`.
pub(super) struct Reporter {
    queue: Queue,
    lease: Lease,
    latest: watch::Receiver<Step>,
    stop: CancellationToken,
}

impl Reporter {
    /// A reporter and what reports to it.
    pub(super) fn new(queue: Queue, lease: Lease, stop: CancellationToken) -> (Self, Progress) {
        let (sender, latest) = watch::channel(Step::default());
        let progress = Progress { latest: sender, stop: stop.clone() };
        (Self { queue, lease, latest, stop }, progress)
    }

    /// Runs until the try is over. Not to be dropped before: a write may be under way.
    pub(super) async fn run(mut self, done: CancellationToken) {
        let mut next = Instant::now() + INTERVAL;
        loop {
            tokio::select! {
                () = done.cancelled() => return,
                changed = self.changed_after(next) => if !changed { return },
            }
            next = Instant::now() + INTERVAL;
            if !self.write().await {
                self.stop.cancel();
                return;
            }
        }
    }

    /// Waits for a change, and for the moment before which none is written.
    async fn changed_after(&mut self, next: Instant) -> bool {
        tokio::time::sleep_until(next).await;
        self.latest.changed().await.is_ok()
    }

    /// False when the lease is lost.
    async fn write(&mut self) -> bool {
        let step = self.latest.borrow_and_update().clone();
        match self.queue.progress(self.lease, step.progress, &step.message).await {
            Ok(held) => held,
            Err(error) => {
                // The work itself is fine; the next report may find the database well again.
                self.queue.outage().complain(&error, "progress could not be written");
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_become_whole_percents_below_the_end() {
        for (fraction, expected) in
            [(0.0, 0), (0.004, 0), (0.455, 45), (1.0, 99), (7.0, 99), (-1.0, 0), (f64::NAN, 0)]
        {
            assert_eq!(percent(fraction), expected, "{fraction}");
        }
    }

    #[test]
    fn progress_never_falls_and_tells_to_stop() {
        let (latest, receiver) = watch::channel(Step::default());
        let progress = Progress { latest, stop: CancellationToken::new() };
        progress.report(0.5, "a").unwrap();
        progress.report(0.2, "b").unwrap();
        assert_eq!(*receiver.borrow(), Step { progress: 50, message: "b".to_owned() });
        progress.stop.cancel();
        assert_eq!(progress.report(0.6, "c"), Err(Stopped));
    }
}
