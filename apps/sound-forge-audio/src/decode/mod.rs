//! Turning files into [`Audio`]: wav, flac, mp3, ogg vorbis, and m4a (AAC or ALAC).
//!
//! What a file is, its content says; its name is never looked at. Files are
//! hostile until decoded: nothing is allocated on the word of a header, lengths
//! are limited, and a panic of the decoder becomes an error.
//!
//! ```no_run
//! use sound_forge_audio::{Unwatched, decode::{Limits, probe_and_decode}};
//!
//! let decoded = probe_and_decode("track.flac".as_ref(), &Limits::default(), &mut Unwatched)?;
//! println!("{} of {:.1} s", decoded.container, decoded.audio.duration());
//! # Ok::<(), sound_forge_audio::decode::DecodeError>(())
//! ```

mod container;
mod downmix;
mod packets;

use std::{fs::File, io::Read, path::Path, time::Duration};

use thiserror::Error;

pub use self::container::Container;

use self::packets::Session;
use crate::{
    audio::Audio,
    progress::{Cancelled, Progress, Span},
};

/// Files below this many bytes are refused: no real track is that short.
pub const MIN_BYTES: u64 = 1_024;

/// More channels than this are refused; 3 to 8 are mixed down to two.
pub const MAX_CHANNELS: usize = 8;

/// How much of the start of a file is read to tell what it is.
const HEAD_BYTES: u64 = 64 * 1024;

/// What a file may ask for.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest track, 30 minutes by default.
    pub max_duration: Duration,
    /// The most frames kept, 30 minutes at 48 kHz by default. With two channels
    /// a frame takes 8 bytes, so the default allows about 690 MB.
    pub max_frames: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let minutes = 30;
        Self { max_duration: Duration::from_secs(minutes * 60), max_frames: minutes * 60 * 48_000 }
    }
}

impl Limits {
    /// Sets the longest track.
    pub fn max_duration(mut self, max_duration: Duration) -> Self {
        self.max_duration = max_duration;
        self
    }

    /// Sets the most frames kept (8 bytes each).
    pub fn max_frames(mut self, max_frames: u64) -> Self {
        self.max_frames = max_frames;
        self
    }

    /// The most frames at a sample rate in hertz.
    fn frames(&self, sample_rate: u32) -> u64 {
        let by_time = self.max_duration.as_secs_f64() * f64::from(sample_rate);
        self.max_frames.min(by_time as u64)
    }
}

/// A decoded file.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The audio, in one or two channels.
    pub audio: Audio,
    /// What kind of file it is.
    pub container: Container,
    /// How many channels the file has.
    pub source_channels: usize,
    /// The title from the file's tags.
    pub title: Option<String>,
    /// The artist from the file's tags.
    pub artist: Option<String>,
}

/// Why a file could not be decoded.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The file could not be read.
    #[error("cannot read the file")]
    Read(#[source] std::io::Error),
    /// The file is below [`MIN_BYTES`].
    #[error("the file has {bytes} bytes, which is too small for a track (at least {MIN_BYTES})")]
    TooSmall {
        /// The file's length.
        bytes: u64,
    },
    /// The content is not one of the audio formats known.
    #[error("the file is not audio in a supported format (wav, flac, mp3, ogg vorbis, m4a)")]
    NotAudio,
    /// The format is known, but not what is in it.
    #[error("the {container} file cannot be decoded: {reason}")]
    Unsupported {
        /// The kind of file.
        container: Container,
        /// What is not supported.
        reason: String,
    },
    /// There are more than [`MAX_CHANNELS`] channels.
    #[error("the file has {channels} channels, at most {MAX_CHANNELS} are supported")]
    TooManyChannels {
        /// The file's channels.
        channels: usize,
    },
    /// The track is longer than the limits allow.
    #[error("the track is longer than the {limit} seconds allowed")]
    TooLong {
        /// The longest length allowed, in seconds.
        limit: u64,
    },
    /// The file ends early.
    #[error("the file is truncated: it announces {expected} frames and holds {got}")]
    Truncated {
        /// The frames announced.
        expected: u64,
        /// The frames that could be decoded.
        got: u64,
    },
    /// The content is damaged.
    #[error("the {container} file is damaged: {reason}")]
    Corrupt {
        /// The kind of file.
        container: Container,
        /// What is wrong with it.
        reason: String,
    },
    /// The watcher asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Decodes a file, whatever its name.
///
/// Three to eight channels are mixed down to two. Float samples beyond
/// ±[`MAX_SAMPLE`](crate::audio::MAX_SAMPLE) are limited to that, and those
/// that are no numbers become silence.
///
/// # Errors
///
/// See [`DecodeError`]; files of any content give an error and never a panic.
pub fn probe_and_decode(
    path: &Path,
    limits: &Limits,
    progress: &mut dyn Progress,
) -> Result<Decoded, DecodeError> {
    let mut file = File::open(path).map_err(DecodeError::Read)?;
    let bytes = file.metadata().map_err(DecodeError::Read)?.len();
    if bytes < MIN_BYTES {
        return Err(DecodeError::TooSmall { bytes });
    }
    let mut head = Vec::new();
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(DecodeError::Read)?;
    let container = Container::sniff(&head).ok_or(DecodeError::NotAudio)?;
    if let Some(channels) = container.announced_channels(&head).filter(|n| *n > MAX_CHANNELS) {
        return Err(DecodeError::TooManyChannels { channels });
    }
    Session::open(file, container)?.decode(bytes, limits, &mut Span::whole(progress))
}

#[cfg(test)]
mod tests;
