//! The colour of the sound: spectral shape, MFCCs, and figures drawn from them.

use serde::{Deserialize, Serialize};

use super::{
    frames::{BANDS, Frames},
    series::{Series, rounded},
};

/// How many coefficients describe a frame.
pub const COEFFICIENTS: usize = 13;

/// Frames quieter than this (RMS, -60 dBFS) say nothing about a mean.
const AUDIBLE: f32 = 1e-3;

/// The shape of the spectrum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spectral {
    /// The mean centre of gravity of the spectrum in hertz.
    pub centroid_mean: f64,
    /// The mean frequency below which 85 % of the power lies, in hertz.
    pub rolloff_mean: f64,
    /// The mean rate of sign changes, per second.
    pub zero_crossings_mean: f64,
    /// The centroid over time, in hertz.
    pub centroid: Series<f64>,
    /// The rolloff over time, in hertz.
    pub rolloff: Series<f64>,
    /// Sign changes per second, over time.
    pub zero_crossings: Series<f64>,
}

/// Mel-frequency cepstral coefficients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mfcc {
    /// The mean over all audible frames.
    pub mean: [f64; COEFFICIENTS],
    /// The coefficients over time.
    pub frames: Series<[f64; COEFFICIENTS]>,
}

/// The spectral shape of a track. Means leave silence out.
pub(super) fn spectral(frames: &Frames) -> Spectral {
    let mean = |curve: &[f32]| rounded(audible_mean(frames, curve), 2);
    let series = |curve: &[f32]| Series::thinned(curve, frames.rate);
    Spectral {
        centroid_mean: mean(&frames.centroid),
        rolloff_mean: mean(&frames.rolloff),
        zero_crossings_mean: mean(&frames.crossings),
        centroid: series(&frames.centroid),
        rolloff: series(&frames.rolloff),
        zero_crossings: series(&frames.crossings),
    }
}

/// The mean of a curve over the frames that can be heard.
pub(super) fn audible_mean(frames: &Frames, curve: &[f32]) -> f64 {
    let audible = curve.iter().zip(&frames.rms).filter(|(_, rms)| **rms > AUDIBLE);
    let (sum, count) =
        audible.fold((0.0, 0), |(sum, count), (value, _)| (sum + f64::from(*value), count + 1));
    sum / f64::from(count.max(1))
}

/// The MFCCs of a track: an orthonormal cosine transform (DCT-II) of the mel
/// energies in decibels, floored at -100 dB.
pub(super) fn mfcc(frames: &Frames) -> Mfcc {
    let rows: Vec<[f32; COEFFICIENTS]> = frames.mel.iter().map(cepstrum).collect();
    let column = |n: usize| rows.iter().map(|row| row[n]).collect::<Vec<f32>>();
    Mfcc {
        mean: std::array::from_fn(|n| rounded(audible_mean(frames, &column(n)), 4)),
        frames: Series::thinned_rows(&rows, frames.rate),
    }
}

fn cepstrum(mel: &[f32; BANDS]) -> [f32; COEFFICIENTS] {
    let decibels = mel.map(|energy| 10.0 * energy.max(1e-10).log10());
    std::array::from_fn(|n| {
        let angle = |band: usize| std::f32::consts::PI * n as f32 * (band as f32 + 0.5) / BANDS as f32;
        let sum: f32 = decibels.iter().enumerate().map(|(band, level)| level * angle(band).cos()).sum();
        let scale = if n == 0 { 1.0 } else { 2.0 };
        sum * (scale / BANDS as f32).sqrt()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_bands_have_one_coefficient() {
        let [first, rest @ ..] = cepstrum(&[1e-2; BANDS]);
        assert!((first + 20.0 * (BANDS as f32).sqrt()).abs() < 0.01, "{first}");
        assert!(rest.iter().all(|value| value.abs() < 1e-3), "{rest:?}");
    }

    #[test]
    fn silence_is_finite() {
        assert!(cepstrum(&[0.0; BANDS]).iter().all(|value| value.is_finite()));
    }
}
