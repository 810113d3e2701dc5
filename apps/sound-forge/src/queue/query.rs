//! Reading jobs.

use crate::ids::{JobId, TrackId, UserId};
use crate::store::StoreError;

use super::job::JobRow;
use super::{Job, JobStatus, JobType, Queue};

/// Which jobs a list is to show.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobFilter {
    /// Only of this stage.
    pub job_type: Option<JobType>,
    /// Only in this status.
    pub status: Option<JobStatus>,
    /// Only of this track.
    pub track: Option<TrackId>,
}

/// A page of a list, and how long the whole list is.
#[derive(Debug)]
pub struct JobPage {
    /// The jobs of this page, the newest first.
    pub jobs: Vec<Job>,
    /// How many there are in all.
    pub total: u64,
}

const WHERE: &str = "FROM jobs WHERE user_id = $1 AND ($2 IS NULL OR job_type = $2) \
     AND ($3 IS NULL OR status = $3) AND ($4 IS NULL OR track_id = $4)";

impl Queue {
    /// A job, if it is this user's.
    pub async fn job(&self, user: UserId, id: JobId) -> Result<Option<Job>, StoreError> {
        let row: Option<JobRow> = sqlx::query_as("SELECT * FROM jobs WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(user)
            .fetch_optional(self.store().read())
            .await?;
        row.map(Job::try_from).transpose()
    }

    /// Tells those who follow a job where it stands, whoever's it is, in case they were not told.
    pub(super) async fn tell(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let row: Option<JobRow> = sqlx::query_as("SELECT * FROM jobs WHERE id = $1")
            .bind(id)
            .fetch_optional(self.store().read())
            .await?;
        let job = row.map(Job::try_from).transpose()?;
        if let Some(job) = &job {
            self.notices().job_changed(job);
        }
        Ok(job)
    }

    /// A page of a user's jobs, the newest first.
    pub async fn jobs(
        &self,
        user: UserId,
        filter: JobFilter,
        (limit, offset): (u32, u64),
    ) -> Result<JobPage, StoreError> {
        // The text is put together from constants.
        let list =
            sqlx::AssertSqlSafe(format!("SELECT * {WHERE} ORDER BY created_at DESC, id LIMIT $5 OFFSET $6"));
        let rows: Vec<JobRow> = sqlx::query_as(list)
            .bind(user)
            .bind(filter.job_type.map(JobType::name))
            .bind(filter.status.map(JobStatus::name))
            .bind(filter.track)
            .bind(i64::from(limit))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX))
            .fetch_all(self.store().read())
            .await?;
        let jobs = rows.into_iter().map(Job::try_from).collect::<Result<_, _>>()?;
        Ok(JobPage { jobs, total: self.count(user, filter).await? })
    }

    async fn count(&self, user: UserId, filter: JobFilter) -> Result<u64, StoreError> {
        let (total,): (i64,) = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) {WHERE}")))
            .bind(user)
            .bind(filter.job_type.map(JobType::name))
            .bind(filter.status.map(JobStatus::name))
            .bind(filter.track)
            .fetch_one(self.store().read())
            .await?;
        Ok(u64::try_from(total).unwrap_or_default())
    }

    /// All jobs that are not finished, whoever's they are.
    pub async fn live_jobs(&self) -> Result<Vec<Job>, StoreError> {
        let rows: Vec<JobRow> = sqlx::query_as("SELECT * FROM jobs WHERE finished_at IS NULL")
            .fetch_all(self.store().read())
            .await?;
        rows.into_iter().map(Job::try_from).collect()
    }
}
