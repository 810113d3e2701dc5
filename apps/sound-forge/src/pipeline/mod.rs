//! The three stages: bringing audio in, splitting it, measuring it.
//!
//! A stage works in a folder of its own and returns what it made; when and how often it runs, and
//! how its result becomes visible, is the queue's business.

mod analysis;
mod download;
mod processing;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sound_forge_audio::decode::{Container, DecodeError, MIN_BYTES};
use thiserror::Error;

use crate::data_dir::{DataDir, Known, TempFolder};
use crate::ids::{LeaseToken, TrackId};
use crate::providers::{Providers, Source};
use crate::queue::{Failure, Job, JobInput, Progress, Queue, Stopped, Work, WorkError, WorkOutput};
use crate::store::{OutputKind, Store};

/// The engine that splits tracks when none is named.
pub const DEFAULT_ENGINE: &str = "dsp";

/// A way to split a track into stems.
#[derive(Debug)]
pub struct Engine {
    /// What requests call it.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// What it yields.
    pub stems: [&'static str; 4],
}

/// Every engine there is.
pub const ENGINES: [Engine; 1] = [Engine {
    name: DEFAULT_ENGINE,
    description: "Built in; needs no download. Four stems that add up to the input.",
    stems: ["drums", "bass", "vocals", "other"],
}];

/// Runs the stages of all jobs.
#[derive(Debug)]
pub struct Pipeline {
    store: Store,
    data: DataDir,
    providers: Arc<Providers>,
}

/// Why a file is no audio the studio can use, as far as a glance tells.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It is shorter than any track.
    #[error("has {bytes} bytes, which is too small for a track (at least {MIN_BYTES})")]
    TooSmall {
        /// How many it has.
        bytes: u64,
    },
    /// Its content is not one of the audio formats known.
    #[error("is not audio in a supported format (wav, flac, mp3, ogg vorbis, m4a), whatever its name says")]
    NotAudio,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

/// How much of a file a glance reads.
const GLANCE_BYTES: u64 = 64 * 1024;

/// Looks at the first bytes of a file, as the download stage will look at all of them.
pub fn glance(path: &Path) -> Result<Container, Unusable> {
    use std::io::Read as _;

    let file = std::fs::File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes < MIN_BYTES {
        return Err(Unusable::TooSmall { bytes });
    }
    let mut head = Vec::new();
    file.take(GLANCE_BYTES).read_to_end(&mut head)?;
    Container::sniff(&head).ok_or(Unusable::NotAudio)
}

impl Pipeline {
    /// Stages that read and write here.
    pub fn new(store: Store, data: DataDir, providers: Arc<Providers>) -> Self {
        Self { store, data, providers }
    }

    /// The audio of a track.
    async fn audio_of(&self, track: TrackId) -> Result<PathBuf, WorkError> {
        let output = self.store.track_output(track, OutputKind::Downloads).await.map_err(of_store)?;
        let output = output.ok_or_else(|| permanent("the track has no audio"))?;
        Ok(self.data.output(OutputKind::Downloads, output.id).join(output.file))
    }

    fn folder_for(&self, job: &Job) -> Result<TempFolder, WorkError> {
        let token = job.lease_token.ok_or(Stopped)?;
        self.data.temp_folder(token).map_err(|error| of_disk(&error))
    }

    /// The names that the database knows, for the sweep.
    async fn known(&self, queue: &Queue) -> anyhow::Result<Known> {
        let mut known = Known::default();
        for job in queue.live_jobs().await? {
            known.tries.extend(job.lease_token.map(|token| token.to_string()));
            if let JobInput::Download { source: Source::Upload { name } } = job.input {
                known.uploads.insert(name);
            }
        }
        for kind in OutputKind::ALL {
            let folders = queue.store().output_folders(kind).await?;
            known.outputs.extend(folders.into_iter().map(|id| (kind, id.to_string())));
        }
        Ok(known)
    }

    /// Removes what earlier runs of the server left half done. Only while no work goes on, unless
    /// other nodes have the same folder: then what is young may be theirs.
    pub async fn sweep_at_start(&self, queue: &Queue) -> anyhow::Result<()> {
        let known = self.known(queue).await?;
        Ok(self.data.sweep(&known, !self.store.engine().is_shared())?)
    }
}

/// The stages, shared by all workers.
#[derive(Debug, Clone)]
pub struct Stages(pub Arc<Pipeline>);

impl Work for Stages {
    fn perform(&self, job: Job, progress: Progress) -> BoxFuture<'static, Result<WorkOutput, WorkError>> {
        let pipeline = self.0.clone();
        Box::pin(async move {
            match job.input.clone() {
                JobInput::Download { source } => pipeline.download(&job, source, progress).await,
                JobInput::Processing { .. } => pipeline.process(&job, progress).await,
                JobInput::Analysis { features } => pipeline.analyse(&job, features, progress).await,
            }
        })
    }

    fn publish(&self, output: &WorkOutput, kind: OutputKind, token: LeaseToken) -> std::io::Result<()> {
        self.0.data.publish(&output.folder, kind, token)
    }

    fn remove(&self, kind: OutputKind, token: LeaseToken) {
        self.0.data.remove(kind, token);
    }

    fn ended(&self, job: &Job) {
        self.0.ended(job);
    }

    fn sweep<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let known = self.0.known(queue).await?;
            Ok(self.0.data.sweep(&known, false)?)
        })
    }
}

impl Pipeline {
    /// Removes what a job left lying about that ended for good.
    pub fn ended(&self, job: &Job) {
        if let JobInput::Download { source: Source::Upload { name } } = &job.input {
            self.data.remove_upload(name);
        }
    }
}

/// Runs CPU work on a thread of its own; a panic there becomes one here, and so a failed try.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkError> + Send + 'static,
) -> Result<T, WorkError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Stopped.into()),
        },
    }
}

fn permanent(reason: impl Into<String>) -> WorkError {
    WorkError::Failed(Failure::permanent(reason))
}

fn of_disk(error: &std::io::Error) -> WorkError {
    WorkError::Failed(Failure::of_io("the studio's disk failed", error))
}

fn of_store(error: crate::store::StoreError) -> WorkError {
    WorkError::Failed(Failure::transient(error.to_string()))
}

/// What is wrong with a file stays wrong; what is wrong with the disk may pass.
fn of_decode(error: DecodeError) -> WorkError {
    match error {
        DecodeError::Cancelled(_) => Stopped.into(),
        DecodeError::Read(error) => of_disk(&error),
        error => permanent(error.to_string()),
    }
}

fn of_encode(error: sound_forge_audio::encode::EncodeError) -> WorkError {
    use sound_forge_audio::encode::EncodeError;

    match error {
        EncodeError::Cancelled(_) => Stopped.into(),
        EncodeError::Write(error) => of_disk(&error),
        error => permanent(error.to_string()),
    }
}
