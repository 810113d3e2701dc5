//! Who is let in: nobody while the endpoint drains, and no more at once than the server can take.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::transport::connect::NotConnected;

/// When a client that came to a draining server should try again: by then it reaches another one.
const AFTER_DRAIN: Duration = Duration::from_secs(1);

impl Endpoint {
    /// Lets a new client in, or not. Asked when nothing but `connect` is left to refuse it, so that
    /// who is refused for another reason does not use up what others need.
    pub(crate) fn admit(&self) -> Result<(), NotConnected> {
        if self.connections().is_draining() {
            return Err(NotConnected::Unavailable { retry_after: AFTER_DRAIN });
        }
        let Some(bucket) = self.connect_rate() else { return Ok(()) };
        bucket.take(Instant::now()).map_err(|retry_after| NotConnected::Unavailable { retry_after })
    }
}

/// A token bucket: so many at once, and so many more each second.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    per_second: f64,
    burst: f64,
    state: Mutex<Option<Level>>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// A full bucket; both numbers count as 1 at least.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let (per_second, burst) = (f64::from(per_second.max(1)), f64::from(burst.max(1)));
        TokenBucket { per_second, burst, state: Mutex::new(None) }
    }

    /// Takes a token, or tells when there will be one.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let mut level = state.unwrap_or(Level { tokens: self.burst, at: now });
        let passed = now.saturating_duration_since(level.at).as_secs_f64();
        level.tokens = (level.tokens + passed * self.per_second).min(self.burst);
        level.at = now;
        let missing = 1.0 - level.tokens;
        if missing <= 0.0 {
            level.tokens -= 1.0;
        }
        *state = Some(level);
        match missing <= 0.0 {
            true => Ok(()),
            false => Err(Duration::from_secs_f64(missing / self.per_second)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_for_each_interval() {
        let bucket = TokenBucket::new(10, 3);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for (ms, expected) in [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (99, false),
            (100, true),
            (150, false),
            (200, true),
            (60_000, true),
            (60_000, true),
            (60_000, true),
            (60_000, false),
        ] {
            assert_eq!(bucket.take(at(ms)).is_ok(), expected, "at {ms} ms");
        }
    }

    #[test]
    fn the_wait_is_what_is_missing() {
        let bucket = TokenBucket::new(1, 1);
        let start = Instant::now();
        assert_eq!(bucket.take(start), Ok(()));
        assert_eq!(bucket.take(start), Err(Duration::from_secs(1)));
    }
}
