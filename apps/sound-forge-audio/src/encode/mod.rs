//! Writing audio files: FLAC and WAV.

mod flac;
mod wav;

use std::{fmt, fs, io, path::Path};

use thiserror::Error;

use crate::{
    audio::Audio,
    progress::{Cancelled, Progress, Span},
};

/// Frames handled at once while encoding.
const BLOCK: usize = 4_096;

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
    let written = match encoding {
        Encoding::Flac16 | Encoding::Flac24 => flac::write(path, audio, encoding, &mut span),
        Encoding::Wav16 | Encoding::Wav24 | Encoding::WavFloat => {
            wav::write(path, audio, encoding, &mut span)
        }
    };
    let length = written.and_then(|()| fs::metadata(path).map_err(EncodeError::Write));
    if length.is_err() {
        // The error that led here matters more than one of the removal.
        let _ = fs::remove_file(path);
    }
    length.map(|metadata| metadata.len())
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
        for encoding in [
            Encoding::Flac16,
            Encoding::Flac24,
            Encoding::Wav16,
            Encoding::Wav24,
            Encoding::WavFloat,
        ] {
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
