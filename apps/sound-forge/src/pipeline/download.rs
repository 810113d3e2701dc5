//! The first stage: audio comes in, and is decoded to its end before anybody believes in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sound_forge_audio::decode::{Limits, probe_and_decode};
use sound_forge_audio::encode::{self, Encoding};
use sound_forge_audio::synth::{self, DemoSpec};

use crate::providers::command::Places;
use crate::providers::http::Target;
use crate::providers::{FETCH_SHARE, Source, file};
use crate::queue::{Finished, Job, Progress, StageResult, Stopped, WorkError, WorkOutput};
use crate::store::AudioFacts;

use super::watch::Watch;
use super::{Pipeline, of_decode, of_disk, of_encode, on_thread, permanent};

/// The fetched file, until its content has told its name.
const FETCHED: &str = "fetched";
/// The bytes copied between two looks at whether to go on.
const COPY_BLOCK: usize = 1 << 20;

impl Pipeline {
    pub(super) async fn download(
        &self,
        job: &Job,
        source: Source,
        progress: Progress,
    ) -> Result<WorkOutput, WorkError> {
        let folder = self.folder_for(job)?;
        let fetched = folder.file(FETCHED);
        progress.report(0.0, "Downloading audio...")?;
        match source {
            Source::Demo { url } => self.play(url, fetched.clone(), progress.clone()).await?,
            Source::File { path } => self.import(path, fetched.clone(), progress.clone()).await?,
            Source::Upload { name } => {
                self.copy(self.data.upload(&name), fetched.clone(), progress.clone()).await?
            }
            Source::Http { url } => {
                let target = Target { path: &fetched, max_bytes: self.providers.max_bytes };
                self.providers.http.fetch(&url, target, &progress).await?;
            }
            Source::Command { url, quality } => {
                self.run_tool(&url, &quality, folder.path(), &progress).await?
            }
        }
        let finished = on_thread(move || accept(&fetched, &progress)).await?;
        Ok(WorkOutput { folder, finished })
    }

    async fn play(&self, url: String, target: PathBuf, progress: Progress) -> Result<(), WorkError> {
        on_thread(move || {
            let spec = DemoSpec::parse(&url).map_err(|error| permanent(error.to_string()))?;
            let message = "Playing the demo...";
            let mut watch = Watch { progress: &progress, message, from: 0.0, to: FETCH_SHARE * 0.8 };
            let audio = synth::render_mix(&spec, &mut watch).map_err(|_| Stopped)?;
            let mut watch = Watch { progress: &progress, message, from: FETCH_SHARE * 0.8, to: FETCH_SHARE };
            encode::write(&target, &audio, Encoding::Flac16, &mut watch).map_err(of_encode)?;
            Ok(())
        })
        .await
    }

    async fn import(&self, path: PathBuf, target: PathBuf, progress: Progress) -> Result<(), WorkError> {
        let (import_dir, max_bytes) = (self.providers.import_dir.clone(), self.providers.max_bytes);
        on_thread(move || {
            let file = file::open(&path, import_dir.as_deref());
            let file = file.map_err(|error| permanent(format!("the file {error}")))?;
            copy(file, &target, max_bytes, &progress)
        })
        .await
    }

    async fn copy(&self, path: PathBuf, target: PathBuf, progress: Progress) -> Result<(), WorkError> {
        let max_bytes = self.providers.max_bytes;
        on_thread(move || match fs::File::open(&path) {
            Ok(file) => copy(file, &target, max_bytes, &progress),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(permanent("the uploaded file is gone: upload it again"))
            }
            Err(error) => Err(of_disk(&error)),
        })
        .await
    }

    /// The tool gets a folder of its own, so that what it leaves besides the audio is not published.
    async fn run_tool(
        &self,
        url: &str,
        quality: &str,
        folder: &Path,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        let command = self.providers.command.as_ref();
        let command = command.ok_or_else(|| permanent("the download tool is no longer configured"))?;
        let work = folder.join("tool");
        fs::create_dir(&work).map_err(|error| of_disk(&error))?;
        let made = command.fetch(Places { url, folder: &work, quality }, progress).await?;
        fs::rename(made, folder.join(FETCHED)).map_err(|error| of_disk(&error))?;
        fs::remove_dir_all(&work).map_err(|error| of_disk(&error))
    }
}

fn copy(mut from: fs::File, to: &Path, max_bytes: u64, progress: &Progress) -> Result<(), WorkError> {
    use io::{Read as _, Write as _};

    let length = from.metadata().map_err(|error| of_disk(&error))?.len();
    if length > max_bytes {
        return Err(permanent(format!(
            "the file has more than the {max_bytes} bytes that are let in (--max-upload)"
        )));
    }
    let mut to = fs::File::create(to).map_err(|error| of_disk(&error))?;
    let mut block = vec![0; COPY_BLOCK];
    let mut copied = 0_u64;
    loop {
        let read = from.read(&mut block).map_err(|error| of_disk(&error))?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&block[..read]).map_err(|error| of_disk(&error))?;
        copied += read as u64;
        progress.report(FETCH_SHARE * copied as f64 / length.max(1) as f64, "Copying audio...")?;
    }
}

/// Decodes a fetched file to its end and gives it the name its content deserves.
fn accept(fetched: &Path, progress: &Progress) -> Result<Finished, WorkError> {
    let mut watch = Watch { progress, message: "Checking audio...", from: FETCH_SHARE, to: 1.0 };
    let decoded = probe_and_decode(fetched, &Limits::default(), &mut watch).map_err(of_decode)?;
    let file = format!("audio.{}", decoded.container.extension());
    fs::rename(fetched, fetched.with_file_name(&file)).map_err(|error| of_disk(&error))?;
    let file_size = fs::metadata(fetched.with_file_name(&file)).map_err(|error| of_disk(&error))?.len();
    let facts = AudioFacts {
        format: decoded.container.to_string(),
        sample_rate: decoded.audio.sample_rate,
        channels: u16::try_from(decoded.source_channels).unwrap_or(u16::MAX),
        duration_ms: (decoded.audio.duration() * 1_000.0).round() as u64,
    };
    Ok(Finished { file, file_size, result: StageResult::Download(facts) })
}
