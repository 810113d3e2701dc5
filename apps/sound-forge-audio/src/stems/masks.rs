//! Who owns which part of a spectrum.

use std::collections::VecDeque;

use realfft::num_complex::Complex;

/// Frames to both sides of the median along time: 17 frames are 0.4 s.
pub(super) const LASTING: usize = 8;

/// Bins to both sides of the median along frequency: 17 bins are 180 Hz.
const BROAD: usize = 8;

/// Where bass ends: all of it is below the first, none above the second, in
/// hertz.
const BASS: (f32, f32) = (140.0, 280.0);

/// The range of a voice with its consonants, faded at both ends, in hertz.
const VOICE: [f32; 4] = [160.0, 260.0, 5_000.0, 9_000.0];

/// One moment of a track.
#[derive(Debug)]
pub(super) struct Frame {
    /// The spectrum of each channel.
    pub(super) spectra: Vec<Vec<Complex<f32>>>,
    /// Magnitudes over all channels.
    pub(super) magnitudes: Vec<f32>,
}

impl Frame {
    pub(super) fn new(spectra: Vec<Vec<Complex<f32>>>) -> Self {
        let bins = spectra.first().map_or(0, Vec::len);
        let magnitude = |bin: usize| spectra.iter().map(|s| s[bin].norm_sqr()).sum::<f32>().sqrt();
        Self { magnitudes: (0..bins).map(magnitude).collect(), spectra }
    }
}

/// The shares of drums, bass and vocals in each bin. They add up to at most 1,
/// and what is left is the rest.
#[derive(Debug, Default)]
pub(super) struct Masks {
    pub(super) drums: Vec<f32>,
    pub(super) bass: Vec<f32>,
    pub(super) vocals: Vec<f32>,
}

/// What is the same for every frame of a track.
#[derive(Debug)]
pub(super) struct Ownership {
    /// The share of the bass in what lasts, by bin.
    bass: Vec<f32>,
    /// How much a voice may have of each bin.
    voice: Vec<f32>,
}

impl Ownership {
    pub(super) fn new(bins: usize, bin_hertz: f32) -> Self {
        let hertz = |bin: usize| bin as f32 * bin_hertz;
        let bass = |bin| 1.0 - ramp(hertz(bin), BASS.0, BASS.1);
        let voice = |bin| {
            let [low, full, fading, high] = VOICE;
            ramp(hertz(bin), low, full) * (1.0 - ramp(hertz(bin), fading, high))
        };
        Self { bass: (0..bins).map(bass).collect(), voice: (0..bins).map(voice).collect() }
    }

    /// The masks of the frame at `at`, seen among its neighbours.
    pub(super) fn masks(&self, frames: &VecDeque<Frame>, at: usize) -> Masks {
        let frame = &frames[at];
        let mut masks = Masks::default();
        let mut window = Vec::with_capacity(2 * LASTING.max(BROAD) + 1);
        for bin in 0..frame.magnitudes.len() {
            let lasting = median_along_time(frames, at, bin, &mut window);
            let struck = median_along_frequency(frame, bin, &mut window);
            let drums = self.drums(bin, frame.magnitudes[bin], lasting, struck);
            let bass = (1.0 - drums) * self.bass[bin];
            let vocals = (1.0 - drums - bass) * self.voice[bin] * centre(&frame.spectra, bin);
            masks.drums.push(drums);
            masks.bass.push(bass);
            masks.vocals.push(vocals.max(0.0));
        }
        masks
    }

    /// The share of the drums in a bin.
    fn drums(&self, bin: usize, magnitude: f32, lasting: f32, struck: f32) -> f32 {
        let drums = struck * struck / (struck * struck + lasting * lasting + 1e-20);
        // A kick is a tone too narrow to show along frequency; what exceeds the
        // usual level of the bass is one.
        let excess = ((magnitude - lasting) / (magnitude + 1e-20)).max(0.0);
        drums.max(excess.sqrt() * self.bass[bin])
    }
}

fn median_along_time(frames: &VecDeque<Frame>, at: usize, bin: usize, window: &mut Vec<f32>) -> f32 {
    let near = at.saturating_sub(LASTING)..(at + LASTING + 1).min(frames.len());
    window.clear();
    window.extend(near.map(|other| frames[other].magnitudes[bin]));
    median(window)
}

fn median_along_frequency(frame: &Frame, bin: usize, window: &mut Vec<f32>) -> f32 {
    let near = bin.saturating_sub(BROAD)..(bin + BROAD + 1).min(frame.magnitudes.len());
    window.clear();
    window.extend_from_slice(&frame.magnitudes[near]);
    median(window)
}

/// How much a bin of a stereo track sounds from the centre, 0 to 1: both
/// channels alike in level and phase. 0 for mono, which has no sides.
fn centre(spectra: &[Vec<Complex<f32>>], bin: usize) -> f32 {
    let [left, right] = spectra else { return 0.0 };
    let (left, right) = (left[bin], right[bin]);
    let power = left.norm_sqr() + right.norm_sqr();
    let alike = 2.0 * (left * right.conj()).re / (power + 1e-20);
    alike.max(0.0).powi(8)
}

/// 0 below `from`, 1 above `to`, and a half cosine between.
fn ramp(value: f32, from: f32, to: f32) -> f32 {
    let position = ((value - from) / (to - from)).clamp(0.0, 1.0);
    0.5 - 0.5 * (std::f32::consts::PI * position).cos()
}

fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
