//! The workers: as many for each stage as the rules say.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::data_dir::TempFolder;
use crate::ids::LeaseToken;
use crate::store::{OutputKind, StoreError, within};

use super::finish::Retry;
use super::progress::Reporter;
use super::supervisor::{Running, Supervisor};
use super::{Failure, Finished, Job, JobType, Lease, Progress, Queue, Rules, Stopped};

/// What the stages do. The queue knows when, this knows how.
pub trait Work: Send + Sync + 'static {
    /// Works on a job until it is done, failed or told to stop.
    fn perform(&self, job: Job, progress: Progress) -> BoxFuture<'static, Result<WorkOutput, WorkError>>;

    /// Moves a finished folder to where it is served from. Called just before the commit.
    fn publish(&self, output: &WorkOutput, kind: OutputKind, token: LeaseToken) -> std::io::Result<()>;

    /// Removes an output nobody refers to any more.
    fn remove(&self, kind: OutputKind, token: LeaseToken);

    /// Removes what a job left lying about that ended for good.
    fn ended(&self, job: &Job);

    /// Removes whatever lies about that belongs to nothing; called at start and now and then.
    fn sweep<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, anyhow::Result<()>>;
}

/// What a try made.
#[derive(Debug)]
pub struct WorkOutput {
    /// The folder with the files, still private to the try; removed when it is dropped there.
    pub folder: TempFolder,
    /// What to record of it.
    pub finished: Finished,
}

/// Why a try made nothing.
#[derive(Debug, Error)]
pub enum WorkError {
    /// It was told to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// It failed.
    #[error("{}", .0.reason)]
    Failed(Failure),
}

/// Runs the queue's jobs until it is told to stop.
pub struct Runner {
    queue: Queue,
    work: Arc<dyn Work>,
    running: Running,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A worker looks for due jobs this often even when nothing rang: another node may have made one
/// without being heard.
const POLL: Duration = Duration::from_secs(1);
/// How long a worker waits for the database before it takes it for away.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a stop waits for stages to notice.
const STOP_WITHIN: Duration = Duration::from_secs(5);

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("running", &self.running).finish_non_exhaustive()
    }
}

impl Runner {
    /// Starts the workers and their supervisor.
    pub fn start(queue: Queue, work: Arc<dyn Work>) -> Self {
        let runner = Self {
            running: Running::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            queue,
            work,
        };
        for job_type in JobType::ALL {
            for _ in 0..Rules::concurrency(job_type) {
                runner.tasks.spawn(runner.worker(job_type).run());
            }
        }
        let supervisor = Supervisor::new(runner.queue.clone(), runner.work.clone(), runner.running.clone());
        runner.tasks.spawn(supervisor.run(runner.stop.clone()));
        runner.tasks.spawn(listen(runner.queue.clone(), runner.stop.clone()));
        runner
    }

    /// Stops: no job is begun any more, and those that run go back to the queue untried.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.stop_all();
        self.tasks.close();
        if tokio::time::timeout(STOP_WITHIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("a stage did not stop in time; its job is given back without it");
        }
        for lease in self.running.leases() {
            if let Err(error) = self.queue.give_back(lease).await {
                tracing::error!(job = %lease.job, %error, "a job could not be given back; its lease runs out");
                if error.is_outage() {
                    return;
                }
            }
        }
    }

    fn worker(&self, job_type: JobType) -> Worker {
        Worker {
            job_type,
            queue: self.queue.clone(),
            work: self.work.clone(),
            running: self.running.clone(),
            stop: self.stop.clone(),
        }
    }
}

/// Wakes the workers when another node has a job for them.
async fn listen(queue: Queue, stop: CancellationToken) {
    let mut due = queue.notices().due();
    while stop.run_until_cancelled(due.recv()).await.is_some() {
        // Whatever came, or was lost: a look tells what is due.
        queue.ring_here();
    }
}

/// Works on one job after another of one stage.
struct Worker {
    job_type: JobType,
    queue: Queue,
    work: Arc<dyn Work>,
    running: Running,
    stop: CancellationToken,
}

impl Worker {
    async fn run(self) {
        while !self.stop.is_cancelled() {
            // Made before the look, so that a ring between look and wait is heard.
            let rung = self.queue.inner.due.notified();
            // Only a look, so that an idle studio does not take the write lock.
            match within(PATIENCE, self.queue.next_due(self.job_type)).await {
                Ok(Some(Duration::ZERO)) => self.work_on_next().await,
                Ok(due) => self.wait(rung, due.unwrap_or(POLL)).await,
                Err(error) => self.complain(&error).await,
            }
        }
    }

    async fn work_on_next(&self) {
        // One that is claimed and not answered for is free again when its lease is over.
        match within(PATIENCE, self.queue.claim(self.job_type)).await {
            Ok(Some(job)) => self.work_on(job).await,
            // Another worker was faster.
            Ok(None) => {}
            Err(error) => self.complain(&error).await,
        }
    }

