//! The ends of tries: done, failed, cancelled; and forgetting what ended long ago.

use sound_forge_audio::analysis::Feature;

use crate::clock::Moment;
use crate::ids::{JobId, LeaseToken, TrackId, UserId};
use crate::store::{
    AudioFacts, Connection, NewOutput, NewStem, OutputKind, StoreError, Summary, add_stems, file_url,
    has_output, hold_track, replace_output, set_audio, set_summary, statement,
};

use super::job::{JobRow, to_json};
use super::lease::held;
use super::{Enqueued, Job, JobInput, JobResult, JobStatus, Lease, NewJob, Queue};

/// What a try that succeeded leaves.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The main file in its folder.
    pub file: String,
    /// The main file's size in bytes.
    pub file_size: u64,
    /// What there is to record of it.
    pub result: StageResult,
}

/// What there is to record of a finished stage.
#[derive(Debug, Clone)]
pub enum StageResult {
    /// The audio is in.
    Download(AudioFacts),
    /// The stems are split.
    Processing(Vec<NewStem>),
    /// The track is measured.
    Analysis(Summary),
}

/// Why a try failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For people.
    pub reason: String,
    /// Whether another try could end better.
    pub retry: Retry,
}

/// Whether and when a failed try is followed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Never: it would end the same way.
    Never,
    /// After the back-off.
    Later,
    /// At once: nothing about the work itself is known to be wrong.
    AtOnce,
}

/// A completed job, and the folder of the track's earlier output, which nobody needs any more.
#[derive(Debug)]
pub struct Completion {
    /// The job as it stands now.
    pub job: Job,
    /// To be removed.
    pub superseded: Option<LeaseToken>,
}

/// What is left to do for a track that was removed.
#[derive(Debug)]
pub struct Deleted {
    /// The folders of its outputs, to be removed.
    pub folders: Vec<(OutputKind, LeaseToken)>,
    /// Its jobs that were cut short.
    pub cancelled: Vec<Job>,
}

impl Failure {
    /// Another try would end the same way.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry: Retry::Never }
    }

    /// Another try may end better.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry: Retry::Later }
    }

    /// The process died with the job in its hands, which counts as a try.
    pub(super) fn worker_died() -> Self {
        Self { reason: "the server stopped in the middle of the work".to_owned(), retry: Retry::AtOnce }
    }
}

impl StageResult {
    /// Where its files live.
    pub fn output_kind(&self) -> OutputKind {
        match self {
            Self::Download(_) => OutputKind::Downloads,
            Self::Processing(_) => OutputKind::Stems,
            Self::Analysis(_) => OutputKind::Analysis,
        }
    }
}

