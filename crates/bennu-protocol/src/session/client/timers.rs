//! What is due when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{ChannelId, PushId};

/// What a deadline is for; each has one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The next connect, or the end of the patience with a transport that closes.
    Link,
    /// The next heartbeat, or the end of the wait for its reply.
    Heartbeat,
    /// The end of the wait for a join, or the next attempt.
    Channel(ChannelId),
    /// The end of the wait for a reply.
    Push(PushId),
}

/// All deadlines of a session, found by what they are for and by their time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    times: BTreeMap<Timer, Duration>,
    order: BTreeSet<(Duration, Timer)>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Duration) {
        self.clear(timer);
        self.times.insert(timer, at);
        self.order.insert((at, timer));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.times.remove(&timer) {
            self.order.remove(&(at, timer));
            if self.times.is_empty() {
                // An emptied tree keeps its root.
                *self = Timers::default();
            }
        }
    }

    /// When this one is due, if it is set.
    pub(super) fn at(&self, timer: Timer) -> Option<Duration> {
        self.times.get(&timer).copied()
    }

    /// When the first of all is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the first that is due.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        let (at, timer) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_the_order_of_their_time_and_a_new_one_takes_the_place_of_the_old() {
        let (mut timers, ms) = (Timers::default(), Duration::from_millis);
        let (first, second) = (Timer::Push(PushId(1)), Timer::Push(PushId(2)));
        timers.set(first, ms(10));
        timers.set(second, ms(5));
        timers.set(Timer::Link, ms(7));
        timers.set(second, ms(20));
        timers.clear(Timer::Link);
        assert_eq!(
            (timers.next(), timers.at(second), timers.at(Timer::Link)),
            (Some(ms(10)), Some(ms(20)), None)
        );
        assert_eq!(timers.pop_due(ms(9)), None);
        assert_eq!([timers.pop_due(ms(20)), timers.pop_due(ms(20))], [Some(first), Some(second)]);
        assert_eq!((timers.next(), timers.pop_due(ms(99))), (None, None));
    }
}
