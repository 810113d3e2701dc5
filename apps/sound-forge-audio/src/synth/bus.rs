//! A stereo mixing bus.

use super::{filter::saturate, oscillator::RATE};
use crate::audio::Audio;

/// Left and right while they are being mixed.
#[derive(Debug, Clone)]
pub(crate) struct Bus {
    pub(crate) left: Vec<f32>,
    pub(crate) right: Vec<f32>,
}

impl Bus {
    pub(crate) fn new(frames: usize) -> Self {
        Self { left: vec![0.0; frames], right: vec![0.0; frames] }
    }

    /// Adds one mono sound from `start` on, placed at `pan` (-1 left, 1 right)
    /// with constant power. What lies beyond the end is cut.
    pub(crate) fn add(&mut self, start: usize, pan: f64, sound: impl Iterator<Item = f64>) {
        let angle = (pan.clamp(-1.0, 1.0) + 1.0) * std::f64::consts::FRAC_PI_4;
        let (left, right) = (libm::cos(angle), libm::sin(angle));
        let frames = self.left.iter_mut().zip(&mut self.right).skip(start);
        for ((l, r), sample) in frames.zip(sound) {
            *l += (sample * left) as f32;
            *r += (sample * right) as f32;
        }
    }

    /// Multiplies both sides by a gain per frame.
    pub(crate) fn shape(&mut self, gains: &[f32]) {
        for ((left, right), gain) in self.left.iter_mut().zip(&mut self.right).zip(gains) {
            *left *= gain;
            *right *= gain;
        }
    }

    /// Drives the bus into saturation; no sample exceeds `ceiling` afterwards.
    pub(crate) fn finish(mut self, drive: f64, ceiling: f64) -> Audio {
        for sample in self.left.iter_mut().chain(&mut self.right) {
            *sample = (saturate(f64::from(*sample) * drive) * ceiling) as f32;
        }
        Audio::new(RATE, vec![self.left, self.right])
    }
}

/// The frame at `seconds`, never before the start.
pub(crate) fn frame_at(seconds: f64) -> usize {
    (seconds * f64::from(RATE)).round().max(0.0) as usize
}
