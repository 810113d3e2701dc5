//! Chroma: how much of each pitch class sounds, over time.

use crate::{
    progress::{Cancelled, Span},
    spectrum::{Spectrum, frame_size, hann},
};

/// The range listened to, in hertz. Below it semitones are narrower than the
/// bins; above it partials outnumber notes.
const LOWEST: f32 = 100.0;
const HIGHEST: f32 = 2_000.0;

/// Frames to both sides of the median that keeps what lasts.
const LASTING: usize = 4;

/// Bins to both sides of the median that tells broad-band noise.
const BROAD: usize = 8;

/// A spectral peak: its frequency as a MIDI pitch, and its strength.
#[derive(Debug, Clone, Copy)]
struct Peak {
    pitch: f32,
    strength: f32,
}

/// Pitch class strengths over time, from C; each frame's largest is at most 1.
#[derive(Debug, Default)]
pub(super) struct Chromagram {
    /// Frames per second.
    pub(super) rate: f64,
    pub(super) frames: Vec<[f32; 12]>,
    /// How far the tuning is off A4 = 440 Hz, in semitones from -0.5 to 0.5.
    pub(super) tuning: f32,
}

impl Chromagram {
    /// Listens to mono samples at `rate` hertz.
    pub(super) fn of(mono: &[f32], rate: u32, span: &mut Span<'_>) -> Result<Self, Cancelled> {
        let size = frame_size(rate, 0.186);
        let hop = size / 2;
        let bin_hertz = rate as f32 / size as f32;
        let spectra = spectra(mono, size, hop, bin_hertz, &mut span.part(0.0, 0.7))?;
        let peaks: Vec<Vec<Peak>> = (0..spectra.len()).map(|at| peaks(&spectra, at, bin_hertz)).collect();
        let tuning = tuning(&peaks);
        span.at(1.0)?;
        Ok(Self {
            rate: f64::from(rate) / hop as f64,
            frames: peaks.iter().map(|peaks| fold(peaks, tuning)).collect(),
            tuning,
        })
    }

    /// The mean over all frames, scaled so that the largest is 1; all 0 in
    /// silence.
    pub(super) fn mean(&self) -> [f64; 12] {
        let mut mean = [0.0; 12];
        for frame in &self.frames {
            for (sum, value) in mean.iter_mut().zip(frame) {
                *sum += f64::from(*value);
            }
        }
        let largest = mean.iter().copied().fold(0.0, f64::max);
        mean.map(|sum| if largest > 0.0 { sum / largest } else { 0.0 })
    }
}

/// Magnitudes up to a little above the range, frame by frame.
fn spectra(
    mono: &[f32],
    size: usize,
    hop: usize,
    bin_hertz: f32,
    span: &mut Span<'_>,
) -> Result<Vec<Vec<f32>>, Cancelled> {
    let bins = ((HIGHEST / bin_hertz) as usize + BROAD + 2).min(size / 2);
    let mut spectrum = Spectrum::new(hann(size));
    let mut magnitudes = Vec::new();
    let mut spectra = Vec::new();
    for start in (0..mono.len()).step_by(hop) {
        span.step(start, mono.len())?;
        spectrum.magnitudes(mono, start as i64, &mut magnitudes);
        spectra.push(magnitudes[..bins].to_vec());
    }
    Ok(spectra)
}

/// The peaks of a frame's harmonic part (median filtering after FitzGerald 2010).
fn peaks(spectra: &[Vec<f32>], at: usize, bin_hertz: f32) -> Vec<Peak> {
    let frame = &spectra[at];
    let near = &spectra[at.saturating_sub(LASTING)..(at + LASTING + 1).min(spectra.len())];
    let first = ((LOWEST / bin_hertz) as usize).max(1);
    let mut peaks = Vec::new();
    for bin in first..frame.len().saturating_sub(BROAD + 1) {
        if frame[bin] < 1e-5 || frame[bin] <= frame[bin - 1] || frame[bin] < frame[bin + 1] {
            continue;
        }
        let lasting = median(near.iter().map(|other| other[bin]));
        let broad = median(frame[bin.saturating_sub(BROAD)..=bin + BROAD].iter().copied());
        let share = lasting * lasting / (lasting * lasting + broad * broad + 1e-12);
        let hertz = (bin as f32 + log_offset(&frame[bin - 1..=bin + 1])) * bin_hertz;
        let pitch = 69.0 + 12.0 * (hertz / 440.0).log2();
        peaks.push(Peak { pitch, strength: (share * frame[bin]).sqrt() });
    }
    peaks
}

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Where a peak's top lies between bins, by a parabola through the logarithms.
fn log_offset(around: &[f32]) -> f32 {
    let [a, b, c] = [around[0], around[1], around[2]].map(|value| value.max(1e-9).ln());
    let bend = a - 2.0 * b + c;
    if bend > -1e-6 { 0.0 } else { (0.5 * (a - c) / bend).clamp(-0.5, 0.5) }
}

/// The mean deviation of all peaks from the semitone grid, as a circular mean.
fn tuning(peaks: &[Vec<Peak>]) -> f32 {
    let (mut x, mut y) = (0.0, 0.0);
    for peak in peaks.iter().flatten() {
        let angle = std::f32::consts::TAU * peak.pitch;
        x += peak.strength * angle.cos();
        y += peak.strength * angle.sin();
    }
    if x == 0.0 && y == 0.0 { 0.0 } else { y.atan2(x) / std::f32::consts::TAU }
}

/// Adds peaks up by pitch class. What is between two classes counts for
/// neither, and a frame's strength for little: quiet passages have a key too.
fn fold(peaks: &[Peak], tuning: f32) -> [f32; 12] {
    let mut classes = [0.0_f32; 12];
    for peak in peaks {
        let pitch = peak.pitch - tuning;
        let off = pitch - pitch.round();
        let weight = (std::f32::consts::PI * off).cos().powi(2);
        classes[(pitch.round() as i32).rem_euclid(12) as usize] += weight * peak.strength;
    }
    let largest = classes.iter().copied().fold(0.0, f32::max);
    // Below -80 dB there is nothing but rounding noise.
    let scale = if largest < 1e-2 { 0.0 } else { largest.recip() };
    classes.map(|class| class * scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Unwatched;

    fn chord(pitches: &[f32]) -> Vec<f32> {
        let tone = |i: usize, pitch: &f32| {
            let hertz = 440.0 * ((pitch - 69.0) / 12.0).exp2();
            (i as f32 / 44_100.0 * hertz * std::f32::consts::TAU).sin() * 0.2
        };
        (0..88_200).map(|i| pitches.iter().map(|pitch| tone(i, pitch)).sum()).collect()
    }

    fn chroma(mono: &[f32]) -> Chromagram {
        let mut watcher = Unwatched;
        Chromagram::of(mono, 44_100, &mut Span::whole(&mut watcher)).unwrap()
    }

    #[test]
    fn a_chord_has_its_pitch_classes() {
        for tuning in [0.0, 0.3] {
            let chromagram = chroma(&chord(&[60.0, 64.0, 67.0].map(|pitch| pitch + tuning)));
            assert!((chromagram.tuning - tuning).abs() < 0.05, "{}", chromagram.tuning);
            for (class, strength) in chromagram.mean().into_iter().enumerate() {
                assert_eq!(strength > 0.5, [0, 4, 7].contains(&class), "{class} {strength}");
            }
        }
    }

    #[test]
    fn silence_has_no_chroma() {
        assert_eq!(chroma(&[0.0; 44_100]).mean(), [0.0; 12]);
    }
}
