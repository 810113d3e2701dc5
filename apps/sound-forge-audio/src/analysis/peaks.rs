//! Waveform peaks, for drawing a track at several zooms.

use serde::{Deserialize, Serialize};

use super::series::rounded;
use crate::audio::Audio;

/// How many peaks the zooms have at most: an overview, a page, and a close-up.
pub const ZOOMS: [usize; 3] = [256, 2_048, 16_384];

/// A peak covers at least this many frames; beyond that, zooming shows nothing.
const MIN_FRAMES: usize = 64;

/// The waveform at one zoom: the lowest and highest sample of each stretch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Zoom {
    /// Seconds that each peak covers.
    pub hop: f64,
    /// The lowest sample of each stretch, as hundredths of full scale.
    pub min: Vec<i16>,
    /// The highest sample of each stretch, as hundredths of full scale.
    pub max: Vec<i16>,
}

/// The peaks of the mean of all channels, at each of [`ZOOMS`] that shows more
/// than the one before.
pub(super) fn zooms(audio: &Audio, mono: &[f32]) -> Vec<Zoom> {
    let mut zooms: Vec<Zoom> = Vec::new();
    for count in ZOOMS {
        let zoom = zoom(mono, audio.sample_rate, count);
        if zooms.last().is_none_or(|last| last.min.len() < zoom.min.len()) {
            zooms.push(zoom);
        }
    }
    zooms
}

fn zoom(mono: &[f32], rate: u32, count: usize) -> Zoom {
    let frames = mono.len().div_ceil(count).max(MIN_FRAMES);
    let hundredths = |sample: f32| (sample * 100.0).round() as i16;
    let extreme = |stretch: &[f32], pick: fn(f32, f32) -> f32| {
        hundredths(stretch.iter().copied().reduce(pick).unwrap_or(0.0))
    };
    Zoom {
        hop: rounded(frames as f64 / f64::from(rate.max(1)), 9),
        min: mono.chunks(frames).map(|stretch| extreme(stretch, f32::min)).collect(),
        max: mono.chunks(frames).map(|stretch| extreme(stretch, f32::max)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zooms_show_the_extremes() {
        let mut mono = vec![0.0; 44_100 * 10];
        mono[0] = -0.5;
        mono[44_100 * 10 - 1] = 0.25;
        let zooms = zooms(&Audio::new(44_100, vec![mono.clone()]), &mono);
        assert_eq!(zooms.len(), 3);
        for (zoom, most) in zooms.iter().zip(ZOOMS) {
            assert!(zoom.min.len() <= most && zoom.min.len() == zoom.max.len());
            assert_eq!((zoom.min[0], *zoom.max.last().unwrap()), (-50, 25));
        }
    }

    #[test]
    fn short_clips_have_one_zoom() {
        let mono = [0.1; 1_000];
        assert_eq!(zooms(&Audio::new(44_100, vec![mono.to_vec()]), &mono).len(), 1);
    }
}
