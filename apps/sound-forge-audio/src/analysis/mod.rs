//! Musical facts about a track: tempo and beats, key, loudness, timbre, chroma,
//! and the peaks to draw it by.
//!
//! ```
//! use sound_forge_audio::{Unwatched, analysis::{analyse, Feature}, synth::{self, DemoSpec}};
//!
//! let spec = DemoSpec::parse("demo:house?bpm=126&key=Am&seconds=20")?;
//! let track = synth::render_mix(&spec, &mut Unwatched)?;
//! let analysis = analyse(&track, &[Feature::All], &mut Unwatched)?;
//! assert_eq!(analysis.tempo.map(f64::round), Some(126.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod beats;
mod chroma;
mod correlation;
mod energy;
mod frames;
mod key;
mod loudness;
mod metre;
mod onset;
mod peaks;
mod series;
mod tempo;
mod timbre;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    energy::Energy,
    loudness::{Loudness, SILENCE_LUFS},
    metre::Rhythm,
    peaks::{ZOOMS, Zoom},
    series::{MAX_POINTS, Series},
    timbre::{COEFFICIENTS, Mfcc, Spectral},
};

use self::{chroma::Chromagram, frames::Frames, onset::Onsets, series::rounded};
use crate::{
    audio::Audio,
    progress::{Cancelled, Progress, Span},
};

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// Tempo, beats and metre.
    Tempo,
    /// The key.
    Key,
    /// Energy and loudness.
    Energy,
    /// Spectral centroid, rolloff and zero crossings.
    Spectral,
    /// Mel-frequency cepstral coefficients.
    Mfcc,
    /// Pitch classes.
    Chroma,
    /// Everything.
    All,
}

impl Feature {
    /// Every feature, `All` included.
    pub const EACH: [Self; 7] =
        [Self::Tempo, Self::Key, Self::Energy, Self::Spectral, Self::Mfcc, Self::Chroma, Self::All];

    /// The name used in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tempo => "tempo",
            Self::Key => "key",
            Self::Energy => "energy",
            Self::Spectral => "spectral",
            Self::Mfcc => "mfcc",
            Self::Chroma => "chroma",
            Self::All => "all",
        }
    }

    fn is_in(self, features: &[Self]) -> bool {
        features.iter().any(|feature| *feature == self || *feature == Self::All)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::EACH
            .into_iter()
            .find(|feature| feature.name() == name)
            .ok_or_else(|| UnknownFeature { name: name.chars().take(40).collect() })
    }
}

/// A name that is no [`Feature`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown feature {name:?}; there are tempo, key, energy, spectral, mfcc, chroma, all")]
pub struct UnknownFeature {
    name: String,
}

/// What is known about a track. Parts not asked for, and facts that a track
/// does not have, are `None` and absent from JSON. All numbers are finite.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Analysis {
    /// The length in seconds.
    pub duration: f64,
    /// The sample rate in hertz.
    pub sample_rate: u32,
    /// The tempo in beats per minute, to two decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tempo: Option<f64>,
    /// The beats in seconds, rising.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beats: Vec<f64>,
    /// How sure the tempo is, what else it might be, and the bars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rhythm: Option<Rhythm>,
    /// The key, such as "A minor".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How sure the key is, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_confidence: Option<f64>,
    /// The next best key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_runner_up: Option<String>,
    /// How far the tuning is off A4 = 440 Hz, in cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning_cents: Option<f64>,
    /// Energy and what goes into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
    /// The integrated loudness in LUFS; absent below [`SILENCE_LUFS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loudness_lufs: Option<f64>,
    /// Loudness, its range, and the true peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loudness: Option<Loudness>,
    /// Spectral shape, mean and over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spectral: Option<Spectral>,
    /// MFCCs, mean and over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfcc: Option<Mfcc>,
    /// The mean strength of the 12 pitch classes from C, the largest being 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chroma: Option<[f64; 12]>,
    /// The pitch classes over time, each frame's largest being at most 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chroma_frames: Option<Series<[f64; 12]>>,
    /// The waveform at several zooms, coarse first; always there.
    pub peaks: Vec<Zoom>,
}

/// Analyses a track, looking for `features` (none means all).
///
/// Three minutes take about a second of one core, and memory of some
/// 10 MB a minute besides the track. Any audio gives sensible values: silence
/// and clicks have no tempo and no key.
///
/// # Errors
///
/// [`Cancelled`] when `progress` asked for it.
pub fn analyse(
    audio: &Audio,
    features: &[Feature],
    progress: &mut dyn Progress,
) -> Result<Analysis, Cancelled> {
    let features = if features.is_empty() { &[Feature::All] } else { features };
    let mut span = Span::whole(progress);
    span.at(0.0)?;
    let mono = audio.mono();
    let rate = audio.sample_rate.max(1);
    let mut analysis = Analysis {
        duration: rounded(audio.duration(), 3),
        sample_rate: audio.sample_rate,
        peaks: peaks::zooms(audio, &mono),
        ..Analysis::default()
    };
    let frames = Frames::of(&mono, rate, &mut span.part(0.05, 0.4))?;
    let onsets = Onsets::of(&frames);
    if Feature::Tempo.is_in(features) {
        analysis.add_tempo(&onsets);
    }
    span.at(0.5)?;
    if Feature::Key.is_in(features) || Feature::Chroma.is_in(features) {
        let chromagram = Chromagram::of(&mono, rate, &mut span.part(0.5, 0.7))?;
        analysis.add_pitch(&chromagram, features);
    }
    if Feature::Energy.is_in(features) {
        let loudness = loudness::measure(audio, &mut span.part(0.7, 0.95))?;
        analysis.add_energy(&frames, &onsets, loudness);
    }
    if Feature::Spectral.is_in(features) {
        analysis.spectral = Some(timbre::spectral(&frames));
    }
    if Feature::Mfcc.is_in(features) {
        analysis.mfcc = Some(timbre::mfcc(&frames));
    }
    span.at(1.0)?;
    Ok(analysis)
}

impl Analysis {
    fn add_tempo(&mut self, onsets: &Onsets) {
        let Some(choice) = tempo::choose(onsets) else { return };
        let beats = beats::track(onsets, choice.bpm, self.duration);
        let bpm = beats::tempo_of(&beats).unwrap_or(choice.bpm);
        self.tempo = Some(rounded(bpm, 2));
        self.rhythm = Some(metre::rhythm(onsets, &beats, &choice));
        self.beats = beats.iter().map(|beat| rounded(*beat, 3)).collect();
    }

    fn add_pitch(&mut self, chromagram: &Chromagram, features: &[Feature]) {
        if Feature::Key.is_in(features) {
            let guess = key::guess(chromagram);
            self.key = guess.map(|guess| guess.key.to_string());
            self.key_confidence = guess.map(|guess| rounded(guess.confidence, 3));
            self.key_runner_up = guess.map(|guess| guess.runner_up.to_string());
            self.tuning_cents = Some(rounded(f64::from(chromagram.tuning) * 100.0, 1));
        }
        if Feature::Chroma.is_in(features) {
            self.chroma = Some(chromagram.mean().map(|class| rounded(class, 4)));
            self.chroma_frames = Some(Series::thinned_rows(&chromagram.frames, chromagram.rate));
        }
    }

    fn add_energy(&mut self, frames: &Frames, onsets: &Onsets, loudness: Loudness) {
        self.energy = Some(energy::measure(frames, onsets, &loudness));
        self.loudness_lufs = loudness.integrated_lufs;
        self.loudness = Some(loudness);
    }
}

#[cfg(test)]
mod tests;
