//! The second stage: one track becomes four stems, and a ZIP of them.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use sound_forge_audio::decode::{Limits, probe_and_decode};
use sound_forge_audio::encode::Encoding;
use sound_forge_audio::stems::{StemFile, separate_to_files};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::data_dir::TempFolder;
use crate::queue::{Finished, Job, Progress, StageResult, WorkError, WorkOutput};
use crate::store::NewStem;

use super::watch::Watch;
use super::{Pipeline, of_decode, of_disk, of_encode, on_thread, permanent};

/// The ZIP of all stems.
const ARCHIVE: &str = "stems.zip";
/// Deep enough that the four add up to the input.
const ENCODING: Encoding = Encoding::Flac24;
/// A file longer than this needs the large form of a ZIP.
const LARGE: u64 = u32::MAX as u64;

impl Pipeline {
    pub(super) async fn process(&self, job: &Job, progress: Progress) -> Result<WorkOutput, WorkError> {
        let audio = self.audio_of(job.track_id).await?;
        let folder = self.folder_for(job)?;
        on_thread(move || {
            let files = separate(&audio, &folder, &progress)?;
            let file_size = write_archive(&folder, &files).map_err(|error| of_disk(&error))?;
            progress.check()?;
            let finished =
                Finished { file: ARCHIVE.to_owned(), file_size, result: StageResult::Processing(files) };
            Ok(WorkOutput { folder, finished })
        })
        .await
    }
}

fn separate(path: &Path, folder: &TempFolder, progress: &Progress) -> Result<Vec<NewStem>, WorkError> {
    let mut watch = Watch { progress, message: "Reading audio...", from: 0.0, to: 0.1 };
    let decoded = probe_and_decode(path, &Limits::default(), &mut watch).map_err(of_decode)?;
    let mut watch = Watch { progress, message: "Separating stems...", from: 0.1, to: 1.0 };
    let files = separate_to_files(&decoded.audio, folder.path(), ENCODING, &mut watch).map_err(of_encode)?;
    files.iter().map(recorded).collect()
}

fn recorded(file: &StemFile) -> Result<NewStem, WorkError> {
    let name = file.path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| permanent("a stem was written under no name"))?;
    Ok(NewStem { stem: file.stem.name().to_owned(), file: name.to_owned(), file_size: file.bytes })
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
