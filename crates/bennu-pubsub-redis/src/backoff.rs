//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses between attempts: twice as long each time, with jitter, so that many nodes that lost one server do not come back at
/// the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The pause before the next attempt, between half and all of what it grew to. `random` is any number.
    pub(crate) fn pause(&mut self, random: u32) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// A connection ended that had been up for so long, which takes back four times that of the pause. A server that takes
    /// connections and cuts them at once is asked less and less often; a link that only flaps is used while it is there.
    pub(crate) fn ended(&mut self, up: Duration) {
        self.next = self.next.saturating_sub(up.saturating_mul(4)).max(FIRST);
    }
}

/// A number for the jitter. Without randomness there is no jitter, and nothing else is lost.
pub(crate) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let mut backoff = Backoff::new();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.pause(u32::MAX).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn jitter_is_up_to_half_of_the_pause() {
        assert_eq!(Backoff::new().pause(0), FIRST / 2);
        let middle = Backoff::new().pause(u32::MAX / 2);
        assert!(middle > FIRST / 2 && middle < FIRST);
    }

    #[test]
    fn the_longer_a_connection_held_the_sooner_the_next() {
        let mut backoff = Backoff::new();
        (0..10).for_each(|_| {
            backoff.pause(0);
        });
        backoff.ended(Duration::from_millis(1));
        assert_eq!(backoff.pause(u32::MAX), LONGEST - Duration::from_millis(4), "a server that cuts at once");
        backoff.ended(Duration::from_secs(1));
        assert_eq!(backoff.pause(u32::MAX), Duration::from_secs(1), "a link that flaps");
        backoff.ended(LONGEST);
        assert_eq!(backoff.pause(u32::MAX), FIRST);
    }
}