impl Queue {
    /// Completes a job: its result, its output and the job of the next stage in one transaction.
    /// None when the lease is lost: then nothing changed. To be asked again after an outage: what
    /// was written after all, though no answer came, is found and told.
    pub async fn complete(
        &self,
        lease: Lease,
        finished: &Finished,
    ) -> Result<Option<Completion>, StoreError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let Some(job) = self.held_with_track(&mut tx, lease).await? else {
            drop(tx);
            return self.completed_before(lease).await;
        };
        let superseded = record(&mut tx, &job, lease.token, finished, now).await?;
        let next = self.enqueue_next(&mut tx, &job, now).await?;
        let job = complete_row(&mut tx, lease, finished, next.as_ref().map(|next| next.job.id), now).await?;
        tx.commit().await?;
        self.notices().job_changed(&job);
        if next.is_some_and(|next| next.is_new) {
            self.ring();
        }
        Ok(Some(Completion { job, superseded }))
    }

    /// The track comes first: who removes it takes both in this order too.
    async fn held_with_track(&self, tx: &mut Connection, lease: Lease) -> Result<Option<Job>, StoreError> {
        let engine = self.store().engine();
        let track: Option<(TrackId,)> =
            sqlx::query_as("SELECT track_id FROM jobs WHERE id = $1 AND lease_token = $2")
                .bind(lease.job)
                .bind(lease.token)
                .fetch_optional(&mut *tx)
                .await?;
        let Some((track,)) = track else { return Ok(None) };
        if !hold_track(&mut *tx, engine, track).await? {
            return Ok(None);
        }
        held(tx, engine, lease).await
    }

    /// The job of a lease whose end was written by an earlier call, if one was.
    async fn completed_before(&self, lease: Lease) -> Result<Option<Completion>, StoreError> {
        let row: Option<JobRow> = sqlx::query_as(
            "SELECT jobs.* FROM jobs JOIN outputs ON outputs.id = $1 WHERE jobs.id = $2 AND jobs.status = $3",
        )
        .bind(lease.token)
        .bind(lease.job)
        .bind(JobStatus::Completed.name())
        .fetch_optional(self.store().read())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let job: Job = row.try_into()?;
        self.notices().job_changed(&job);
        self.ring();
        // The folder it took the place of is left to the sweep.
        Ok(Some(Completion { job, superseded: None }))
    }

    async fn enqueue_next(
        &self,
        tx: &mut Connection,
        job: &Job,
        now: Moment,
    ) -> Result<Option<Enqueued>, StoreError> {
        let input = match &job.input {
            JobInput::Download { .. } => {
                JobInput::Processing { engine: crate::pipeline::DEFAULT_ENGINE.to_owned(), follow_up: true }
            }
            // The analysis does not depend on the stems: a track that has one keeps it.
            JobInput::Processing { follow_up: false, .. }
                if has_output(tx, job.track_id, OutputKind::Analysis).await? =>
            {
                return Ok(None);
            }
            JobInput::Processing { .. } => JobInput::Analysis { features: vec![Feature::All] },
            JobInput::Analysis { .. } => return Ok(None),
        };
        let new = NewJob { user_id: job.user_id, track_id: job.track_id, input };
        self.insert(tx, &new, now).await.map(Some)
    }

    /// Ends a failed try: back to the queue with the reason, or for good when no try is left.
    /// None when the lease is lost: then nothing changed.
    pub async fn fail(&self, lease: Lease, failure: Failure) -> Result<Option<Job>, StoreError> {
        self.end_try(lease, failure, None).await
    }

    /// The same, where a moment is given, only of a lease that ran out before it.
    pub(super) async fn end_try(
        &self,
        lease: Lease,
        failure: Failure,
        expired_at: Option<Moment>,
    ) -> Result<Option<Job>, StoreError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let Some(job) = held(&mut tx, self.store().engine(), lease).await? else { return Ok(None) };
        if expired_at.is_some_and(|moment| job.lease_until >= Some(moment)) {
            return Ok(None);
        }
        let wait = match failure.retry {
            Retry::Never => None,
            Retry::Later => Some(self.rules().backoff(job.attempt, random_u16()?)),
            Retry::AtOnce => Some(std::time::Duration::ZERO),
        };
        let job = match wait.filter(|_| job.attempt < job.max_attempts) {
            Some(wait) => requeue_row(&mut tx, &job, &failure.reason, (now + wait, now)).await?,
            None => fail_row(&mut tx, job.id, &failure.reason, now).await?,
        };
        tx.commit().await?;
        tracing::warn!(job = %job.id, status = job.status.name(), reason = failure.reason, "a try failed");
        self.notices().job_changed(&job);
        if !job.status.is_terminal() {
            self.ring();
        }
        Ok(Some(job))
    }

    /// Cancels a user's job. It is over at once, running or not: its worker has lost the lease and
    /// can write nothing more. Returns the job as it stands, or none when it is not this user's.
    pub async fn cancel(&self, user: UserId, id: JobId) -> Result<Option<Job>, StoreError> {
        let mut tx = self.store().write().await?;
        let cancelled = cancel_rows(&mut tx, "id = $6 AND user_id = $7", (id, user), self.now()).await?;
        tx.commit().await?;
        self.announce_ends(&cancelled);
        match cancelled.into_iter().next() {
            Some(job) => Ok(Some(job)),
            None => self.job(user, id).await,
        }
    }

    /// Removes a user's track with everything that belongs to it, cancelling its jobs. None
    /// when it is not this user's.
    pub async fn delete_track(&self, user: UserId, track: TrackId) -> Result<Option<Deleted>, StoreError> {
        let mut tx = self.store().write().await?;
        // From here on nobody makes a job of it, so that none is removed that was not cancelled.
        if !hold_track(&mut tx, self.store().engine(), track).await? {
            return Ok(None);
        }
        let cancelled =
            cancel_rows(&mut tx, "track_id = $6 AND user_id = $7", (track, user), self.now()).await?;
        let outputs: Vec<(String, LeaseToken)> =
            sqlx::query_as("SELECT kind, id FROM outputs WHERE track_id = $1 AND user_id = $2")
                .bind(track)
                .bind(user)
                .fetch_all(&mut *tx)
                .await?;
        let deleted = sqlx::query("DELETE FROM tracks WHERE id = $1 AND user_id = $2")
            .bind(track)
            .bind(user)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.announce_ends(&cancelled);
        if deleted.rows_affected() == 0 {
            return Ok(None);
        }
        let folders = outputs.into_iter().filter_map(|(kind, id)| Some((OutputKind::of_folder(&kind)?, id)));
        Ok(Some(Deleted { folders: folders.collect(), cancelled }))
    }

    /// Forgets jobs that ended longer ago than the rules keep them. Returns how many.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        let mut tx = self.store().write().await?;
        // What another node forgets at the same moment is left to it.
        let prune = statement(format!(
            "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at <= $1{})",
            self.store().engine().skip_locked()
        ));
        let pruned =
            sqlx::query(prune).bind(self.now() - self.rules().keep_finished).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(pruned.rows_affected())
    }

    fn announce_ends(&self, jobs: &[Job]) {
        for job in jobs {
            self.notices().job_changed(job);
        }
        if !jobs.is_empty() {
            self.ring();
        }
    }
}

