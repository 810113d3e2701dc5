//! Writing audio files: FLAC and WAV.

mod flac;
mod wav;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    audio::Audio,
    progress::{Cancelled, Progress, Span},
};

/// Frames handled at once while encoding.
pub(crate) const BLOCK: usize = 4_096;

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// FLAC with 16 bits a sample.
    Flac16,
    /// FLAC with 24 bits a sample.
    Flac24,
    /// WAV with 16-bit integers.
    Wav16,
    /// WAV with 24-bit integers.
    Wav24,
    /// WAV with 32-bit floats, which keep what is above full scale.
    WavFloat,
}

impl Encoding {
    /// The file name extension, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Flac16 | Self::Flac24 => "flac",
            Self::Wav16 | Self::Wav24 | Self::WavFloat => "wav",
        }
    }

    /// Bits of a stored sample.
    pub fn bits(self) -> u16 {
        match self {
            Self::Flac16 | Self::Wav16 => 16,
            Self::Flac24 | Self::Wav24 => 24,
            Self::WavFloat => 32,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-bit {}", self.bits(), self.extension())
    }
}

/// Why audio could not be written.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The file could not be written; a full disk shows here.
    #[error("cannot write the file")]
    Write(#[source] io::Error),
    /// The format cannot hold this audio.
    #[error("{encoding} cannot hold {channels} channels at {sample_rate} hertz")]
    Unsupported {
        /// The encoding asked for.
        encoding: Encoding,
        /// The audio's channels.
        channels: usize,
        /// The audio's sample rate in hertz.
        sample_rate: u32,
    },
    /// The watcher asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// A file being written. Dropped before [`finish`](Self::finish), it vanishes:
/// nothing half-written is left.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    /// `None` once the file is finished.
    format: Option<Format>,
}

#[derive(Debug)]
enum Format {
    Flac(Box<flac::FlacWriter>),
    Wav(wav::WavFile),
}

impl Writer {
    /// Starts a file of `channels` channels (1 to 8) at `sample_rate` hertz. An
    /// existing file is replaced.
    ///
    /// # Errors
    ///
    /// When the file cannot be made, or the format cannot hold such audio.
    pub fn create(
        path: &Path,
        sample_rate: u32,
        channels: usize,
        encoding: Encoding,
    ) -> Result<Self, EncodeError> {
        if sample_rate == 0 || !(1..=8).contains(&channels) {
            return Err(EncodeError::Unsupported { encoding, channels, sample_rate });
        }
        let format = match encoding {
            Encoding::Flac16 | Encoding::Flac24 => {
                Format::Flac(Box::new(flac::FlacWriter::create(path, sample_rate, channels, encoding)?))
            }
            Encoding::Wav16 | Encoding::Wav24 | Encoding::WavFloat => {
                Format::Wav(wav::WavFile::create(path, sample_rate, channels, encoding)?)
            }
        };
        Ok(Self { path: path.to_owned(), format: Some(format) })
    }

    /// Appends frames: one slice per channel, all of the same length. Samples
    /// beyond full scale are limited to it, except in floats.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn push(&mut self, planes: &[&[f32]]) -> Result<(), EncodeError> {
        match &mut self.format {
            Some(Format::Flac(flac)) => flac.push(planes),
            Some(Format::Wav(wav)) => wav.push(planes),
            None => Ok(()),
        }
    }

    /// Completes the file and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; it is removed then.
    pub fn finish(mut self) -> Result<u64, EncodeError> {
        let finished = match self.format.take() {
            Some(Format::Flac(flac)) => flac.finish(),
            Some(Format::Wav(wav)) => wav.finish(),
            None => Ok(()),
        };
        let length = finished.and_then(|()| fs::metadata(&self.path).map_err(EncodeError::Write));
        if length.is_err() {
            self.remove();
        }
        length.map(|metadata| metadata.len())
    }

    fn remove(&self) {
        // Whatever error led here matters more than one of the removal.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.format.take().is_some() {
            self.remove();
        }
    }
}

