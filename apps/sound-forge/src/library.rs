//! A user's wishes: bring this in, take that apart, forget it. Everything a handler may ask for.

use std::sync::Arc;

use sound_forge_audio::analysis::Feature;
use thiserror::Error;

use crate::data_dir::{DataDir, TempFile, content_hash};
use crate::ids::{JobId, LeaseToken, TrackId, UserId};
use crate::pipeline::{Pipeline, Unusable, glance};
use crate::providers::{Providers, Source, SourceError, title_of};
use crate::queue::{Enqueued, Job, JobInput, NewJob, Queue};
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
        let Kept { name, hash } = kept.await.map_err(std::io::Error::other)??;
        let track = NewTrack { user_id: user, title, source_url: format!("upload:{hash}") };
        let source = Source::Upload { name: name.clone() };
        let enqueued = self.queue.enqueue_download(&track, JobInput::Download { source }).await;
        // The job that was there has a file of its own.
        if !enqueued.as_ref().is_ok_and(|enqueued| enqueued.is_new) {
            self.data.remove_upload(&name);
        }
        Ok(enqueued?)
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
        features: Vec<Feature>,
    ) -> Result<Enqueued, LibraryError> {
        self.enqueue(user, track, JobInput::Analysis { features }).await
    }

    async fn enqueue(&self, user: UserId, track: TrackId, input: JobInput) -> Result<Enqueued, LibraryError> {
        let store = self.queue.store();
        store.track(user, track).await?.ok_or(LibraryError::NotFound)?;
        store.track_output(track, OutputKind::Downloads).await?.ok_or(LibraryError::NoAudio)?;
        let enqueued = self.queue.enqueue(&NewJob { user_id: user, track_id: track, input }).await?;
        enqueued.ok_or(LibraryError::NotFound)
    }

    /// Cancels a job; it is over when this returns.
    pub async fn cancel(&self, user: UserId, job: JobId) -> Result<Job, LibraryError> {
        let job = self.queue.cancel(user, job).await?.ok_or(LibraryError::NotFound)?;
        self.pipeline.ended(&job);
        Ok(job)
    }

    /// Removes a track with all that belongs to it.
    pub async fn delete(&self, user: UserId, track: TrackId) -> Result<(), LibraryError> {
        let deleted = self.queue.delete_track(user, track).await?.ok_or(LibraryError::NotFound)?;
        deleted.cancelled.iter().for_each(|job| self.pipeline.ended(job));
        deleted.folders.into_iter().for_each(|(kind, id)| self.data.remove(kind, id));
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

/// An uploaded file that waits for its job.
struct Kept {
    /// Its name below `uploads/`.
    name: String,
    /// The hash of its content, by which a second upload of it is recognised.
    hash: String,
}

fn keep(data: &DataDir, file: &TempFile) -> Result<Kept, LibraryError> {
    glance(file.path())?;
    let kept = Kept { name: LeaseToken::random().to_string(), hash: content_hash(file.path())? };
    data.keep_upload(file, &kept.name)?;
    Ok(kept)
}
