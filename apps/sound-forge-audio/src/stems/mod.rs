//! Stems.
use crate::audio::Audio;
use std::fmt;

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
        Stem::ALL.into_iter().zip([&self.drums, &self.bass, &self.vocals, &self.other])
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
