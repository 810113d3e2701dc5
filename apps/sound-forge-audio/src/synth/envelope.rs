//! How loud a note is over its life.

use super::oscillator::{RATE, STEP};

/// Falls exponentially from 1, to 1/e after `seconds`.
#[derive(Debug, Clone)]
pub(crate) struct Decay {
    level: f64,
    factor: f64,
}

impl Decay {
    pub(crate) fn new(seconds: f64) -> Self {
        Self { level: 1.0, factor: libm::exp(-STEP / seconds.max(STEP)) }
    }

    pub(crate) fn next(&mut self) -> f64 {
        let level = self.level;
        self.level *= self.factor;
        level
    }
}

/// The shape of a held note, in seconds and as a sustained level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// The rise to full level.
    pub(crate) attack: f64,
    /// The time constant of the fall to the sustained level.
    pub(crate) decay: f64,
    /// The level held, 0 to 1.
    pub(crate) sustain: f64,
    /// The time constant of the fall after the note ends.
    pub(crate) release: f64,
}

impl Shape {
    /// The envelope of a note held for `seconds`.
    pub(crate) fn held(self, seconds: f64) -> Held {
        Held {
            shape: self,
            at: 0,
            hold: (seconds * f64::from(RATE)) as usize,
            decay: Decay::new(self.decay),
            release: Decay::new(self.release),
            last: 0.0,
        }
    }

    /// How many samples a note held for `seconds` sounds, release included.
    pub(crate) fn samples(self, seconds: f64) -> usize {
        // After seven time constants a note is 60 dB down.
        ((seconds + 7.0 * self.release) * f64::from(RATE)) as usize
    }
}

/// The running envelope of one note.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    shape: Shape,
    at: usize,
    hold: usize,
    decay: Decay,
    release: Decay,
    last: f64,
}

impl Held {
    pub(crate) fn next(&mut self) -> f64 {
        if self.at >= self.hold {
            return self.last * self.release.next();
        }
        let time = self.at as f64 * STEP;
        self.at += 1;
        self.last = if time < self.shape.attack {
            time / self.shape.attack
        } else {
            self.shape.sustain + (1.0 - self.shape.sustain) * self.decay.next()
        };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_notes_rise_hold_and_fade() {
        let shape = Shape { attack: 0.01, decay: 0.05, sustain: 0.5, release: 0.02 };
        let mut held = shape.held(0.5);
        let levels: Vec<f64> = (0..shape.samples(0.5)).map(|_| held.next()).collect();
        assert!(levels[0] < 0.01);
        assert!((levels[442] - 1.0).abs() < 0.02, "{}", levels[442]);
        assert!((levels[20_000] - 0.5).abs() < 0.01);
        assert!(*levels.last().unwrap() < 0.001);
    }
}
