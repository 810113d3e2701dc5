//! The key, from chroma.

use super::chroma::Chromagram;
use crate::key::{Key, Mode};

/// How often each degree of a key is heard, from the tonic.
struct Profile {
    major: [f64; 12],
    minor: [f64; 12],
}

/// Two views of what belongs to a key: the music of the common practice with
/// its leading tones, and that of clubs, where minor keeps its natural seventh.
/// They err differently, so their mean errs less.
const PROFILES: [Profile; 2] = [
    // Albrecht and Shanahan 2013: counted in 490 pieces.
    Profile {
        major: [0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081],
        minor: [0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052],
    },
    // Our own: the triad first, then the scale, with the natural seventh in minor.
    Profile {
        major: [1.0, 0.1, 0.5, 0.1, 0.7, 0.5, 0.15, 0.8, 0.1, 0.5, 0.2, 0.4],
        minor: [1.0, 0.1, 0.45, 0.75, 0.1, 0.55, 0.1, 0.8, 0.4, 0.1, 0.6, 0.2],
    },
];

/// What minor keys gain on major ones, in correlation: a relative major shares
/// all notes and looks the plainer of both, while club music is mostly minor.
const MINOR_LEAN: f64 = 0.02;

/// A key, how sure it is, and the next best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KeyGuess {
    pub(super) key: Key,
    /// 0 to 1.
    pub(super) confidence: f64,
    pub(super) runner_up: Key,
}

/// The key that fits best; `None` without pitched sound.
pub(super) fn guess(chromagram: &Chromagram) -> Option<KeyGuess> {
    let chroma = chromagram.mean();
    let mut scores: Vec<(Key, f64)> = Key::all().map(|key| (key, fit(&chroma, key))).collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1));
    let ((key, best), (runner_up, second)) = (scores[0], scores[1]);
    if best < 0.1 + MINOR_LEAN {
        return None;
    }
    // A tenth of correlation ahead of the next is as clear as it gets.
    let confidence = best.min(1.0) * (0.3 + 7.0 * (best - second)).min(1.0);
    Some(KeyGuess { key, confidence, runner_up })
}

/// The mean correlation of chroma with the profiles of a key.
fn fit(chroma: &[f64; 12], key: Key) -> f64 {
    let mut turned = *chroma;
    turned.rotate_left(usize::from(key.tonic()));
    let (lean, pick): (f64, fn(&Profile) -> &[f64; 12]) = match key.mode() {
        Mode::Major => (0.0, |profile| &profile.major),
        Mode::Minor => (MINOR_LEAN, |profile| &profile.minor),
    };
    let sum: f64 = PROFILES.iter().map(|profile| correlation(&turned, pick(profile))).sum();
    sum / PROFILES.len() as f64 + lean
}

/// Pearson's correlation; 0 where a side is flat.
fn correlation(a: &[f64; 12], b: &[f64; 12]) -> f64 {
    let mean = |values: &[f64; 12]| values.iter().sum::<f64>() / 12.0;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - mean_a) * (y - mean_b);
        aa += (x - mean_a).powi(2);
        bb += (y - mean_b).powi(2);
    }
    if aa * bb < 1e-18 { 0.0 } else { ab / (aa * bb).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chromagram(classes: &[usize]) -> Chromagram {
        let mut frame = [0.0; 12];
        classes.iter().for_each(|class| frame[*class] += 1.0);
        Chromagram { rate: 1.0, frames: vec![frame], tuning: 0.0 }
    }

    #[test]
    fn triads_with_their_scales_are_their_keys() {
        // The tonic triad counts twice.
        let c_major = chromagram(&[0, 2, 4, 5, 7, 9, 11, 0, 4, 7]);
        assert_eq!(guess(&c_major).unwrap().key, Key::new(0, Mode::Major));
        let a_minor = chromagram(&[0, 2, 4, 5, 7, 9, 11, 9, 0, 4]);
        assert_eq!(guess(&a_minor).unwrap().key, Key::new(9, Mode::Minor));
    }

    #[test]
    fn what_has_no_pitch_has_no_key() {
        assert_eq!(guess(&chromagram(&[])), None);
        assert_eq!(guess(&chromagram(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])), None);
    }
}
