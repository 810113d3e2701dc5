//! Ends that nobody told this node of: the node that wrote one died before it could tell, or what it
//! told was lost on the way. The rows have them all.

use std::time::Duration;

use crate::clock::Moment;
use crate::store::StoreError;

use super::job::JobRow;
use super::{Job, Queue};

/// Looks for ends now and then, and tells them to this node's own listeners, who know which are news.
#[derive(Debug)]
pub struct Ends {
    queue: Queue,
    /// Everything that ended before was told.
    seen_until: Moment,
}

/// How often they are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A transaction that began earlier may be seen so much later.
const OVERLAP: Duration = Duration::from_secs(10);

impl Ends {
    /// Those of a queue, from now on.
    pub fn new(queue: Queue) -> Self {
        let seen_until = queue.now();
        Self { queue, seen_until }
    }

    /// Looks for as long as it is polled.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.look().await {
                self.queue.outage().complain(&error, "ends of jobs cannot be looked for");
            }
        }
    }

    /// Tells what ended since the last look that succeeded. Returns how many.
    pub(super) async fn look(&mut self) -> Result<usize, StoreError> {
        let now = self.queue.now();
        let rows: Vec<JobRow> = sqlx::query_as("SELECT * FROM jobs WHERE finished_at >= $1")
            .bind(self.seen_until - OVERLAP)
            .fetch_all(self.queue.store().read())
            .await?;
        let ended: Vec<Job> = rows.into_iter().map(Job::try_from).collect::<Result<_, _>>()?;
        ended.iter().for_each(|job| self.queue.notices().job_ended_here(job));
        self.seen_until = now;
        Ok(ended.len())
    }
}
