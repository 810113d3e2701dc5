//! Energy: how much a track drives, in figures for a radar chart.

use serde::{Deserialize, Serialize};

use super::{
    frames::Frames,
    loudness::Loudness,
    onset::Onsets,
    series::{Series, rounded},
    timbre::audible_mean,
};

/// Energy and its kin, each from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// The whole: half loudness, a quarter each onset rate and brightness.
    pub level: f64,
    /// Loudness, from -35 LUFS (0) to -5 LUFS (1).
    pub loudness: f64,
    /// The spectral centroid, from 300 Hz (0) to 6 kHz (1), in octaves.
    pub brightness: f64,
    /// Onsets per second, up to 10 (1).
    pub onset_rate: f64,
    /// The root mean square of the samples over time, full scale being 1.
    pub rms: Series<f64>,
}

/// Measures the energy of a track.
pub(super) fn measure(frames: &Frames, onsets: &Onsets, loudness: &Loudness) -> Energy {
    let heard = loudness.integrated_lufs.map_or(0.0, |lufs| share(lufs, -35.0, -5.0));
    let centroid = audible_mean(frames, &frames.centroid);
    let brightness = share(centroid.max(1.0).log2(), 300_f64.log2(), 6_000_f64.log2());
    let onset_rate = share(rate(onsets), 0.0, 10.0);
    Energy {
        level: rounded(0.5 * heard + 0.25 * onset_rate + 0.25 * brightness, 3),
        loudness: rounded(heard, 3),
        brightness: rounded(brightness, 3),
        onset_rate: rounded(onset_rate, 3),
        rms: Series::thinned(&frames.rms, frames.rate),
    }
}

/// Where a value lies between two others, from 0 to 1.
fn share(value: f64, low: f64, high: f64) -> f64 {
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

/// Clear onsets per second: peaks above the root mean square of the curve.
fn rate(onsets: &Onsets) -> f64 {
    let peaks = onsets.full.windows(3);
    let clear = peaks.filter(|w| w[1] > 1.0 && w[1] > w[0] && w[1] >= w[2]).count();
    clear as f64 * onsets.rate / onsets.full.len().max(1) as f64
}
