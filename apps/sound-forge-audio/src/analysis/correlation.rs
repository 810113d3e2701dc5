//! How well a curve repeats, or another follows it, after a while.

/// Normalised correlation by lag: 1 is perfect, 0 is none.
#[derive(Debug)]
pub(super) struct Correlation {
    by_lag: Vec<f32>,
}

impl Correlation {
    /// How well `follower` matches `leader` for lags of 0 to `lags` frames.
    pub(super) fn of(leader: &[f32], follower: &[f32], lags: usize) -> Self {
        let length = leader.len().min(follower.len());
        let (leader, follower) = (centred(&leader[..length]), centred(&follower[..length]));
        let scale = (power(&leader) * power(&follower)).sqrt();
        let at = |lag: usize| {
            if scale < 1e-9 || lag >= length {
                return 0.0;
            }
            let sum: f32 = leader.iter().zip(&follower[lag..]).map(|(a, b)| a * b).sum();
            // The mean over the frames there are, since fewer overlap at long lags.
            sum / scale * length as f32 / (length - lag) as f32
        };
        Self { by_lag: (0..=lags).map(at).collect() }
    }

    /// A curve with itself.
    pub(super) fn with_itself(curve: &[f32], lags: usize) -> Self {
        Self::of(curve, curve, lags)
    }

    /// The best correlation near `lag` frames. The tolerance grows with the lag,
    /// as tempo wavers.
    pub(super) fn near(&self, lag: f64) -> f64 {
        let reach = 1.0 + 0.012 * lag;
        let from = (lag - reach).ceil().max(0.0) as usize;
        let to = ((lag + reach).floor() as usize).min(self.by_lag.len().saturating_sub(1));
        let inside = self.by_lag.get(from..=to).unwrap_or_default();
        f64::from(inside.iter().copied().fold(f32::NEG_INFINITY, f32::max).max(-1.0))
    }

    /// The correlation at a lag between two frames.
    pub(super) fn at(&self, lag: f64) -> f64 {
        let below = lag.floor() as usize;
        let share = lag - lag.floor();
        let value = |at: usize| f64::from(self.by_lag.get(at).copied().unwrap_or(0.0));
        value(below) * (1.0 - share) + value(below + 1) * share
    }
}

fn centred(curve: &[f32]) -> Vec<f32> {
    let mean = curve.iter().sum::<f32>() / curve.len().max(1) as f32;
    curve.iter().map(|value| value - mean).collect()
}

fn power(curve: &[f32]) -> f32 {
    curve.iter().map(|value| value * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_train_repeats_at_its_period() {
        let train: Vec<f32> = (0..1_000).map(|i| if i % 50 == 0 { 1.0 } else { 0.0 }).collect();
        let correlation = Correlation::with_itself(&train, 200);
        assert!(correlation.near(50.0) > 0.95);
        assert!(correlation.at(25.0) < 0.05);
    }

    #[test]
    fn flat_curves_correlate_with_nothing() {
        let correlation = Correlation::with_itself(&[1.0; 100], 200);
        assert_eq!(correlation.near(10.0), 0.0);
        assert_eq!(correlation.at(500.0), 0.0);
    }
}
