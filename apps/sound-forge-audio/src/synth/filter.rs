//! Filters and saturation.

use std::f64::consts::PI;

use super::oscillator::STEP;

/// A state-variable filter (topology-preserving transform, Zavalishin 2012).
#[derive(Debug, Clone, Default)]
pub(crate) struct Svf {
    gain: f64,
    damping: f64,
    norm: f64,
    first: f64,
    second: f64,
}

/// The three outputs of a [`Svf`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bands {
    pub(crate) low: f64,
    pub(crate) band: f64,
    pub(crate) high: f64,
}

impl Svf {
    /// A filter at `hertz` with resonance `q` (0.7 is flat).
    pub(crate) fn new(hertz: f64, q: f64) -> Self {
        let mut filter = Self::default();
        filter.tune(hertz, q);
        filter
    }

    /// Moves the filter without a click.
    pub(crate) fn tune(&mut self, hertz: f64, q: f64) {
        self.gain = libm::tan(PI * (hertz * STEP).clamp(1e-5, 0.45));
        self.damping = 1.0 / q;
        self.norm = 1.0 / (1.0 + self.gain * (self.gain + self.damping));
    }

    pub(crate) fn next(&mut self, input: f64) -> Bands {
        let high = (input - (self.gain + self.damping) * self.first - self.second) * self.norm;
        let band = self.gain * high + self.first;
        let low = self.gain * band + self.second;
        self.first = self.gain * high + band;
        self.second = self.gain * band + low;
        Bands { low, band, high }
    }
}

/// Saturation in ±1: a rational approximation of tanh.
pub(crate) fn saturate(x: f64) -> f64 {
    let x = x.clamp(-3.0, 3.0);
    x * (27.0 + x * x) / (27.0 + 9.0 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::oscillator::sine;

    fn gain(filter: &mut Svf, hertz: f64, pick: fn(Bands) -> f64) -> f64 {
        let out = (0..20_000).map(|i| pick(filter.next(sine(hertz * STEP * f64::from(i)))));
        out.skip(10_000).fold(0.0, |peak: f64, sample| peak.max(sample.abs()))
    }

    #[test]
    fn low_pass_passes_lows_and_stops_highs() {
        assert!(gain(&mut Svf::new(1_000.0, 0.7), 100.0, |bands| bands.low) > 0.97);
        assert!(gain(&mut Svf::new(1_000.0, 0.7), 10_000.0, |bands| bands.low) < 0.02);
        assert!(gain(&mut Svf::new(1_000.0, 0.7), 100.0, |bands| bands.high) < 0.02);
    }

    #[test]
    fn saturation_is_odd_and_bounded() {
        assert_eq!(saturate(-0.5), -saturate(0.5));
        assert_eq!(saturate(100.0), 1.0);
        assert!((saturate(0.1) - 0.1).abs() < 0.001);
    }
}
