//! Tempo: which of the periods of a track is its beat.
use super::{correlation::Correlation, onset::Onsets};

/// The tempi looked for, in beats per minute.
const RANGE: std::ops::RangeInclusive<f64> = 55.0..=200.0;

/// The longest lag looked at, in seconds: eight beats of a slow track.
const LONGEST: f64 = 8.8;

/// Correlations of the onset curves.
#[derive(Debug)]
pub(super) struct Periodicity {
    rate: f64,
    full: Correlation,
    low: Correlation,
    mid: Correlation,
    high: Correlation,
    cross: Correlation,
}

/// A possible beat period.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// bpm
    pub bpm: f64,
    /// score
    pub score: f64,
    /// features
    pub features: [f64; 24],
}

impl Periodicity {
    pub(super) fn of(onsets: &Onsets) -> Self {
        let lags = (LONGEST * onsets.rate) as usize;
        Self {
            rate: onsets.rate,
            full: Correlation::with_itself(&onsets.full, lags),
            low: Correlation::with_itself(&onsets.low, lags),
            mid: Correlation::with_itself(&onsets.mid, lags),
            high: Correlation::with_itself(&onsets.high, lags),
            cross: Correlation::of(&onsets.low, &onsets.mid, lags),
        }
    }

    fn comb(&self, bpm: f64) -> f64 {
        let lag = self.rate * 60.0 / bpm;
        let repeat = |times: f64| self.full.at(lag * times);
        repeat(1.0) + 0.5 * (repeat(2.0) + repeat(4.0)) + 0.25 * repeat(3.0)
    }

    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let steps: Vec<f64> = (0..)
            .map(|n| RANGE.start() * 1.004_f64.powi(n))
            .take_while(|bpm| RANGE.contains(bpm))
            .collect();
        let combs: Vec<f64> = steps.iter().map(|bpm| self.comb(*bpm)).collect();
        let mut peaks: Vec<(f64, f64)> = (1..steps.len().saturating_sub(1))
            .filter(|n| combs[*n] > 0.0 && combs[*n] > combs[n - 1] && combs[*n] >= combs[n + 1])
            .map(|n| (steps[n], combs[n]))
            .collect();
        peaks.sort_by(|a, b| b.1.total_cmp(&a.1));
        peaks.truncate(12);
        let mut c: Vec<Candidate> = peaks.into_iter().map(|(bpm, _)| self.judge(bpm)).collect();
        c.sort_by(|a, b| b.score.total_cmp(&a.score));
        c
    }

    fn judge(&self, bpm: f64) -> Candidate {
        let lag = self.rate * 60.0 / bpm;
        let f = |c: &Correlation, m: f64| c.near(lag * m);
        let prior = (bpm / 120.0).log2();
        let features = [
            f(&self.full, 1.0), f(&self.full, 2.0), f(&self.full, 3.0), f(&self.full, 4.0), f(&self.full, 0.5),
            f(&self.low, 1.0), f(&self.low, 2.0), f(&self.low, 3.0), f(&self.low, 4.0), f(&self.low, 0.5),
            f(&self.mid, 1.0), f(&self.mid, 2.0), f(&self.mid, 3.0), f(&self.mid, 4.0), f(&self.mid, 0.5),
            f(&self.high, 1.0), f(&self.high, 2.0), f(&self.high, 0.5),
            f(&self.cross, 1.0), f(&self.cross, 0.5), f(&self.cross, 2.0), f(&self.cross, 0.0),
            prior, prior * prior,
        ];
        let score = features[0] + 0.5 * features[1] + 0.5 * features[3] + features[18] - features[19]- 0.5*features[9] - features[23];
        Candidate { bpm, score, features }
    }
}

/// The tempo chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) bpm: f64,
    pub(super) confidence: f64,
    pub(super) runner_up: Option<f64>,
}

/// x
pub(super) fn choose(onsets: &Onsets) -> Option<Choice> {
    let c = Periodicity::of(onsets).candidates();
    let best = c.first()?;
    let enough = 0.05 + 3.5 / (onsets.full.len() as f64).sqrt();
    if best.features[0] < enough { return None; }
    Some(Choice { bpm: best.bpm, confidence: best.features[0].clamp(0.0, 1.0), runner_up: c.get(1).map(|c| c.bpm) })
}
