//! How long to wait between attempts.

use std::borrow::Cow;
use std::time::Duration;

/// Delays between attempts that fail, the first behind the first failure.
///
/// With jitter, a wait is anything from the delay less so many percent up to the delay: clients that lost one server together do
/// not come back together, and none waits longer than the table says.
///
/// ```
/// use std::time::Duration;
///
/// use bennu_protocol::client::Backoff;
///
/// let backoff = Backoff::steps([Duration::from_millis(100), Duration::from_secs(1)], Duration::from_secs(30));
/// assert_eq!(backoff.longest(1), Duration::from_millis(100));
/// assert_eq!(backoff.longest(9), Duration::from_secs(30));
/// ```
#[doc(alias = "reconnectAfterMs")]
#[doc(alias = "rejoinAfterMs")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    steps: Cow<'static, [Duration]>,
    rest: Duration,
    jitter: u8,
}

const RECONNECT: &[Duration] = &[
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(150),
    Duration::from_millis(200),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(2_000),
];

const REJOIN: &[Duration] =
    &[Duration::from_millis(1_000), Duration::from_millis(2_000), Duration::from_millis(5_000)];

/// The shortest wait, so that attempts which fail at once do not spin.
const SHORTEST: Duration = Duration::from_millis(1);

impl Backoff {
    /// What the official client waits before it connects again: 10, 50, 100, 150, 200, 250, 500, 1,000, 2,000 ms, then 5 s. With
    /// a jitter of 50 %.
    #[must_use]
    pub const fn reconnect() -> Self {
        Backoff { steps: Cow::Borrowed(RECONNECT), rest: Duration::from_millis(5_000), jitter: 50 }
    }

    /// What the official client waits before it joins again: 1, 2, 5 s, then 10 s. With a jitter of 50 %.
    #[must_use]
    pub const fn rejoin() -> Self {
        Backoff { steps: Cow::Borrowed(REJOIN), rest: Duration::from_millis(10_000), jitter: 50 }
    }

    /// The same delay each time, without jitter.
    #[must_use]
    pub const fn constant(delay: Duration) -> Self {
        Backoff { steps: Cow::Borrowed(&[]), rest: delay, jitter: 0 }
    }

    /// A delay for each of the first attempts and one for the rest, without jitter. A delay below 1 ms is taken as 1 ms.
    #[must_use]
    pub fn steps(steps: impl Into<Vec<Duration>>, rest: Duration) -> Self {
        Backoff { steps: Cow::Owned(steps.into()), rest, jitter: 0 }
    }

    /// By how many percent a wait may be shorter than its delay; more than 100 is taken as 100.
    #[must_use]
    pub const fn jitter(mut self, percent: u8) -> Self {
        self.jitter = if percent < 100 { percent } else { 100 };
        self
    }

    /// The longest wait before this attempt; the first has the number 1.
    #[must_use]
    pub fn longest(&self, attempt: u32) -> Duration {
        let index = attempt.saturating_sub(1) as usize;
        self.steps.get(index).copied().unwrap_or(self.rest).max(SHORTEST)
    }

    /// The wait before this attempt.
    pub(super) fn delay(&self, attempt: u32, random: &mut Random) -> Duration {
        let longest = self.longest(attempt);
        let shorter = longest.mul_f64(f64::from(self.jitter) / 100.0 * random.fraction());
        longest.saturating_sub(shorter).max(SHORTEST)
    }

    /// What a wait that somebody else asks for is made longer by, so that not all who were asked return at once.
    pub(super) fn spread(&self, wait: Duration, random: &mut Random) -> Duration {
        wait.mul_f64(f64::from(self.jitter) / 100.0 * random.fraction())
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state and three lines, in place of a dependency. It only spreads clients
/// in time; whoever guesses it learns when one reconnects.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0 and below 1.
    fn fraction(&mut self) -> f64 {
        // The upper 32 bits fit a double exactly.
        f64::from((self.next() >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(backoff: &Backoff, count: u32) -> Vec<u128> {
        let mut random = Random::new(7);
        (1..=count).map(|attempt| backoff.delay(attempt, &mut random).as_millis()).collect()
    }

    #[test]
    fn the_tables_are_those_of_the_official_client() {
        let reconnect = [10, 50, 100, 150, 200, 250, 500, 1_000, 2_000, 5_000, 5_000];
        assert_eq!(waits(&Backoff::reconnect().jitter(0), 11), reconnect);
        assert_eq!(waits(&Backoff::rejoin().jitter(0), 5), [1_000, 2_000, 5_000, 10_000, 10_000]);
        assert_eq!(waits(&Backoff::constant(Duration::from_secs(60)), 3), [60_000; 3]);
        assert_eq!(waits(&Backoff::constant(Duration::ZERO), 2), [1; 2]);
    }

    #[test]
    fn jitter_spreads_waits_below_the_delay_and_no_further_than_it_says() {
        let mut random = Random::new(1);
        let backoff = Backoff::constant(Duration::from_secs(10)).jitter(50);
        let waits = Vec::from_iter((0..1_000).map(|_| backoff.delay(1, &mut random).as_millis()));
        assert!(waits.iter().all(|wait| (5_000..=10_000).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 5_500) && waits.iter().any(|wait| *wait > 9_500));
        let other = Backoff::constant(Duration::from_secs(10)).jitter(200);
        assert!((0..1_000).all(|_| other.delay(1, &mut random) >= SHORTEST));
    }

    /// The first outputs of the reference implementation for the seed 1234567.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut random = Random::new(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next(), random.next(), random.next()], expected);
    }
}
