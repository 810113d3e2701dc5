//! A job, as the queue stores it.

use serde::{Deserialize, Serialize};
use sound_forge_audio::analysis::Feature;

use crate::clock::Moment;
use crate::ids::{JobId, LeaseToken, TrackId, UserId};
use crate::providers::Source;
use crate::store::StoreError;

/// The stage that a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobType {
    /// Bringing the audio in.
    Download,
    /// Splitting it into stems.
    Processing,
    /// Measuring it.
    Analysis,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// Waiting for its first or next try.
    Queued,
    /// A download is running.
    Downloading,
    /// Another stage is running.
    Processing,
    /// Done.
    Completed,
    /// No try is left, or somebody cancelled it.
    Failed,
}

/// What a job is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "job_type", rename_all = "lowercase")]
pub enum JobInput {
    /// Bring the audio of a source in.
    Download {
        /// Where it comes from.
        source: Source,
    },
    /// Split a track into stems.
    Processing {
        /// The engine to do it.
        engine: String,
        /// Whether an analysis follows even when the track has one already.
        follow_up: bool,
    },
    /// Measure a track.
    Analysis {
        /// What to measure.
        features: Vec<Feature>,
    },
}

/// What a finished job left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResult {
    /// Where it is served, below `/files/`.
    pub output_path: String,
    /// How many bytes that serves.
    pub file_size: u64,
}

/// A job of the queue.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// Its id, and the end of its topic.
    pub id: JobId,
    /// Whose it is.
    #[serde(skip)]
    pub user_id: UserId,
    /// The track it works on.
    pub track_id: TrackId,
    /// The stage it runs.
    pub job_type: JobType,
    /// Where it stands.
    pub status: JobStatus,
    /// How far the current try is, 0 to 100.
    pub progress: u8,
    /// What it does or why it waits, for people.
    pub message: String,
    /// What it is to do.
    #[serde(skip)]
    pub input: JobInput,
    /// What it left, once completed.
    pub result: Option<JobResult>,
    /// Why it failed, once failed.
    pub error: Option<String>,
    /// The job of the next stage, if it enqueued one.
    pub next_job_id: Option<JobId>,
    /// Tries begun so far.
    #[serde(rename = "attempts")]
    pub attempt: u32,
    /// Tries it may have.
    pub max_attempts: u32,
    /// It does not run before this moment.
    pub run_at: Moment,
    /// Held by a worker's try, while one runs.
    #[serde(skip)]
    pub lease_token: Option<LeaseToken>,
    /// Until when it is held, unless that is renewed.
    #[serde(skip)]
    pub lease_until: Option<Moment>,
    /// Counts the writes to it.
    #[serde(skip)]
    pub revision: i64,
    /// When it was made.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
    /// When it ended.
    pub finished_at: Option<Moment>,
}

/// The right to write to a job: its id and the token of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The try.
    pub token: LeaseToken,
}

impl JobType {
    /// Every stage, in the order of the pipeline.
    pub const ALL: [Self; 3] = [Self::Download, Self::Processing, Self::Analysis];

    /// Its name on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Processing => "processing",
            Self::Analysis => "analysis",
        }
    }

    /// The stage of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job_type| job_type.name() == name)
    }

    /// The status of a job of this stage while it runs.
    pub fn running(self) -> JobStatus {
        match self {
            Self::Download => JobStatus::Downloading,
            Self::Processing | Self::Analysis => JobStatus::Processing,
        }
    }
}

impl JobStatus {
    /// Every status there is.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Downloading, Self::Processing, Self::Completed, Self::Failed];

    /// Its name on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Downloading => "downloading",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// The status of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether nothing follows it.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Failed => true,
            Self::Queued | Self::Downloading | Self::Processing => false,
        }
    }
}

impl JobInput {
    /// The stage that does it.
    pub fn job_type(&self) -> JobType {
        match self {
            Self::Download { .. } => JobType::Download,
            Self::Processing { .. } => JobType::Processing,
            Self::Analysis { .. } => JobType::Analysis,
        }
    }
}

impl Job {
    /// The lease of the running try, if one runs.
    pub fn lease(&self) -> Option<Lease> {
        self.lease_token.map(|token| Lease { job: self.id, token })
    }
}

/// The row behind a [`Job`].
#[derive(sqlx::FromRow)]
pub(super) struct JobRow {
    id: JobId,
    user_id: UserId,
    track_id: TrackId,
    job_type: String,
    status: String,
    progress: i64,
    message: String,
    input: String,
    result: Option<String>,
    error: Option<String>,
    next_job_id: Option<JobId>,
    attempt: i64,
    max_attempts: i64,
    run_at: Moment,
    lease_token: Option<LeaseToken>,
    lease_until: Option<Moment>,
    revision: i64,
    created_at: Moment,
    updated_at: Moment,
    finished_at: Option<Moment>,
}

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            user_id: row.user_id,
            track_id: row.track_id,
            job_type: JobType::of_name(&row.job_type).ok_or_else(|| unknown("job type", &row.job_type))?,
            status: JobStatus::of_name(&row.status).ok_or_else(|| unknown("job status", &row.status))?,
            progress: u8::try_from(row.progress.clamp(0, 100)).unwrap_or_default(),
            message: row.message,
            input: from_json("job input", &row.input)?,
            result: row.result.as_deref().map(|result| from_json("job result", result)).transpose()?,
            error: row.error,
            next_job_id: row.next_job_id,
            attempt: u32::try_from(row.attempt).unwrap_or_default(),
            max_attempts: u32::try_from(row.max_attempts).unwrap_or_default(),
            run_at: row.run_at,
            lease_token: row.lease_token,
            lease_until: row.lease_until,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
            finished_at: row.finished_at,
        })
    }
}

pub(super) fn to_json(what: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Stored { what, source })
}

fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Stored { what, source })
}

fn unknown(what: &'static str, name: &str) -> StoreError {
    StoreError::Stored { what, source: serde::de::Error::custom(format!("unknown name {name:?}")) }
}
