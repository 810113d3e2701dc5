//! A user's wishes: bring this in, take that apart, forget it. Everything a handler may ask for.

use std::sync::Arc;

use thiserror::Error;

use crate::data_dir::{DataDir, TempFile, content_hash};
use crate::ids::{JobId, TrackId, UserId};
use crate::pipeline::{Pipeline, Unusable};
use crate::providers::{Providers, Source, SourceError, title_of};
use crate::queue::{Enqueued, Job, JobInput, NewJob, Queue, Work as _};
use crate::store::{NewTrack, OutputKind, StoreError};

/// The libraries of all users. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Library {
    queue: Queue,
    data: DataDir,
    providers: Arc<Providers>,
    pipeline: Arc<Pipeline>,
}

/// Why a wish was not granted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// There is no such thing in this user's library.
    #[error("not found")]
    NotFound,
    /// The URL cannot be downloaded.
    #[error("the URL {0}")]
    Source(#[from] SourceError),
    /// The uploaded file is no audio the studio can use.
    #[error("the file {0}")]
    Upload(#[from] Unusable),
    /// The track has no audio yet.
    #[error("the track has no audio yet: wait for its download to complete")]
    NoAudio,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk failed.
    #[error("the file could not be stored: {0}")]
    Disk(#[from] std::io::Error),
}

impl Library {
    /// The libraries in a database and a data folder.
    pub fn new(queue: Queue, data: DataDir, providers: Arc<Providers>, pipeline: Arc<Pipeline>) -> Self {
        Self { queue, data, providers, pipeline }
    }

    /// Downloads a URL.
    pub async fn download(
        &self,
        user: UserId,
        url: &str,
        quality: Option<&str>,
    ) -> Result<Enqueued, LibraryError> {
        let wanted = self.providers.understand(url, quality)?;
        let track = NewTrack { user_id: user, title: wanted.title, source_url: wanted.canonical_url };
        Ok(self.queue.enqueue_download(&track, JobInput::Download { source: wanted.source }).await?)
    }

    /// Takes in a file that was sent. Its name becomes the title and nothing else.
    pub async fn upload(&self, user: UserId, file: TempFile, name: &str) -> Result<Enqueued, LibraryError> {
        let (data, title) = (self.data.clone(), title_of(name));
        let kept = tokio::task::spawn_blocking(move || keep(&data, &file));
        let name = kept.await.map_err(std::io::Error::other)??;
        // The same file from two users is one file on the way in, but two tracks.
        let track = NewTrack { user_id: user, title, source_url: format!("upload:{name}") };
        let source = Source::Upload { name: name.clone() };
        Ok(self.queue.enqueue_download(&track, JobInput::Download { source }).await?)
    }

    /// Splits a track into stems.
    pub async fn separate(
        &self,
        user: UserId,
        track: TrackId,
        engine: String,
    ) -> Result<Enqueued, LibraryError> {
        self.enqueue(user, track, JobInput::Processing { engine, follow_up: false }).await
    }

    /// Measures a track.
    pub async fn analyse(
        &self,
        user: UserId,
        track: TrackId,
        features: Vec<String>,
    ) -> Result<Enqueued, LibraryError> {
        self.enqueue(user, track, JobInput::Analysis { features }).await
    }

    async fn enqueue(&self, user: UserId, track: TrackId, input: JobInput) -> Result<Enqueued, LibraryError> {
        let store = self.queue.store();
        store.track(user, track).await?.ok_or(LibraryError::NotFound)?;
        store.track_output(track, OutputKind::Downloads).await?.ok_or(LibraryError::NoAudio)?;
        Ok(self.queue.enqueue(&NewJob { user_id: user, track_id: track, input }).await?)
    }

    /// Cancels a job; it is over when this returns.
    pub async fn cancel(&self, user: UserId, job: JobId) -> Result<Job, LibraryError> {
        let job = self.queue.cancel(user, job).await?.ok_or(LibraryError::NotFound)?;
        self.pipeline.ended(&job);
        Ok(job)
    }

    /// Removes a track with all that belongs to it.
    pub async fn delete(&self, user: UserId, track: TrackId) -> Result<(), LibraryError> {
        let folders = self.queue.delete_track(user, track).await?.ok_or(LibraryError::NotFound)?;
        for (kind, id) in folders {
            self.data.remove(kind, id);
        }
        Ok(())
    }

    /// What runs the jobs.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Where the files are.
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// The largest file that is let in.
    pub fn max_upload(&self) -> u64 {
        self.providers.max_bytes
    }
}

/// Looks into a file and keeps it, named by its content.
fn keep(data: &DataDir, file: &TempFile) -> Result<String, LibraryError> {
    crate::pipeline::glance(file.path())?;
    let name = content_hash(file.path())?;
    data.keep_upload(file, &name)?;
    Ok(name)
}
