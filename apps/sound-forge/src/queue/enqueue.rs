//! Making jobs, one of each.

use crate::clock::Moment;
use crate::ids::{JobId, TrackId, UserId};
use crate::store::{Connection, NewTrack, StoreError, ensure_track, hold_track};

use super::job::{JobRow, to_json};
use super::{CreatedTrack, Job, JobInput, JobStatus, Queue, Rules};

/// A job about to be made.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Whose it is.
    pub user_id: UserId,
    /// The track it works on.
    pub track_id: TrackId,
    /// What it is to do.
    pub input: JobInput,
}

/// The job of a request.
#[derive(Debug, Clone)]
pub struct Enqueued {
    /// The new job, or the one that was there.
    pub job: Job,
    /// Whether it was made by this request.
    pub is_new: bool,
}

impl Queue {
    /// Makes a job, or finds the one like it that is live or younger than the rules' window. None
    /// when the track is gone.
    ///
    /// The database decides, so a thousand requests at once, on however many nodes, make one job.
    pub async fn enqueue(&self, new: &NewJob) -> Result<Option<Enqueued>, StoreError> {
        let mut tx = self.store().write().await?;
        if !hold_track(&mut tx, self.store().engine(), new.track_id).await? {
            return Ok(None);
        }
        let enqueued = self.insert(&mut tx, new, self.now()).await?;
        tx.commit().await?;
        if enqueued.is_new {
            self.ring();
        }
        Ok(Some(enqueued))
    }

    /// Makes the track of a source and the job that downloads it; or finds both.
    pub async fn enqueue_download(&self, track: &NewTrack, input: JobInput) -> Result<Enqueued, StoreError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let (row, track_is_new) = ensure_track(&mut tx, track, now).await?;
        let new = NewJob { user_id: track.user_id, track_id: row.id, input };
        let enqueued = self.insert(&mut tx, &new, now).await?;
        tx.commit().await?;
        if track_is_new {
            self.notices().track_created(CreatedTrack { id: row.id, user_id: row.user_id, title: row.title });
        }
        if enqueued.is_new {
            self.ring();
        }
        Ok(enqueued)
    }

    /// The same within a transaction that holds the track; the caller rings after its commit.
    pub(super) async fn insert(
        &self,
        tx: &mut Connection,
        new: &NewJob,
        now: Moment,
    ) -> Result<Enqueued, StoreError> {
        let unique_key = unique_key(new);
        self.free_key(tx, &unique_key, now).await?;
        let id = JobId::random();
        let job = insert_row(tx, (id, new), &unique_key, now).await?;
        Ok(Enqueued { is_new: job.id == id, job })
    }

    /// Takes the key from a job that is finished and out of its window.
    async fn free_key(&self, tx: &mut Connection, unique_key: &str, now: Moment) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE jobs SET unique_key = NULL \
             WHERE unique_key = $1 AND finished_at IS NOT NULL AND created_at <= $2",
        )
        .bind(unique_key)
        .bind(now - self.rules().unique_for)
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// The row of that key, made when there is none.
async fn insert_row(
    tx: &mut Connection,
    (id, new): (JobId, &NewJob),
    unique_key: &str,
    now: Moment,
) -> Result<Job, StoreError> {
    let job_type = new.input.job_type();
    // The update changes nothing: it makes the row that was there the one that is returned.
    let row: JobRow = sqlx::query_as(
        "INSERT INTO jobs (id, user_id, track_id, job_type, status, progress, message, input, attempt, \
         max_attempts, run_at, unique_key, revision, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, 0, $6, $7, 0, $8, $9, $10, 1, $11, $12) \
         ON CONFLICT (unique_key) DO UPDATE SET unique_key = excluded.unique_key RETURNING *",
    )
    .bind(id)
    .bind(new.user_id)
    .bind(new.track_id)
    .bind(job_type.name())
    .bind(JobStatus::Queued.name())
    .bind("Waiting for a free worker")
    .bind(to_json("job input", &new.input)?)
    .bind(i64::from(Rules::tries(job_type)))
    .bind(now)
    .bind(unique_key)
    .bind(now)
    .bind(now)
    .fetch_one(tx)
    .await?;
    row.try_into()
}

/// Per track and type. A track is one user's canonical URL, so this holds for downloads too.
fn unique_key(new: &NewJob) -> String {
    format!("{}:{}", new.input.job_type().name(), new.track_id)
}
