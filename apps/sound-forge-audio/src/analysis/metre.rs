//! Bars: how beats group, and where bars begin.

use serde::{Deserialize, Serialize};

use super::{onset::Onsets, series::rounded, tempo::Choice};

/// What is known about tempo and metre besides the tempo itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rhythm {
    /// How sure the tempo is, 0 to 1.
    pub confidence: f64,
    /// The next best tempo in beats per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<f64>,
    /// Beats in a bar: 3 or 4.
    pub beats_per_bar: u32,
    /// The first beats of the bars in seconds.
    pub downbeats: Vec<f64>,
    /// How many things happen between beats, 0 (none) to 1.
    pub complexity: f64,
}

/// Groups beats into bars.
pub(super) fn rhythm(onsets: &Onsets, beats: &[f64], choice: &Choice) -> Rhythm {
    let (beats_per_bar, first) = bars(onsets, beats);
    let downbeats = beats.iter().skip(first).step_by(beats_per_bar);
    Rhythm {
        confidence: rounded(choice.confidence, 3),
        runner_up: choice.runner_up.map(|bpm| rounded(bpm, 2)),
        beats_per_bar: beats_per_bar as u32,
        downbeats: downbeats.map(|beat| rounded(*beat, 3)).collect(),
        complexity: rounded(complexity(onsets, beats), 3),
    }
}

/// The bar length, in beats, and the first downbeat: the grouping whose first
/// beats stand out most in the bass.
fn bars(onsets: &Onsets, beats: &[f64]) -> (usize, usize) {
    let accents: Vec<f32> = beats
        .iter()
        .map(|beat| {
            strength(&onsets.low, onsets.rate, *beat) - 0.3 * strength(&onsets.high, onsets.rate, *beat)
        })
        .collect();
    let mean = |values: &mut dyn Iterator<Item = f32>| {
        let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
        sum / count.max(1) as f32
    };
    let overall = mean(&mut accents.iter().copied());
    // Four is far more common, so that three must stand out clearly.
    [(4, 0.12), (3, 0.0)]
        .into_iter()
        .flat_map(|(length, bonus)| (0..length).map(move |first| (length, first, bonus)))
        .map(|(length, first, bonus)| {
            let down = mean(&mut accents.iter().skip(first).step_by(length).copied());
            (length, first, down - overall + bonus)
        })
        .max_by(|a, b| a.2.total_cmp(&b.2))
        .map_or((4, 0), |(length, first, _)| (length, first))
}

/// The share of onset strength that lies between the beats.
fn complexity(onsets: &Onsets, beats: &[f64]) -> f64 {
    let on: f32 = beats.iter().map(|beat| strength(&onsets.full, onsets.rate, *beat)).sum();
    let between = |pair: &[f64], share: f64| pair[0] + share * (pair[1] - pair[0]);
    let off: f32 = beats
        .windows(2)
        .flat_map(|pair| [0.25, 0.5, 0.75].map(|share| between(pair, share)))
        .map(|time| strength(&onsets.full, onsets.rate, time))
        .sum();
    if on + off > 0.0 { f64::from(off / (on + off)) } else { 0.0 }
}

/// The largest onset strength within 30 ms of a time.
fn strength(curve: &[f32], rate: f64, time: f64) -> f32 {
    let centre = (time * rate).round() as usize;
    let reach = (0.03 * rate) as usize;
    let end = (centre + reach + 1).min(curve.len());
    let near = curve.get(centre.saturating_sub(reach)..end).unwrap_or_default();
    near.iter().copied().fold(0.0, f32::max)
}
