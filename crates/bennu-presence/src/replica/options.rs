//! How often nodes speak, and how long they are waited for.

use std::time::Duration;

use thiserror::Error;

/// How presences are replicated. All nodes should have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaOptions {
    pub(super) broadcast_period: Duration,
    pub(super) max_silent_periods: u32,
    pub(super) down_period: Option<Duration>,
    pub(super) permdown_period: Duration,
    pub(super) clock_sample_periods: u32,
    pub(super) max_delta_sizes: [u64; 3],
    pub(super) permdown_on_shutdown: bool,
    pub(super) max_message_bytes: usize,
}

/// Why options cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplicaOptionsError {
    /// Nodes would have to speak all the time.
    #[error("the broadcast period must be at least a millisecond")]
    NoPeriod,
    /// A count of periods is zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// Every node would be taken for dead between two of its heartbeats.
    #[error("the down period must be at least two broadcast periods ({least:?})")]
    DownTooShort {
        /// Two broadcast periods.
        least: Duration,
    },
    /// A node would be forgotten before it is down.
    #[error("the permdown period must be longer than the down period ({down:?})")]
    PermdownTooShort {
        /// The down period.
        down: Duration,
    },
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        ReplicaOptions {
            broadcast_period: Duration::from_millis(1_500),
            max_silent_periods: 10,
            down_period: None,
            permdown_period: Duration::from_secs(1_200),
            clock_sample_periods: 2,
            max_delta_sizes: [100, 1_000, 10_000],
            permdown_on_shutdown: false,
            max_message_bytes: 256 << 10,
        }
    }
}

impl ReplicaOptions {
    /// How often changes are sent to other nodes; 1.5 seconds by default.
    #[must_use]
    pub fn broadcast_period(self, broadcast_period: Duration) -> Self {
        ReplicaOptions { broadcast_period, ..self }
    }

    /// After how many periods without changes a node says that it is there; 10 by default.
    #[must_use]
    pub fn max_silent_periods(self, max_silent_periods: u32) -> Self {
        ReplicaOptions { max_silent_periods, ..self }
    }

    /// After how long a silence a node counts as dead and its presences leave; 2 × `max_silent_periods` × `broadcast_period` by default, 30 seconds.
    #[must_use]
    pub fn down_period(self, down_period: Duration) -> Self {
        ReplicaOptions { down_period: Some(down_period), ..self }
    }

    /// After how long a silence what is known of a node is forgotten; 20 minutes by default. Within it, a node that comes back needs to send
    /// no more than what is new.
    #[must_use]
    pub fn permdown_period(self, permdown_period: Duration) -> Self {
        ReplicaOptions { permdown_period, ..self }
    }

    /// How many periods the clocks of others are gathered before those that are ahead are asked; 2 by default.
    #[must_use]
    pub fn clock_sample_periods(self, clock_sample_periods: u32) -> Self {
        ReplicaOptions { clock_sample_periods, ..self }
    }

    /// Changes that are kept in mind for nodes that missed them, in three sizes; 100, 1,000 and 10,000 by default. A node that missed more
    /// is told everything. Memory is only needed for the order numbers of those that left.
    #[must_use]
    pub fn max_delta_sizes(self, max_delta_sizes: [u64; 3]) -> Self {
        ReplicaOptions { max_delta_sizes, ..self }
    }

    /// Whether a node that stops says so, and its presences leave everywhere at once; by default they stay for the down period.
    #[must_use]
    pub fn permdown_on_shutdown(self, permdown_on_shutdown: bool) -> Self {
        ReplicaOptions { permdown_on_shutdown, ..self }
    }

    /// About how many bytes of presences one message has; 256 KiB by default, well below what engines take in one packet. It always has at least one
    /// presence.
    #[must_use]
    pub fn max_message_bytes(self, max_message_bytes: usize) -> Self {
        ReplicaOptions { max_message_bytes, ..self }
    }

    /// Whether these options can work.
    ///
    /// # Errors
    ///
    /// [`ReplicaOptionsError`] says which cannot.
    pub fn check(&self) -> Result<(), ReplicaOptionsError> {
        if self.broadcast_period < Duration::from_millis(1) {
            return Err(ReplicaOptionsError::NoPeriod);
        }
        for (count, name) in [
            (self.max_silent_periods, "max_silent_periods"),
            (self.clock_sample_periods, "clock_sample_periods"),
        ] {
            if count == 0 {
                return Err(ReplicaOptionsError::Zero(name));
            }
        }
        let (least, down) = (self.broadcast_period.saturating_mul(2), self.down());
        if down < least {
            return Err(ReplicaOptionsError::DownTooShort { least });
        }
        if self.permdown_period <= down {
            return Err(ReplicaOptionsError::PermdownTooShort { down });
        }
        Ok(())
    }

    /// The broadcast period, by which others arrange theirs.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.broadcast_period
    }

    pub(super) fn down(&self) -> Duration {
        let periods = self.max_silent_periods.saturating_mul(2);
        self.down_period.unwrap_or_else(|| self.broadcast_period.saturating_mul(periods))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_must_leave_room_for_each_other() {
        let options = ReplicaOptions::default;
        let seconds = Duration::from_secs;
        assert_eq!((options().check(), options().down()), (Ok(()), seconds(30)));
        for (options, error) in [
            (options().broadcast_period(Duration::ZERO), ReplicaOptionsError::NoPeriod),
            (options().max_silent_periods(0), ReplicaOptionsError::Zero("max_silent_periods")),
            (options().clock_sample_periods(0), ReplicaOptionsError::Zero("clock_sample_periods")),
            (options().down_period(seconds(2)), ReplicaOptionsError::DownTooShort { least: seconds(3) }),
            (
                options().permdown_period(seconds(30)),
                ReplicaOptionsError::PermdownTooShort { down: seconds(30) },
            ),
        ] {
            assert_eq!(options.check(), Err(error));
        }
        assert_eq!(options().down_period(seconds(3)).permdown_period(seconds(4)).check(), Ok(()));
    }
}
