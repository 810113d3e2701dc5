//! The second stage: one track becomes four stems, and a ZIP of them.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use sound_forge_audio::decode::{Limits, probe_and_decode};
use sound_forge_audio::encode::{self, Encoding};
use sound_forge_audio::stems::{self, Stems};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::data_dir::TempFolder;
use crate::queue::{Finished, Job, Progress, StageResult, Stopped, WorkError, WorkOutput};
use crate::store::NewStem;

use super::watch::Watch;
use super::{Pipeline, of_decode, of_disk, of_encode, on_thread};

/// The ZIP of all stems.
const ARCHIVE: &str = "stems.zip";
/// A ZIP longer than this needs its large form.
const LARGE: u64 = u32::MAX as u64;

impl Pipeline {
    pub(super) async fn process(&self, job: &Job, progress: Progress) -> Result<WorkOutput, WorkError> {
        let audio = self.audio_of(job.track_id).await?;
        let folder = self.folder_for(job)?;
        on_thread(move || {
            let stems = separate(&audio, &progress)?;
            let files = write_stems(&stems, &folder, &progress)?;
            drop(stems);
            let file_size = write_archive(&folder, &files).map_err(|error| of_disk(&error))?;
            progress.check()?;
            let finished =
                Finished { file: ARCHIVE.to_owned(), file_size, result: StageResult::Processing(files) };
            Ok(WorkOutput { folder, finished })
        })
        .await
    }
}

fn separate(path: &Path, progress: &Progress) -> Result<Stems, WorkError> {
    let mut watch = Watch { progress, message: "Reading audio...", from: 0.0, to: 0.1 };
    let decoded = probe_and_decode(path, &Limits::default(), &mut watch).map_err(of_decode)?;
    let mut watch = Watch { progress, message: "Separating stems...", from: 0.1, to: 0.75 };
    Ok(stems::separate(&decoded.audio, &mut watch).map_err(|_| Stopped)?)
}

fn write_stems(stems: &Stems, folder: &TempFolder, progress: &Progress) -> Result<Vec<NewStem>, WorkError> {
    let share = 0.25 / 4.0;
    let mut files = Vec::new();
    for (place, (stem, audio)) in stems.iter().enumerate() {
        let from = 0.75 + share * place as f64;
        let mut watch = Watch { progress, message: "Writing stems...", from, to: from + share };
        let file = format!("{}.flac", stem.name());
        let written = encode::write(&folder.file(&file), audio, Encoding::Flac24, &mut watch);
        let file_size = written.map_err(of_encode)?;
        files.push(NewStem { stem: stem.name().to_owned(), file, file_size });
    }
    Ok(files)
}

/// FLAC does not shrink any further, so the ZIP only holds the files together.
fn write_archive(folder: &TempFolder, stems: &[NewStem]) -> io::Result<u64> {
    let path = folder.file(ARCHIVE);
    let mut archive = zip::ZipWriter::new(File::create(&path)?);
    for stem in stems {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(stem.file_size > LARGE);
        archive.start_file(&stem.file, options)?;
        io::copy(&mut File::open(folder.file(&stem.file))?, &mut archive)?;
    }
    archive.finish()?.sync_all()?;
    Ok(fs::metadata(path)?.len())
}