/// Writes audio to a file and returns the file's length in bytes.
///
/// Samples beyond full scale are limited to it, except in floats. An existing
/// file is replaced. Memory stays small: blocks are written as they are made.
///
/// # Errors
///
/// See [`EncodeError`]. On any error the file is removed again.
pub fn write(
    path: &Path,
    audio: &Audio,
    encoding: Encoding,
    progress: &mut dyn Progress,
) -> Result<u64, EncodeError> {
    let mut span = Span::whole(progress);
    let mut writer = Writer::create(path, audio.sample_rate, audio.channels.len(), encoding)?;
    for start in (0..audio.frames()).step_by(BLOCK) {
        span.step(start, audio.frames())?;
        let end = audio.frames().min(start + BLOCK);
        let planes: Vec<&[f32]> = audio.channels.iter().map(|channel| &channel[start..end]).collect();
        writer.push(&planes)?;
    }
    let bytes = writer.finish()?;
    span.at(1.0)?;
    Ok(bytes)
}

/// A sample as an integer of `bits` bits, rounded and limited.
fn quantised(sample: f32, bits: u16) -> i32 {
    let scale = f64::from(1_u32 << (bits - 1));
    // A sample that is no number becomes 0 by the cast.
    (f64::from(sample) * scale).round().clamp(-scale, scale - 1.0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decode::{Limits, probe_and_decode},
        progress::Unwatched,
    };

    fn tone(channels: usize, rate: u32, frames: usize) -> Audio {
        let step = 440.0 * std::f32::consts::TAU / rate as f32;
        let channel = |shift: usize| (0..frames).map(move |i| ((i + shift) as f32 * step).sin() * 0.5);
        Audio::new(rate, (0..channels).map(|n| channel(n * 10).collect()).collect())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        for encoding in
            [Encoding::Flac16, Encoding::Flac24, Encoding::Wav16, Encoding::Wav24, Encoding::WavFloat]
        {
            for (channels, rate, frames) in [(1, 44_100, 9_001), (2, 48_000, 4_096 * 2 + 5)] {
                let audio = tone(channels, rate, frames);
                let path = folder.path().join("tone");
                let bytes = write(&path, &audio, encoding, &mut Unwatched).unwrap();
                assert_eq!(bytes, fs::metadata(&path).unwrap().len());
                let back = probe_and_decode(&path, &Limits::default(), &mut Unwatched)
                    .unwrap_or_else(|error| panic!("{encoding}: {error}"))
                    .audio;
                assert_eq!((back.sample_rate, back.frames()), (rate, frames), "{encoding}");
                let step = if encoding.bits() == 16 { 1.0 / 32_768.0 } else { 1e-6 };
                for (a, b) in audio.channels.iter().flatten().zip(back.channels.iter().flatten()) {
                    assert!((a - b).abs() <= step, "{encoding} {a} {b}");
                }
            }
        }
    }

    #[test]
    fn overflow_is_limited() {
        assert_eq!(quantised(2.0, 16), 32_767);
        assert_eq!(quantised(-2.0, 16), -32_768);
        assert_eq!(quantised(f32::NAN, 24), 0);
    }

    #[test]
    fn a_cancelled_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone");
        let mut watcher = |_: f64| std::ops::ControlFlow::Break(());
        for encoding in [Encoding::Flac24, Encoding::Wav16] {
            let result = write(&path, &tone(2, 44_100, 44_100), encoding, &mut watcher);
            assert!(matches!(result, Err(EncodeError::Cancelled(_))));
            assert!(!path.exists());
        }
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd");
        for audio in [Audio::default(), Audio::silence(44_100, 9, 10), Audio::silence(0, 2, 10)] {
            let result = write(&path, &audio, Encoding::Flac24, &mut Unwatched);
            assert!(matches!(result, Err(EncodeError::Unsupported { .. })), "{audio:?}");
        }
    }
}
