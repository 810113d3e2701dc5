//! Splitting a track into drums, bass, vocals and the rest.
//!
//! The four stems of a track add up to it: what one loses another gains.
//!
//! ```
//! use sound_forge_audio::{Unwatched, stems::separate, synth::{self, DemoSpec}};
//!
//! let spec = DemoSpec::parse("demo:techno?seconds=5")?;
//! let track = synth::render_mix(&spec, &mut Unwatched)?;
//! let stems = separate(&track, &mut Unwatched)?;
//! let sum = stems.sum();
//! assert!((sum.channels[0][44_100] - track.channels[0][44_100]).abs() < 1e-4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod files;
mod masks;
mod separator;

use std::fmt;

pub use self::files::{StemFile, separate_to_files, write};

use self::separator::Separator;
use crate::{
    audio::Audio,
    progress::{Cancelled, Progress, Span},
};

/// One of the four stems of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stem {
    /// Everything struck.
    Drums,
    /// The lowest line.
    Bass,
    /// The voice, or a lead that takes its place.
    Vocals,
    /// All else.
    Other,
}

impl Stem {
    /// Every stem, in the order in which they are added up.
    pub const ALL: [Self; 4] = [Self::Drums, Self::Bass, Self::Vocals, Self::Other];

    /// The name, as used for files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drums => "drums",
            Self::Bass => "bass",
            Self::Vocals => "vocals",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The four stems of a track: same rate, channels and length, adding up to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stems {
    /// Everything struck.
    pub drums: Audio,
    /// The lowest line.
    pub bass: Audio,
    /// The voice, or a lead that takes its place.
    pub vocals: Audio,
    /// All else.
    pub other: Audio,
}

impl Stems {
    /// The stems with their names, in the order of [`Stem::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Stem, &Audio)> {
        Stem::ALL.into_iter().map(|stem| (stem, self.stem(stem)))
    }

    /// One stem.
    pub fn stem(&self, stem: Stem) -> &Audio {
        match stem {
            Stem::Drums => &self.drums,
            Stem::Bass => &self.bass,
            Stem::Vocals => &self.vocals,
            Stem::Other => &self.other,
        }
    }

    /// All stems added up.
    pub fn sum(&self) -> Audio {
        let first = &self.drums;
        let mut sum = Audio::silence(first.sample_rate, first.channels.len(), first.frames());
        for (_, audio) in self.iter() {
            sum.add(audio);
        }
        sum
    }
}

/// Splits a track, and keeps the stems in memory: four times the track. For
/// long tracks there is [`separate_to_files`], which needs some 20 MB besides.
///
/// A median filter along time keeps what lasts, one along frequency what is
/// struck (FitzGerald 2010). Of what lasts, the lows are the bass; what sounds
/// from the centre of a stereo track in the range of a voice is the vocals; the
/// remainder is the rest. Mono tracks have no centre, so their vocals are
/// silent.
///
/// # Errors
///
/// [`Cancelled`] when `progress` asked for it.
pub fn separate(audio: &Audio, progress: &mut dyn Progress) -> Result<Stems, Cancelled> {
    let mut span = Span::whole(progress);
    let empty = || Audio::silence(audio.sample_rate, audio.channels.len(), 0);
    let mut stems = Stem::ALL.map(|_| empty());
    let mut separator = Separator::new(audio);
    while let Some(block) = separator.next_block() {
        for (stem, planes) in stems.iter_mut().zip(&block) {
            for (channel, plane) in stem.channels.iter_mut().zip(planes) {
                channel.extend_from_slice(plane);
            }
        }
        span.at(separator.progress())?;
    }
    let [drums, bass, vocals, other] = stems;
    Ok(Stems { drums, bass, vocals, other })
}

#[cfg(test)]
mod tests;
