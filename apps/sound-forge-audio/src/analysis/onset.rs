//! How strongly something begins, frame by frame and by region of the spectrum.

use super::frames::{BANDS, Frames};

/// Band energies this far below the loudest count as silence: 60 dB.
const RANGE: f32 = 1e-6;

/// Onset strength over time; each curve has one value a frame, is never
/// negative and has a mean square of 1, unless it is all 0.
#[derive(Debug)]
pub(super) struct Onsets {
    /// Frames per second.
    pub(super) rate: f64,
    /// All bands.
    pub(super) full: Vec<f32>,
    /// Below 150 Hz: kicks and bass notes.
    pub(super) low: Vec<f32>,
    /// From 150 Hz to 4 kHz: snares, chords, voices.
    pub(super) mid: Vec<f32>,
    /// Above 4 kHz: hats and the noise of snares.
    pub(super) high: Vec<f32>,
    /// Below 150 Hz, by amplitude and not by its logarithm: loud kicks stand out
    /// from bass notes.
    pub(super) kick: Vec<f32>,
}

impl Onsets {
    /// Positive changes of the logarithmic mel spectrum (spectral flux), with
    /// the maximum filter over neighbouring bands that keeps vibrato from
    /// counting (Böck and Widmer 2013).
    pub(super) fn of(frames: &Frames) -> Self {
        let loudest = frames.mel.iter().flatten().copied().fold(0.0, f32::max);
        let floor = (loudest * RANGE).max(1e-12);
        let levels: Vec<[f32; BANDS]> =
            frames.mel.iter().map(|bands| bands.map(|energy| (energy / floor).max(1.0).ln())).collect();
        let mut onsets = Self {
            rate: frames.rate,
            full: Vec::new(),
            low: Vec::new(),
            mid: Vec::new(),
            high: Vec::new(),
            kick: Vec::new(),
        };
        for at in 0..levels.len() {
            // Two frames back, since the windows of neighbours overlap by most.
            let before = at.saturating_sub(2);
            let rises = rises(&levels[at], &levels[before]);
            onsets.push(&rises, &frames.centres);
            onsets.kick.push(swell(&frames.mel[at], &frames.mel[before], &frames.centres));
        }
        onsets.finish()
    }

    fn push(&mut self, rises: &[f32; BANDS], centres: &[f32]) {
        let sum = |from: f32, to: f32| {
            let inside = rises.iter().zip(centres).filter(|(_, hertz)| (from..to).contains(*hertz));
            inside.map(|(rise, _)| rise).sum::<f32>()
        };
        self.full.push(rises.iter().sum());
        self.low.push(sum(0.0, 150.0));
        self.mid.push(sum(150.0, 4_000.0));
        self.high.push(sum(4_000.0, f32::MAX));
    }

    fn finish(mut self) -> Self {
        let reach = (self.rate * 0.5) as usize;
        for curve in [&mut self.full, &mut self.low, &mut self.mid, &mut self.high, &mut self.kick] {
            *curve = normalised(&above_local_mean(curve, reach));
        }
        self
    }
}

/// By how much each band rose above the loudest of its neighbours before.
fn rises(now: &[f32; BANDS], before: &[f32; BANDS]) -> [f32; BANDS] {
    let mut rises = [0.0; BANDS];
    for (band, rise) in rises.iter_mut().enumerate() {
        let near = &before[band.saturating_sub(1)..(band + 2).min(BANDS)];
        *rise = (now[band] - near.iter().copied().fold(0.0, f32::max)).max(0.0);
    }
    rises
}

/// By how much the amplitude of the bass rose.
fn swell(now: &[f32; BANDS], before: &[f32; BANDS], centres: &[f32]) -> f32 {
    let bands = now.iter().zip(before).zip(centres).filter(|(_, hertz)| **hertz < 150.0);
    bands.map(|((now, before), _)| (now.sqrt() - before.sqrt()).max(0.0)).sum()
}

/// What stands out of the mean of `reach` frames to both sides.
fn above_local_mean(curve: &[f32], reach: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64];
    sums.extend(curve.iter().scan(0.0, |sum, value| {
        *sum += f64::from(*value);
        Some(*sum)
    }));
    let mean = |at: usize| {
        let (from, to) = (at.saturating_sub(reach), (at + reach + 1).min(curve.len()));
        (sums[to] - sums[from]) / (to - from) as f64
    };
    curve.iter().enumerate().map(|(at, value)| (value - mean(at) as f32).max(0.0)).collect()
}

/// Scales a curve to a mean square of 1.
fn normalised(curve: &[f32]) -> Vec<f32> {
    let power = curve.iter().map(|value| value * value).sum::<f32>() / curve.len().max(1) as f32;
    let scale = if power > 1e-9 { power.sqrt().recip() } else { 0.0 };
    curve.iter().map(|value| value * scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Span, Unwatched};

    #[test]
    fn clicks_are_onsets_and_tones_are_none() {
        let mut mono: Vec<f32> = (0..88_200).map(|i| (i as f32 * 0.05).sin() * 0.1).collect();
        mono[44_100] = 1.0;
        let mut watcher = Unwatched;
        let frames = Frames::of(&mono, 44_100, &mut Span::whole(&mut watcher)).unwrap();
        let onsets = Onsets::of(&frames);
        let (loudest, _) = onsets.full[20..].iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        assert!((loudest as i32 + 20 - 100).abs() <= 2, "{loudest}");
    }

    #[test]
    fn silence_has_no_onsets() {
        let mut watcher = Unwatched;
        let frames = Frames::of(&[0.0; 9_000], 44_100, &mut Span::whole(&mut watcher)).unwrap();
        assert!(Onsets::of(&frames).full.iter().all(|value| *value == 0.0));
    }
}
