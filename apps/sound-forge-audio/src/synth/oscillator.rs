//! Sound sources: saws without aliasing, sines, noise.

use std::f64::consts::TAU;

use super::rng::Rng;

/// The synthesiser's sample rate, in hertz.
pub(crate) const RATE: u32 = 44_100;

/// Seconds per sample.
pub(crate) const STEP: f64 = 1.0 / RATE as f64;

/// The frequency in hertz of a MIDI pitch (69 is A4, 440 Hz).
pub(crate) fn frequency(pitch: f64) -> f64 {
    440.0 * libm::exp2((pitch - 69.0) / 12.0)
}

/// A sine of `phase` turns; from `libm`, so the same on every machine.
pub(crate) fn sine(phase: f64) -> f64 {
    libm::sin(TAU * (phase - phase.floor()))
}

/// A band-limited sawtooth (polyBLEP, Välimäki and Huovilainen 2007).
#[derive(Debug, Clone)]
pub(crate) struct Saw {
    phase: f64,
}

impl Saw {
    /// A saw that starts at `phase` turns.
    pub(crate) fn new(phase: f64) -> Self {
        Self { phase }
    }

    /// The next sample of a tone of `hertz`, in ±1.
    pub(crate) fn next(&mut self, hertz: f64) -> f64 {
        let step = hertz * STEP;
        self.phase += step;
        if self.phase >= 1.0 {
            self.phase -= 1.0;
        }
        2.0 * self.phase - 1.0 - step_residual(self.phase, step)
    }
}

/// What rounds off the jump of a saw next to the wrap of its phase.
fn step_residual(phase: f64, step: f64) -> f64 {
    if phase < step {
        let t = phase / step;
        t + t - t * t - 1.0
    } else if phase > 1.0 - step {
        let t = (phase - 1.0) / step;
        t * t + t + t + 1.0
    } else {
        0.0
    }
}

/// White noise in ±1.
#[derive(Debug, Clone)]
pub(crate) struct Noise(Rng);

impl Noise {
    pub(crate) fn new(rng: Rng) -> Self {
        Self(rng)
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.0.bipolar()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitches_have_their_frequencies() {
        assert_eq!(frequency(69.0), 440.0);
        assert!((frequency(60.0) - 261.6256).abs() < 1e-3);
    }

    #[test]
    fn saw_is_bounded_and_periodic() {
        let mut saw = Saw::new(0.0);
        let samples: Vec<f64> = (0..441).map(|_| saw.next(1_000.0)).collect();
        let falls = samples.windows(2).filter(|pair| pair[0] > 0.0 && pair[1] <= 0.0).count();
        assert!(samples.iter().all(|sample| sample.abs() <= 1.01));
        assert!((9..=10).contains(&falls), "{falls}");
    }
}
