//! The time of day, behind a seam that tests turn by hand.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::store::{Store, StoreError};

/// A moment in milliseconds since 1970 in UTC; as JSON, RFC 3339 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct Moment(i64);

/// Tells what time it is.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present moment.
    fn now(&self) -> Moment;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        // A clock before 1970 is taken for 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(millis(since))
    }
}

/// The clock of a database, which is the same for all of its nodes: it is asked now and then, and
/// in between the machine's monotonic clock counts on, which nobody can set. A node whose own time
/// of day jumps therefore neither takes a job that is held nor loses one of its own.
#[derive(Debug)]
pub struct DatabaseClock {
    started: Instant,
    /// What the database's clock told when `started` was now, in milliseconds since 1970.
    origin: AtomicI64,
}

/// How often the database is asked: two monotonic clocks drift apart by less than a millisecond meanwhile.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// An answer that took longer tells too little: the clock goes on as it was.
const PROMPT: Duration = Duration::from_millis(500);
/// How often a slow answer is asked for again before a node starts.
const FIRST_TRIES: u32 = 5;

impl DatabaseClock {
    /// The clock of this database.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn of(store: &Store) -> Result<Self, StoreError> {
        let clock = Self { started: Instant::now(), origin: AtomicI64::new(0) };
        for last in (0..FIRST_TRIES).rev() {
            if clock.ask(store, last == 0).await? {
                break;
            }
        }
        Ok(clock)
    }

    /// Keeps it right for as long as it is polled.
    pub async fn keep(&self, store: &Store) {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            // Whatever is wrong with the database, its other users tell.
            let _ = self.ask(store, false).await;
        }
    }

    async fn ask(&self, store: &Store, even_if_slow: bool) -> Result<bool, StoreError> {
        let before = self.started.elapsed();
        let told = store.time().await?;
        let after = self.started.elapsed();
        let is_right = even_if_slow || after - before <= PROMPT;
        if is_right {
            // It was read at some moment between the two.
            self.origin.store(told.as_millis() - millis((before + after) / 2), Ordering::Relaxed);
        }
        Ok(is_right)
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Moment {
        Moment(self.origin.load(Ordering::Relaxed).saturating_add(millis(self.started.elapsed())))
    }
}

impl Moment {
    /// Later than every other one.
    pub const END: Self = Self(i64::MAX);

    /// The moment so many milliseconds after 1970 began.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 began.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// How long it is from now until this moment; nothing when it has passed.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let timestamp = jiff::Timestamp::from_millisecond(self.0).map_err(serde::ser::Error::custom)?;
        serializer.collect_str(&timestamp)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod manual {
    use std::sync::Arc;

    use super::*;

    /// A clock that stands still until a test turns it.
    #[derive(Debug, Clone)]
    pub(crate) struct ManualClock(Arc<AtomicI64>);

    impl ManualClock {
        pub(crate) fn new() -> Self {
            Self(Arc::new(AtomicI64::new(1_800_000_000_000)))
        }

        pub(crate) fn advance(&self, by: Duration) {
            self.0.fetch_add(millis(by), Ordering::SeqCst);
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Moment {
            Moment(self.0.load(Ordering::SeqCst))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Engine;
    use crate::store::scratch::Scratch;

    #[tokio::test]
    async fn a_node_reckons_the_databases_time_and_corrects_itself() {
        for engine in [Engine::Sqlite, Engine::Postgres] {
            let store = Scratch::new(engine).await;
            let store = store.open().await;
            let clock = DatabaseClock::of(&store).await.unwrap();
            let apart = || async { store.time().await.unwrap().as_millis() - clock.now().as_millis() };
            assert!(apart().await.abs() < 500, "{engine:?}: {}", apart().await);
            // An hour wrong, as after a long sleep of the machine.
            clock.origin.fetch_sub(3_600_000, Ordering::Relaxed);
            assert!(apart().await > 3_000_000);
            assert!(clock.ask(&store, true).await.unwrap());
            assert!(apart().await.abs() < 500, "{engine:?}: {}", apart().await);
        }
    }
}
