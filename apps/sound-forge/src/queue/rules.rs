//! The numbers of the queue.

use std::time::Duration;

use super::job::JobType;

/// How many workers, how many tries, how long a lease.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The wait after the first failed try; it doubles with each further one.
    pub retry_delay: Duration,
    /// The longest wait between two tries.
    pub longest_retry_delay: Duration,
    /// For how long after its creation a job keeps a second one like it from being made.
    pub unique_for: Duration,
    /// For how long a lease holds without being renewed.
    pub lease: Duration,
    /// For how long a finished job is kept.
    pub keep_finished: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            retry_delay: Duration::from_secs(2),
            longest_retry_delay: Duration::from_secs(300),
            unique_for: Duration::from_secs(300),
            lease: Duration::from_secs(10),
            keep_finished: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

impl Rules {
    /// How many jobs of a stage run at once.
    pub fn concurrency(job_type: JobType) -> usize {
        match job_type {
            JobType::Download => 3,
            JobType::Processing | JobType::Analysis => 2,
        }
    }

    /// How many tries a job of a stage has.
    pub fn tries(job_type: JobType) -> u32 {
        match job_type {
            JobType::Download => 3,
            JobType::Processing | JobType::Analysis => 2,
        }
    }

    /// The wait after that many tries, with a jitter from -25 % to +25 % that `random` chooses.
    pub fn backoff(&self, attempts: u32, random: u16) -> Duration {
        let doublings = attempts.saturating_sub(1).min(20);
        let whole = self.retry_delay.saturating_mul(1 << doublings).min(self.longest_retry_delay);
        let jitter = 0.75 + 0.5 * f64::from(random) / f64::from(u16::MAX);
        whole.mul_f64(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_a_bound_and_jitters_by_a_quarter() {
        let rules = Rules::default();
        let middle = u16::MAX / 2;
        for (attempts, random, lowest, highest) in [
            (1, middle, 1.99, 2.01),
            (2, middle, 3.99, 4.01),
            (3, middle, 7.99, 8.01),
            (1, 0, 1.5, 1.5),
            (1, u16::MAX, 2.5, 2.5),
            (60, middle, 299.0, 301.0),
        ] {
            let seconds = rules.backoff(attempts, random).as_secs_f64();
            assert!((lowest..=highest).contains(&seconds), "{attempts} {random}: {seconds}");
        }
    }
}
