//! The durable job queue.
//!
//! A job is a row. Who works on it holds a *lease*: a token written into the row and renewed while
//! the work goes on. Every write of a worker names its token, so a worker whose lease was taken
//! away (it hung, the machine slept, somebody cancelled) changes nothing. A lease that is not
//! renewed runs out and the job is rescued; the try counts, so a job that kills its worker stops
//! at its cap. The end of a job, what it leaves and the job of the next stage are one transaction,
//! and listeners hear of it after the commit.
//!
//! The workers of several nodes may share a queue. Each node has as many as the rules say; what
//! they need to know of each other is in the rows.

mod ends;
mod enqueue;
mod finish;
mod job;
mod lease;
mod notices;
mod outage;
mod progress;
mod query;
mod rules;
mod runner;
mod supervisor;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::clock::{Clock, Moment};
use crate::ids::BootId;
use crate::store::Store;

use outage::Outage;

pub use ends::Ends;
pub use enqueue::{Enqueued, NewJob};
pub use finish::{Failure, Finished, StageResult};
pub use job::{Job, JobInput, JobResult, JobStatus, JobType, Lease};
pub use notices::{
    CreatedTrack, JobCompleted, JobFailed, JobProgress, Notices, TRACKS_TOPIC, TrackCreated, job_topic,
};
pub use progress::{Progress, Stopped};
pub use query::{JobFilter, JobPage};
pub use rules::Rules;
pub use runner::{Runner, Work, WorkError, WorkOutput};

/// The queue of one studio. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    notices: Notices,
    rules: Rules,
    boot: BootId,
    /// Rung when a job may have become due.
    due: Notify,
    outage: Outage,
}

impl Queue {
    /// The queue in a database, run by this boot of the server.
    pub fn new(store: Store, clock: Arc<dyn Clock>, notices: Notices, rules: Rules) -> Self {
        let boot = BootId::random();
        let (due, outage) = (Notify::new(), Outage::default());
        Self { inner: Arc::new(Inner { store, clock, notices, rules, boot, due, outage }) }
    }

    /// The database it lives in.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The present moment, by the queue's clock.
    pub fn now(&self) -> Moment {
        self.inner.clock.now()
    }

    /// What it goes by.
    pub fn rules(&self) -> &Rules {
        &self.inner.rules
    }

    fn notices(&self) -> &Notices {
        &self.inner.notices
    }

    fn boot(&self) -> BootId {
        self.inner.boot
    }

    fn outage(&self) -> &Outage {
        &self.inner.outage
    }

    /// Wakes the workers, here and on other nodes.
    fn ring(&self) {
        self.ring_here();
        self.notices().job_due();
    }

    fn ring_here(&self) {
        self.inner.due.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
