//! What workers tell the rest of the studio, over PubSub, on every node.
//!
//! A message may be lost between nodes, and after an outage an end may be told twice: who needs
//! every one reads the row when there was a gap, and knows by `revision` what is news.

use bennu::{PubSub, Subscription};
use serde::{Deserialize, Serialize};

use crate::ids::{JobId, TrackId, UserId};

use super::job::{Job, JobResult, JobStatus, JobType};

/// How far a job is. Published on `jobs:{job_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobProgress {
    /// The job.
    pub job_id: JobId,
    /// The track it works on.
    pub track_id: TrackId,
    /// Where it stands.
    pub status: JobStatus,
    /// How far the current try is, 0 to 100.
    pub progress: u8,
    /// What it does or why it waits.
    pub message: String,
    /// Counts the writes to the job: a listener that read the row knows which messages are older.
    pub revision: i64,
}

/// A job ended well. Published on `jobs:{job_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobCompleted {
    /// The job.
    pub job_id: JobId,
    /// Its stage.
    pub job_type: JobType,
    /// The track it worked on.
    pub track_id: TrackId,
    /// What it left.
    pub result: JobResult,
    /// The job of the next stage, if it enqueued one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_job_id: Option<JobId>,
}

/// A job ended for good without a result. Published on `jobs:{job_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobFailed {
    /// The job.
    pub job_id: JobId,
    /// Its stage.
    pub job_type: JobType,
    /// Why.
    pub error: String,
}

/// What a list shows of a track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreatedTrack {
    /// Its id.
    pub id: TrackId,
    /// Whose it is.
    pub user_id: UserId,
    /// What to call it.
    pub title: String,
}

/// A track entered a library. Published on `tracks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackCreated {
    /// The track.
    pub track: CreatedTrack,
}

/// Publishes the studio's messages.
#[derive(Debug, Clone)]
pub struct Notices {
    pubsub: PubSub,
}

/// A job may have become due. Published on `queue:due`, for the workers of other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JobDue;

/// Where workers of all nodes hear that there may be work.
pub(super) const DUE_TOPIC: &str = "queue:due";

/// The topic of all tracks. Internal: no client can join it.
pub const TRACKS_TOPIC: &str = "tracks";

/// The topic of a job.
pub fn job_topic(job: JobId) -> String {
    format!("jobs:{job}")
}

impl Notices {
    /// Publishes on this PubSub.
    pub fn new(pubsub: PubSub) -> Self {
        Self { pubsub }
    }

    /// Tells where a job stands now; with its end, if that is where.
    pub fn job_changed(&self, job: &Job) {
        let topic = job_topic(job.id);
        self.pubsub.broadcast(&topic, JobProgress::of(job));
        if let Some(completed) = JobCompleted::of(job) {
            self.pubsub.broadcast(&topic, completed);
        }
        if let Some(failed) = JobFailed::of(job) {
            self.pubsub.broadcast(&topic, failed);
        }
    }

    /// Tells this node's own listeners where a job stands, if there are any.
    pub(super) fn job_ended_here(&self, job: &Job) {
        let topic = job_topic(job.id);
        if self.pubsub.subscriber_count(&topic) == 0 {
            return;
        }
        self.pubsub.local_broadcast(&topic, JobProgress::of(job));
        if let Some(completed) = JobCompleted::of(job) {
            self.pubsub.local_broadcast(&topic, completed);
        }
        if let Some(failed) = JobFailed::of(job) {
            self.pubsub.local_broadcast(&topic, failed);
        }
    }

    /// Tells the workers of all nodes that there may be work.
    pub(super) fn job_due(&self) {
        self.pubsub.broadcast(DUE_TOPIC, JobDue);
    }

    /// Hears what [`job_due`](Self::job_due) tells.
    pub(super) fn due(&self) -> Subscription {
        self.pubsub.subscribe(DUE_TOPIC)
    }

    /// Tells of a new track.
    pub fn track_created(&self, track: CreatedTrack) {
        self.pubsub.broadcast(TRACKS_TOPIC, TrackCreated { track });
    }
}

impl JobProgress {
    /// Where a job stands.
    pub fn of(job: &Job) -> Self {
        Self {
            job_id: job.id,
            track_id: job.track_id,
            status: job.status,
            progress: job.progress,
            message: job.message.clone(),
            revision: job.revision,
        }
    }
}

impl JobCompleted {
    /// The good end of a job, if it came to it.
    pub fn of(job: &Job) -> Option<Self> {
        let result = job.result.clone().filter(|_| job.status == JobStatus::Completed)?;
        Some(Self {
            job_id: job.id,
            job_type: job.job_type,
            track_id: job.track_id,
            result,
            next_job_id: job.next_job_id,
        })
    }
}

impl JobFailed {
    /// The bad end of a job, if it came to it.
    pub fn of(job: &Job) -> Option<Self> {
        let error = job.error.clone().filter(|_| job.status == JobStatus::Failed)?;
        Some(Self { job_id: job.id, job_type: job.job_type, error })
    }
}
