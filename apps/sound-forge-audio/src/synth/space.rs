//! Rooms: a reverb and an echo.

use super::{bus::Bus, oscillator::RATE};

/// Delays of the reverb's lines in samples: primes, so that echoes don't align.
const LINES: [usize; 4] = [1_433, 1_777, 2_203, 2_789];

/// A feedback delay network of four lines (Jot and Chaigne 1991).
#[derive(Debug)]
struct Network {
    lines: [Vec<f64>; 4],
    at: [usize; 4],
    damped: [f64; 4],
    feedback: f64,
}

impl Network {
    /// A room in which sound falls by 60 dB in `seconds`.
    fn new(seconds: f64) -> Self {
        let mean = LINES.iter().sum::<usize>() as f64 / 4.0 / f64::from(RATE);
        Self {
            lines: LINES.map(|length| vec![0.0; length]),
            at: [0; 4],
            damped: [0.0; 4],
            feedback: libm::pow(0.001, mean / seconds),
        }
    }

    fn next(&mut self, left: f64, right: f64) -> (f64, f64) {
        let mut out = [0.0; 4];
        for (line, sample) in out.iter_mut().enumerate() {
            // Highs die faster, as in a furnished room.
            self.damped[line] += 0.45 * (self.lines[line][self.at[line]] - self.damped[line]);
            *sample = self.damped[line];
        }
        let [a, b, c, d] = out;
        // A Hadamard matrix mixes all lines and keeps their energy.
        let mixed = [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d];
        for (line, sample) in mixed.into_iter().enumerate() {
            let input = if line % 2 == 0 { left } else { right };
            self.lines[line][self.at[line]] = input + 0.5 * sample * self.feedback;
            self.at[line] = (self.at[line] + 1) % LINES[line];
        }
        (a + c, b + d)
    }
}

/// Adds the bus's own reverberation to it: `amount` of a room of `seconds`.
pub(crate) fn reverberate(bus: &mut Bus, seconds: f64, amount: f64) {
    let mut network = Network::new(seconds);
    for (left, right) in bus.left.iter_mut().zip(&mut bus.right) {
        let (l, r) = network.next(f64::from(*left), f64::from(*right));
        *left += (l * amount) as f32;
        *right += (r * amount) as f32;
    }
}

/// Adds echoes every `delay` samples, the sides swapping at each.
pub(crate) fn echo(bus: &mut Bus, delay: usize, feedback: f32) {
    for frame in delay..bus.left.len() {
        let (left, right) = (bus.left[frame - delay], bus.right[frame - delay]);
        bus.left[frame] += right * feedback;
        bus.right[frame] += left * feedback * 0.8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverb_fades_away() {
        let mut bus = Bus::new(RATE as usize * 2);
        bus.left[0] = 1.0;
        reverberate(&mut bus, 0.8, 0.5);
        let energy = |range: std::ops::Range<usize>| {
            bus.right[range].iter().map(|sample| sample * sample).sum::<f32>()
        };
        assert!(energy(1_000..10_000) > 1e-4);
        assert!(energy(70_000..80_000) < 1e-7);
    }

    #[test]
    fn echoes_swap_sides() {
        let mut bus = Bus::new(30);
        bus.left[0] = 1.0;
        echo(&mut bus, 10, 0.5);
        assert_eq!((bus.right[10], bus.left[10]), (0.4, 0.0));
        assert!((bus.left[20] - 0.2).abs() < 1e-6);
    }
}