/// Writes what a finished stage leaves; returns the folder it takes the place of.
async fn record(
    tx: &mut Connection,
    job: &Job,
    token: LeaseToken,
    finished: &Finished,
    now: Moment,
) -> Result<Option<LeaseToken>, StoreError> {
    let output = NewOutput {
        id: token,
        kind: finished.result.output_kind(),
        user_id: job.user_id,
        track_id: job.track_id,
        file: finished.file.clone(),
        file_size: finished.file_size,
    };
    let superseded = replace_output(tx, &output, now).await?;
    match &finished.result {
        StageResult::Download(facts) => set_audio(tx, job.track_id, facts, now).await?,
        StageResult::Processing(stems) => add_stems(tx, (job.user_id, job.track_id, token), stems).await?,
        StageResult::Analysis(summary) => set_summary(tx, job.track_id, token, summary).await?,
    }
    Ok(superseded)
}

async fn complete_row(
    tx: &mut Connection,
    lease: Lease,
    finished: &Finished,
    next: Option<JobId>,
    now: Moment,
) -> Result<Job, StoreError> {
    let result = JobResult {
        output_path: file_url(finished.result.output_kind(), lease.token, &finished.file),
        file_size: finished.file_size,
    };
    let row: JobRow = sqlx::query_as(
        "UPDATE jobs SET status = $1, progress = 100, message = $2, result = $3, next_job_id = $4, \
         lease_token = NULL, lease_until = NULL, boot_id = NULL, revision = revision + 1, \
         updated_at = $5, finished_at = $6 WHERE id = $7 AND lease_token = $8 RETURNING *",
    )
    .bind(JobStatus::Completed.name())
    .bind("Done")
    .bind(to_json("job result", &result)?)
    .bind(next)
    .bind(now)
    .bind(now)
    .bind(lease.job)
    .bind(lease.token)
    .fetch_one(tx)
    .await?;
    row.try_into()
}

async fn requeue_row(
    tx: &mut Connection,
    job: &Job,
    reason: &str,
    (run_at, now): (Moment, Moment),
) -> Result<Job, StoreError> {
    let row: JobRow = sqlx::query_as(
        "UPDATE jobs SET status = $1, progress = 0, message = $2, run_at = $3, lease_token = NULL, \
         lease_until = NULL, boot_id = NULL, revision = revision + 1, updated_at = $4 WHERE id = $5 RETURNING *",
    )
    .bind(JobStatus::Queued.name())
    .bind(format!("Try {} of {} failed: {reason}", job.attempt, job.max_attempts))
    .bind(run_at)
    .bind(now)
    .bind(job.id)
    .fetch_one(tx)
    .await?;
    row.try_into()
}

async fn fail_row(tx: &mut Connection, job: JobId, reason: &str, now: Moment) -> Result<Job, StoreError> {
    let row: JobRow = sqlx::query_as(
        "UPDATE jobs SET status = $1, message = $2, error = $3, lease_token = NULL, lease_until = NULL, \
         boot_id = NULL, revision = revision + 1, updated_at = $4, finished_at = $5 WHERE id = $6 RETURNING *",
    )
    .bind(JobStatus::Failed.name())
    .bind(reason)
    .bind(reason)
    .bind(now)
    .bind(now)
    .bind(job)
    .fetch_one(tx)
    .await?;
    row.try_into()
}

/// Ends live jobs as cancelled. The key is freed: who cancels may ask again at once.
async fn cancel_rows<Scope>(
    tx: &mut Connection,
    scope: &'static str,
    (id, user): (crate::ids::Id<Scope>, UserId),
    now: Moment,
) -> Result<Vec<Job>, StoreError> {
    let cancel = statement(format!(
        "UPDATE jobs SET status = $1, message = $2, error = $3, lease_token = NULL, lease_until = NULL, \
         boot_id = NULL, unique_key = NULL, revision = revision + 1, updated_at = $4, finished_at = $5 \
         WHERE finished_at IS NULL AND {scope} RETURNING *"
    ));
    let rows: Vec<JobRow> = sqlx::query_as(cancel)
        .bind(JobStatus::Failed.name())
        .bind("Cancelled")
        .bind("cancelled")
        .bind(now)
        .bind(now)
        .bind(id)
        .bind(user)
        .fetch_all(tx)
        .await?;
    rows.into_iter().map(Job::try_from).collect()
}

fn random_u16() -> Result<u16, StoreError> {
    let mut bytes = [0_u8; 2];
    getrandom::fill(&mut bytes)?;
    Ok(u16::from_ne_bytes(bytes))
}
