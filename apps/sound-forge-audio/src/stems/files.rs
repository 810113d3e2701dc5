//! Stems as files.

use std::path::{Path, PathBuf};

use super::{Stem, Stems, separator::Separator};
use crate::{
    audio::Audio,
    encode::{self, EncodeError, Encoding, Writer},
    progress::{Progress, Span},
};

/// A stem that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StemFile {
    /// Which stem it is.
    pub stem: Stem,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Writes stems as `drums.flac`, `bass.flac` and so on into an existing folder.
///
/// # Errors
///
/// As of [`encode::write`]; then no stem of this call is left in the folder.
pub fn write(
    stems: &Stems,
    folder: &Path,
    encoding: Encoding,
    progress: &mut dyn Progress,
) -> Result<Vec<StemFile>, EncodeError> {
    let mut span = Span::whole(progress);
    let mut files = Files::create(&stems.drums, folder, encoding)?;
    let frames = stems.drums.frames();
    for start in (0..frames).step_by(encode::BLOCK) {
        span.step(start, frames)?;
        let end = frames.min(start + encode::BLOCK);
        for (writer, (_, audio)) in files.writers.iter_mut().zip(stems.iter()) {
            let planes: Vec<&[f32]> = audio.channels.iter().map(|channel| &channel[start..end]).collect();
            writer.push(&planes)?;
        }
    }
    let files = files.finish()?;
    span.at(1.0)?;
    Ok(files)
}

/// Splits a track like [`separate`](super::separate) straight into files, with
/// some 20 MB of memory besides the track, however long it is.
///
/// # Errors
///
/// As of [`encode::write`]; then no stem of this call is left in the folder.
pub fn separate_to_files(
    audio: &Audio,
    folder: &Path,
    encoding: Encoding,
    progress: &mut dyn Progress,
) -> Result<Vec<StemFile>, EncodeError> {
    let mut span = Span::whole(progress);
    let mut files = Files::create(audio, folder, encoding)?;
    let mut separator = Separator::new(audio);
    while let Some(block) = separator.next_block() {
        for (writer, planes) in files.writers.iter_mut().zip(&block) {
            let planes: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
            writer.push(&planes)?;
        }
        span.at(separator.progress())?;
    }
    files.finish()
}

/// The four files while they are written; those unfinished vanish when dropped.
struct Files {
    paths: Vec<PathBuf>,
    writers: Vec<Writer>,
}

impl Files {
    fn create(audio: &Audio, folder: &Path, encoding: Encoding) -> Result<Self, EncodeError> {
        let name = |stem: Stem| folder.join(format!("{stem}.{}", encoding.extension()));
        let paths: Vec<PathBuf> = Stem::ALL.into_iter().map(name).collect();
        let create = |path: &PathBuf| Writer::create(path, audio.sample_rate, audio.channels.len(), encoding);
        Ok(Self { writers: paths.iter().map(create).collect::<Result<_, _>>()?, paths })
    }

    fn finish(self) -> Result<Vec<StemFile>, EncodeError> {
        let mut files: Vec<StemFile> = Vec::new();
        for ((stem, path), writer) in Stem::ALL.into_iter().zip(self.paths).zip(self.writers) {
            match writer.finish() {
                Ok(bytes) => files.push(StemFile { stem, path, bytes }),
                Err(error) => {
                    for file in &files {
                        // The error that led here matters more.
                        let _ = std::fs::remove_file(&file.path);
                    }
                    return Err(error);
                }
            }
        }
        Ok(files)
    }
}
