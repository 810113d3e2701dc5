//! The recorded times, kept as well as the machine lets us.

use std::thread;
use std::time::{Duration, Instant};

/// A replay that is later than this does not catch up, but goes on from where it is: an answer of ours took longer
/// on purpose.
const REBASE: Duration = Duration::from_secs(1);

/// From so much lateness on, a conversation in which time does something may have come out otherwise.
const LATE: Duration = Duration::from_millis(50);

/// When things were done, and how late we are.
#[derive(Debug)]
pub(crate) struct Timetable {
    start: Instant,
    /// The recorded milliseconds at the start.
    first: f64,
    latest: Duration,
}

impl Timetable {
    /// Starts the clock with an event that happened so many milliseconds into the recording.
    pub(crate) fn start(first: f64) -> Timetable {
        Timetable { start: Instant::now(), first, latest: Duration::ZERO }
    }

    /// Waits until it is as late as it was then.
    pub(crate) fn wait(&mut self, at: f64) {
        let due = self.start + Duration::from_secs_f64((at - self.first).max(0.0) / 1000.0);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let late = due.elapsed();
        self.latest = self.latest.max(late);
        if late > REBASE {
            self.start += late;
        }
    }

    /// Whether the machine did not keep the times.
    pub(crate) fn was_late(&self) -> bool {
        self.latest > LATE
    }
}
