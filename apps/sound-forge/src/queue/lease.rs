//! Taking jobs, keeping them, giving them back, and rescuing those whose worker is gone.

use std::time::Duration;

use crate::clock::Moment;
use crate::ids::{JobId, LeaseToken};
use crate::store::{Connection, Engine, StoreError, statement};

use super::job::JobRow;
use super::{Failure, Job, JobStatus, JobType, Lease, Queue};

impl Queue {
    /// Takes the job of a stage that is due for longest, if one is. The try counts from here.
    pub async fn claim(&self, job_type: JobType) -> Result<Option<Job>, StoreError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        // Workers of other nodes look at the same moment: each takes another job.
        let claim = statement(format!(
            "UPDATE jobs SET status = $1, progress = 0, message = $2, attempt = attempt + 1, lease_token = $3, \
             lease_until = $4, boot_id = $5, revision = revision + 1, updated_at = $6 \
             WHERE id = (SELECT id FROM jobs WHERE job_type = $7 AND status = $8 AND run_at <= $9 \
                         ORDER BY run_at, created_at, id LIMIT 1{}) \
             RETURNING *",
            self.store().engine().skip_locked()
        ));
        let row: Option<JobRow> = sqlx::query_as(claim)
            .bind(job_type.running().name())
            .bind("Starting")
            .bind(LeaseToken::random())
            .bind(now + self.rules().lease)
            .bind(self.boot())
            .bind(now)
            .bind(job_type.name())
            .bind(JobStatus::Queued.name())
            .bind(now)
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        let job = row.map(Job::try_from).transpose()?;
        if let Some(job) = &job {
            self.notices().job_changed(job);
        }
        Ok(job)
    }

    /// How long it is until a job of a stage becomes due, if one waits.
    pub async fn next_due(&self, job_type: JobType) -> Result<Option<Duration>, StoreError> {
        let (run_at,): (Option<Moment>,) =
            sqlx::query_as("SELECT MIN(run_at) FROM jobs WHERE job_type = $1 AND status = $2")
                .bind(job_type.name())
                .bind(JobStatus::Queued.name())
                .fetch_one(self.store().read())
                .await?;
        Ok(run_at.map(|run_at| run_at.since(self.now())))
    }

    /// Writes how far a try is. False when the lease is lost.
    pub async fn progress(&self, lease: Lease, progress: u8, message: &str) -> Result<bool, StoreError> {
        let mut tx = self.store().write().await?;
        let row: Option<JobRow> = sqlx::query_as(
            "UPDATE jobs SET progress = CASE WHEN progress > $1 THEN progress ELSE $1 END, message = $2, \
             revision = revision + 1, updated_at = $3 WHERE id = $4 AND lease_token = $5 RETURNING *",
        )
        .bind(i64::from(progress))
        .bind(message)
        .bind(self.now())
        .bind(lease.job)
        .bind(lease.token)
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let Some(row) = row else { return Ok(false) };
        self.notices().job_changed(&row.try_into()?);
        Ok(true)
    }

    /// Lengthens leases. Those that are lost already stay lost.
    pub async fn renew(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let until = self.now() + self.rules().lease;
        for lease in leases {
            // Each for itself, so that no row is kept while another one is waited for.
            let mut tx = self.store().write().await?;
            sqlx::query("UPDATE jobs SET lease_until = $1 WHERE id = $2 AND lease_token = $3")
                .bind(until)
                .bind(lease.job)
                .bind(lease.token)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Whether a try still holds its job.
    pub async fn holds(&self, lease: Lease) -> Result<bool, StoreError> {
        let found: Option<(JobId,)> =
            sqlx::query_as("SELECT id FROM jobs WHERE id = $1 AND lease_token = $2")
                .bind(lease.job)
                .bind(lease.token)
                .fetch_optional(self.store().read())
                .await?;
        Ok(found.is_some())
    }

    /// Gives a job back untried, because the server stops.
    pub async fn give_back(&self, lease: Lease) -> Result<(), StoreError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let row: Option<JobRow> = sqlx::query_as(
            "UPDATE jobs SET status = $1, progress = 0, message = $2, attempt = attempt - 1, run_at = $3, \
             lease_token = NULL, lease_until = NULL, boot_id = NULL, revision = revision + 1, \
             updated_at = $4 WHERE id = $5 AND lease_token = $6 RETURNING *",
        )
        .bind(JobStatus::Queued.name())
        .bind("The server stopped; the job goes on when it starts again")
        .bind(now)
        .bind(now)
        .bind(lease.job)
        .bind(lease.token)
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        if let Some(row) = row {
            self.notices().job_changed(&row.try_into()?);
        }
        Ok(())
    }

    /// Rescues jobs whose lease ran out, but for one's own, whatever the clock tells of them.
    /// Returns how many.
    pub async fn rescue_expired(&self, own: &[Lease]) -> Result<usize, StoreError> {
        let now = self.now();
        let mut expired = self.leased("SELECT * FROM jobs WHERE lease_until < $1", now).await?;
        expired.retain(|job| job.lease().is_none_or(|lease| !own.contains(&lease)));
        self.rescue(expired, now).await
    }

    /// Rescues jobs that an earlier run of the server held. Only one that is alone on its database
    /// knows that every such worker is dead; where nodes share it, leases have to run out. Returns how many.
    pub async fn rescue_earlier_boots(&self) -> Result<usize, StoreError> {
        if self.store().engine().is_shared() {
            return Ok(0);
        }
        let orphans = self
            .leased("SELECT * FROM jobs WHERE lease_token IS NOT NULL AND boot_id <> $1", self.boot())
            .await?;
        self.rescue(orphans, Moment::END).await
    }

    async fn leased<'q, T>(&self, select: &'static str, argument: T) -> Result<Vec<Job>, StoreError>
    where
        T: sqlx::Encode<'q, sqlx::Any> + sqlx::Type<sqlx::Any> + Send + 'q,
    {
        let rows: Vec<JobRow> = sqlx::query_as(select).bind(argument).fetch_all(self.store().read()).await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// A lease that was renewed or taken by another node since it was read is left alone.
    async fn rescue(&self, jobs: Vec<Job>, expired_at: Moment) -> Result<usize, StoreError> {
        let mut rescued = 0;
        for lease in jobs.iter().filter_map(Job::lease) {
            if self.end_try(lease, Failure::worker_died(), Some(expired_at)).await?.is_some() {
                tracing::warn!(job = %lease.job, "the worker of a job is gone");
                rescued += 1;
            }
        }
        Ok(rescued)
    }
}

/// The job behind a lease, kept as it is until the transaction ends; none when the lease is lost.
pub(super) async fn held(
    tx: &mut Connection,
    engine: Engine,
    lease: Lease,
) -> Result<Option<Job>, StoreError> {
    let held =
        statement(format!("SELECT * FROM jobs WHERE id = $1 AND lease_token = $2{}", engine.for_update()));
    let row: Option<JobRow> =
        sqlx::query_as(held).bind(lease.job).bind(lease.token).fetch_optional(tx).await?;
    row.map(Job::try_from).transpose()
}
