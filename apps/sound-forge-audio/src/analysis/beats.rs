//! Beats: where they fall, once the tempo is known.

use super::onset::Onsets;

/// How strongly beats keep to the tempo: large is stiff (Ellis 2007).
const TIGHTNESS: f32 = 120.0;

/// By how many seconds an onset curve peaks before what it announces: a window
/// notices a sound as soon as its edge reaches it.
const LATENCY: f64 = 0.012;

/// Places beats by dynamic programming (Ellis 2007, "Beat tracking by dynamic
/// programming"), so that they fall on onsets and keep close to `bpm` from one
/// to the next. Returns seconds, rising, within the track.
pub(super) fn track(onsets: &Onsets, bpm: f64, duration: f64) -> Vec<f64> {
    let period = onsets.rate * 60.0 / bpm;
    let curve = smoothed(&accents(onsets));
    let path = best_path(&curve, period as f32);
    path.into_iter()
        .map(|frame| (frame as f64 + peak_offset(&curve, frame)) / onsets.rate + LATENCY)
        .filter(|time| (0.0..=duration).contains(time))
        .collect()
}

/// The tempo that beats show: the median over spans of half the track, which
/// neither jitter nor a slip throws off. `None` for fewer than four beats.
pub(super) fn tempo_of(beats: &[f64]) -> Option<f64> {
    let span = beats.len() / 2;
    if span < 2 {
        return None;
    }
    let mut lengths: Vec<f64> = beats.windows(span + 1).map(|window| window[span] - window[0]).collect();
    lengths.sort_by(f64::total_cmp);
    Some(60.0 * span as f64 / lengths[lengths.len() / 2])
}

/// The frames of the best sequence of beats.
fn best_path(curve: &[f32], period: f32) -> Vec<usize> {
    let (nearest, farthest) = ((period * 0.6) as usize, (period * 1.6) as usize);
    let costs: Vec<f32> =
        (0..=farthest).map(|gap| TIGHTNESS * (gap.max(1) as f32 / period).ln().powi(2)).collect();
    let mut scores = vec![0.0_f32; curve.len()];
    let mut previous = vec![None; curve.len()];
    for at in 0..curve.len() {
        let best = (nearest.max(1)..=farthest.min(at))
            .map(|gap| (scores[at - gap] - costs[gap], at - gap))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        scores[at] = curve[at];
        // The first beat of all has none before it.
        if let Some((score, before)) = best.filter(|(score, _)| *score > 0.0) {
            scores[at] += score;
            previous[at] = Some(before);
        }
    }
    let tail = curve.len().saturating_sub(period as usize + 1);
    let last = (tail..curve.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut path: Vec<usize> = std::iter::successors(last, |at| previous[*at]).collect();
    path.reverse();
    path
}

/// What beats are drawn to: all onsets, and kicks once more, so that beats lie
/// on them and not on the bass or the hats between.
fn accents(onsets: &Onsets) -> Vec<f32> {
    onsets.full.iter().zip(&onsets.kick).map(|(full, kick)| full + kick).collect()
}

/// A curve blurred over about 50 ms, so that nearly together is together.
fn smoothed(curve: &[f32]) -> Vec<f32> {
    const KERNEL: [f32; 5] = [0.14, 0.22, 0.28, 0.22, 0.14];
    let value = |at: usize, tap: usize| {
        (at + tap).checked_sub(2).and_then(|at| curve.get(at)).copied().unwrap_or(0.0)
    };
    (0..curve.len())
        .map(|at| KERNEL.iter().enumerate().map(|(tap, weight)| weight * value(at, tap)).sum())
        .collect()
}

/// Where the top of a parabola through a frame and its neighbours lies, from
/// -0.5 to 0.5 frames off; 0 where there is no peak.
fn peak_offset(curve: &[f32], at: usize) -> f64 {
    if at == 0 || at + 1 >= curve.len() {
        return 0.0;
    }
    let [a, b, c] = [curve[at - 1], curve[at], curve[at + 1]].map(f64::from);
    let bend = a - 2.0 * b + c;
    if bend > -1e-9 || b < a || b < c { 0.0 } else { (0.5 * (a - c) / bend).clamp(-0.5, 0.5) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn onsets(full: Vec<f32>) -> Onsets {
        let [low, mid, high, kick] = [0; 4].map(|_| full.clone());
        Onsets { rate: 100.0, full, low, mid, high, kick }
    }

    #[test]
    fn beats_fall_on_pulses_and_bridge_gaps() {
        let mut pulses = vec![0.0; 2_000];
        for beat in (20..2_000).step_by(50).filter(|beat| !(800..1_000).contains(beat)) {
            pulses[beat] = 5.0;
        }
        let beats = track(&onsets(pulses), 120.0, 20.0);
        assert_eq!(beats.len(), 40);
        for (number, beat) in beats.iter().enumerate() {
            assert!((beat - 0.2 - 0.5 * number as f64 - LATENCY).abs() < 0.02, "{number} {beat}");
        }
        assert!((tempo_of(&beats).unwrap() - 120.0).abs() < 0.1);
    }

    #[test]
    fn nothing_gives_no_beats() {
        assert!(track(&onsets(vec![]), 120.0, 0.0).is_empty());
        assert_eq!(tempo_of(&[1.0, 2.0, 3.0]), None);
    }
}
