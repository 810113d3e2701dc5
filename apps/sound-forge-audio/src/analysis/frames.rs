//! One pass over the track: mel bands and spectral shape, a hundred times a
//! second.

use crate::{
    progress::{Cancelled, Span},
    spectrum::{Spectrum, frame_size, hann},
};

/// Mel bands per frame.
pub(super) const BANDS: usize = 40;

/// Magnitudes below this (-100 dBFS) count as silence.
const FLOOR: f32 = 1e-5;

/// What is known about every frame.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Frames per second; close to 100.
    pub(super) rate: f64,
    /// Mel band energies, in power; [`BANDS`] values a frame.
    pub(super) mel: Vec<[f32; BANDS]>,
    /// The centre of gravity of the magnitudes in hertz; 0 in silence.
    pub(super) centroid: Vec<f32>,
    /// The frequency below which 85 % of the power lies, in hertz.
    pub(super) rolloff: Vec<f32>,
    /// The root mean square of the samples from one frame to the next.
    pub(super) rms: Vec<f32>,
    /// Sign changes per second.
    pub(super) crossings: Vec<f32>,
    /// The centre of each band in hertz.
    pub(super) centres: Vec<f32>,
}

impl Frames {
    /// Looks at mono samples at `rate` hertz.
    pub(super) fn of(mono: &[f32], rate: u32, span: &mut Span<'_>) -> Result<Self, Cancelled> {
        let hop = (rate as usize / 100).max(1);
        let size = frame_size(rate, 0.046);
        let bank = MelBank::new(rate, size);
        let mut spectrum = Spectrum::new(hann(size));
        let mut frames =
            Self { rate: f64::from(rate) / hop as f64, centres: bank.centres.clone(), ..Self::default() };
        let mut magnitudes = Vec::new();
        for start in (0..mono.len()).step_by(hop) {
            if frames.mel.len().is_multiple_of(256) {
                span.step(start, mono.len())?;
            }
            spectrum.magnitudes(mono, start as i64, &mut magnitudes);
            frames.push_shape(&magnitudes, rate as f32 / size as f32);
            frames.mel.push(bank.energies(&magnitudes));
            frames.push_samples(&mono[start..mono.len().min(start + hop)], rate);
        }
        span.at(1.0)?;
        Ok(frames)
    }

    fn push_shape(&mut self, magnitudes: &[f32], bin_hertz: f32) {
        let (mut sum, mut moment, mut power) = (0.0, 0.0, 0.0);
        for (bin, magnitude) in magnitudes.iter().enumerate().skip(1) {
            sum += magnitude;
            moment += magnitude * bin as f32;
            power += magnitude * magnitude;
        }
        if sum < FLOOR * magnitudes.len() as f32 {
            self.centroid.push(0.0);
            self.rolloff.push(0.0);
            return;
        }
        let mut below = 0.0;
        let edge = magnitudes.iter().skip(1).position(|magnitude| {
            below += magnitude * magnitude;
            below >= 0.85 * power
        });
        self.centroid.push(moment / sum * bin_hertz);
        self.rolloff.push(edge.map_or(0.0, |bin| (bin + 1) as f32 * bin_hertz));
    }

    fn push_samples(&mut self, samples: &[f32], rate: u32) {
        let count = samples.len().max(1) as f32;
        let power = samples.iter().map(|sample| sample * sample).sum::<f32>() / count;
        let changes = samples.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count();
        self.rms.push(power.sqrt());
        self.crossings.push(changes as f32 * rate as f32 / count);
    }
}

/// Overlapping triangles, evenly spaced in mel.
struct MelBank {
    /// The first bin of each band, and the weights from there on.
    bands: Vec<(usize, Vec<f32>)>,
    centres: Vec<f32>,
}

impl MelBank {
    fn new(rate: u32, size: usize) -> Self {
        let top = (rate as f32 / 2.0).min(16_000.0);
        let (low, high) = (mel(30.0), mel(top));
        let edge = |n: usize| hertz(low + (high - low) * n as f32 / (BANDS + 1) as f32);
        let bin_hertz = rate as f32 / size as f32;
        let band = |n: usize| triangle([edge(n), edge(n + 1), edge(n + 2)], bin_hertz, size / 2);
        Self { bands: (0..BANDS).map(band).collect(), centres: (0..BANDS).map(|n| edge(n + 1)).collect() }
    }

    fn energies(&self, magnitudes: &[f32]) -> [f32; BANDS] {
        let mut energies = [0.0; BANDS];
        for (energy, (first, weights)) in energies.iter_mut().zip(&self.bands) {
            let bins = magnitudes[*first..].iter().zip(weights);
            *energy = bins.map(|(magnitude, weight)| weight * magnitude * magnitude).sum();
        }
        energies
    }
}

/// The weights of one band. Bands narrower than a bin get the bin next to them.
fn triangle([low, centre, high]: [f32; 3], bin_hertz: f32, last: usize) -> (usize, Vec<f32>) {
    let first = ((low / bin_hertz).ceil() as usize).min(last);
    let end = ((high / bin_hertz).floor() as usize).min(last);
    let weight = |bin: usize| {
        let hertz = bin as f32 * bin_hertz;
        ((hertz - low) / (centre - low)).min((high - hertz) / (high - centre)).max(0.0)
    };
    let weights: Vec<f32> = (first..=end.max(first)).map(weight).collect();
    if weights.iter().sum::<f32>() < 0.1 {
        return (((centre / bin_hertz).round() as usize).min(last), vec![1.0]);
    }
    (first, weights)
}

/// The mel scale (O'Shaughnessy 1987).
fn mel(hertz: f32) -> f32 {
    2_595.0 * (1.0 + hertz / 700.0).log10()
}

fn hertz(mel: f32) -> f32 {
    700.0 * (10_f32.powf(mel / 2_595.0) - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Unwatched;

    fn sine(hertz: f32, rate: u32) -> Vec<f32> {
        let step = std::f32::consts::TAU * hertz / rate as f32;
        (0..rate).map(|i| (i as f32 * step).sin()).collect()
    }

    #[test]
    fn a_sine_is_where_it_is_at_any_rate() {
        for rate in [8_000, 44_100, 96_000] {
            let mut watcher = Unwatched;
            let mono = sine(1_000.0, rate);
            let frames = Frames::of(&mono, rate, &mut Span::whole(&mut watcher)).unwrap();
            let middle = frames.mel.len() / 2;
            assert!((frames.rate - 100.0).abs() < 0.5);
            assert!((frames.centroid[middle] - 1_000.0).abs() < 30.0, "{rate}");
            assert!((frames.rolloff[middle] - 1_000.0).abs() < 50.0, "{rate}");
            assert!((frames.crossings[middle] - 2_000.0).abs() < 200.0, "{rate}");
            assert!((frames.rms[middle] - 0.707).abs() < 0.02, "{rate}");
        }
    }

    #[test]
    fn silence_is_zero() {
        let mut watcher = Unwatched;
        let frames = Frames::of(&[0.0; 500], 44_100, &mut Span::whole(&mut watcher)).unwrap();
        assert_eq!((frames.centroid[0], frames.rolloff[0], frames.rms[0]), (0.0, 0.0, 0.0));
    }
}
