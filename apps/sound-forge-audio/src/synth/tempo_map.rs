//! Where beats fall when the tempo may drift.

/// Seconds of silence before the first beat.
const LEAD_IN: f64 = 0.1;

/// Turns beats into seconds and back.
///
/// The tempo changes linearly in time by `drift` percent from the first second
/// to the last, around its mean, so that the mean over the piece is `bpm`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TempoMap {
    beats_per_second: f64,
    drift: f64,
    seconds: f64,
}

impl TempoMap {
    pub(crate) fn new(bpm: f64, drift_percent: f64, seconds: f64) -> Self {
        Self { beats_per_second: bpm / 60.0, drift: drift_percent / 100.0, seconds }
    }

    /// When beat `beat` (which may lie between two) falls, in seconds.
    ///
    /// Solves `beat = v (t + d (t² / 2T - t / 2))` for `t`.
    pub(crate) fn time(&self, beat: f64) -> f64 {
        let straight = beat / self.beats_per_second;
        let quadratic = self.drift / (2.0 * self.seconds);
        if quadratic == 0.0 {
            return LEAD_IN + straight;
        }
        let linear = 1.0 - self.drift / 2.0;
        // A falling tempo reaches zero long after the end; what lies beyond
        // that point is never heard, so it may stay there.
        let root = (linear * linear + 4.0 * quadratic * straight).max(0.0).sqrt();
        LEAD_IN + 2.0 * straight / (linear + root)
    }

    /// All whole beats inside the piece, in seconds.
    pub(crate) fn beats(&self) -> Vec<f64> {
        (0..).map(|beat| self.time(f64::from(beat))).take_while(|time| *time < self.seconds).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_beats_are_evenly_spaced() {
        let beats = TempoMap::new(120.0, 0.0, 5.0).beats();
        assert_eq!(beats.len(), 10);
        assert!((beats[9] - beats[0] - 4.5).abs() < 1e-9);
    }

    #[test]
    fn drift_changes_the_tempo_around_its_mean() {
        let beats = TempoMap::new(120.0, 10.0, 60.0).beats();
        let first = 60.0 / (beats[1] - beats[0]);
        let last = 60.0 / (beats[beats.len() - 1] - beats[beats.len() - 2]);
        assert!((first - 114.0).abs() < 0.3, "{first}");
        assert!((last - 126.0).abs() < 0.3, "{last}");
        assert!((beats.len() as i32 - 120).abs() <= 1, "{}", beats.len());
    }
}
