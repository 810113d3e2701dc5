//! The time of day, which credentials are measured by.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Asks for the time of day: the system, or what a test put in its place.
#[derive(Clone)]
pub(crate) struct WallClock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Default for WallClock {
    fn default() -> Self {
        WallClock::new(SystemTime::now)
    }
}

impl WallClock {
    pub(crate) fn new(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        WallClock(Arc::new(clock))
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// One moment on both clocks: the one that timers run by, and the one that can be set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) monotonic: Instant,
    pub(crate) wall: SystemTime,
}