    async fn wait(&self, rung: impl Future<Output = ()>, due: Duration) {
        tokio::select! {
            () = rung => {}
            () = self.pause(due.min(POLL)) => {}
        }
    }

    async fn complain(&self, error: &StoreError) {
        self.queue.outage().complain(error, "the queue cannot be read");
        self.pause(POLL).await;
    }

    /// Writes as soon as the database is there. Tells too whether it had to be asked again: then
    /// an earlier attempt may have been written although no answer came.
    async fn through_outages<T, F>(&self, write: impl Fn() -> F) -> (Result<T, StoreError>, bool)
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut again = false;
        loop {
            match within(PATIENCE, write()).await {
                Err(error) if error.is_outage() && !self.stop.is_cancelled() => {
                    self.complain(&error).await;
                    again = true;
                }
                result => return (result, again),
            }
        }
    }

    async fn pause(&self, time: Duration) {
        // Elapsing is the ordinary case.
        let _ = tokio::time::timeout(time, self.stop.cancelled()).await;
    }

    async fn work_on(&self, job: Job) {
        let Some(lease) = job.lease() else { return };
        let stop = self.running.begin(lease);
        if self.stop.is_cancelled() {
            stop.cancel();
        }
        let result = self.supervised(job, lease, stop).await;
        if let Err(error) = self.settle(lease, result).await {
            // The lease runs out and the job is rescued.
            tracing::error!(job = %lease.job, %error, "the end of a try could not be written");
        }
        self.running.end(lease);
    }

    /// Performs the work in a task of its own, so that a panic ends the try and not the worker.
    async fn supervised(
        &self,
        job: Job,
        lease: Lease,
        stop: CancellationToken,
    ) -> Result<WorkOutput, WorkError> {
        let done = CancellationToken::new();
        let (reporter, progress) = Reporter::new(self.queue.clone(), lease, stop);
        let reporter = tokio::spawn(reporter.run(done.clone()));
        let result = tokio::spawn(self.work.perform(job, progress)).await;
        done.cancel();
        // The reporter has no way to panic that would matter here: its writes are over either way.
        let _ = reporter.await;
        result.unwrap_or_else(|error| Err(WorkError::Failed(panicked(error))))
    }

    async fn settle(&self, lease: Lease, result: Result<WorkOutput, WorkError>) -> anyhow::Result<()> {
        match result {
            Ok(output) => self.complete(lease, output).await,
            Err(WorkError::Failed(failure)) => self.fail(lease, failure).await,
            Err(WorkError::Stopped(Stopped)) if self.stop.is_cancelled() => {
                Ok(self.queue.give_back(lease).await?)
            }
            // Cancelled, or the lease is lost: somebody else has written the end.
            Err(WorkError::Stopped(Stopped)) => Ok(()),
        }
    }

    async fn complete(&self, lease: Lease, output: WorkOutput) -> anyhow::Result<()> {
        let kind = output.finished.result.output_kind();
        if let Err(error) = self.work.publish(&output, kind, lease.token) {
            return self.fail(lease, Failure::of_io("the result could not be stored", &error)).await;
        }
        let (completed, _) = self.through_outages(|| self.queue.complete(lease, &output.finished)).await;
        match completed {
            Ok(Some(completion)) => {
                if let Some(superseded) = completion.superseded {
                    self.work.remove(kind, superseded);
                }
                self.work.ended(&completion.job);
                Ok(())
            }
            Ok(None) => {
                self.work.remove(kind, lease.token);
                Ok(())
            }
            // It may be written all the same: if it is not, the sweep finds the folder.
            Err(error) if error.is_outage() => Err(error.into()),
            Err(error) => {
                self.work.remove(kind, lease.token);
                self.fail(lease, Failure::transient(error.to_string())).await
            }
        }
    }

    async fn fail(&self, lease: Lease, failure: Failure) -> anyhow::Result<()> {
        let (ended, again) = self.through_outages(|| self.queue.fail(lease, failure.clone())).await;
        let ended = match ended? {
            None if again => self.queue.tell(lease.job).await?,
            ended => ended,
        };
        if let Some(job) = ended.filter(|job| job.status.is_terminal()) {
            self.work.ended(&job);
        }
        Ok(())
    }
}

impl Failure {
    /// What a failed file operation means for the job.
    pub fn of_io(what: &str, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                tracing::error!(%error, "the disk is full");
                Self { reason: format!("{what}: the disk is full"), retry: Retry::Never }
            }
            _ => Self { reason: format!("{what}: {error}"), retry: Retry::Later },
        }
    }
}

fn panicked(error: tokio::task::JoinError) -> Failure {
    let reason = match error.try_into_panic() {
        Ok(panic) => panic_text(&*panic).to_owned(),
        Err(error) => error.to_string(),
    };
    Failure::transient(format!("the stage crashed: {reason}"))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

#[cfg(test)]
mod tests;
