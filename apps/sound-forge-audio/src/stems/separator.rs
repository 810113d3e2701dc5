//! Separation block by block, in bounded memory.

use std::{collections::VecDeque, fmt, sync::Arc};

use realfft::{ComplexToReal, RealFftPlanner, num_complex::Complex};

use super::masks::{Frame, LASTING, Masks, Ownership};
use crate::{
    audio::{Audio, sanitised},
    spectrum::{Spectrum, frame_size, hann},
};

/// Each sample is seen by this many frames.
const OVERLAP: usize = 4;

/// Frames worked on between two blocks of output.
const BLOCK_FRAMES: usize = 64;

/// One block of each stem, in the order of [`super::Stem::ALL`]: planes of
/// samples by channel.
pub(super) type Block = [Vec<Vec<f32>>; 4];

/// Walks through a track and gives its stems, block by block.
pub(super) struct Separator<'a> {
    audio: &'a Audio,
    hop: usize,
    spectrum: Spectrum,
    inverse: Arc<dyn ComplexToReal<f32>>,
    window: Vec<f32>,
    ownership: Ownership,
    /// The frames around the current one, the oldest first.
    frames: VecDeque<Frame>,
    /// The number of the oldest of these.
    oldest: usize,
    /// The number of the next frame to be separated.
    next: usize,
    /// Overlapping sums that are not complete yet: by stem, by channel.
    sums: [Vec<Vec<f32>>; 3],
    /// How many frames of audio were given out.
    given: usize,
}

impl<'a> Separator<'a> {
    pub(super) fn new(audio: &'a Audio) -> Self {
        let size = frame_size(audio.sample_rate, 0.093);
        // The square roots of two Hann windows, one before and one after, sum
        // up to a constant.
        let window: Vec<f32> = hann(size).into_iter().map(f32::sqrt).collect();
        let bin_hertz = audio.sample_rate as f32 / size as f32;
        let channels = audio.channels.len();
        Self {
            audio,
            hop: size / OVERLAP,
            spectrum: Spectrum::new(window.clone()),
            inverse: RealFftPlanner::new().plan_fft_inverse(size),
            ownership: Ownership::new(size / 2 + 1, bin_hertz),
            window,
            frames: VecDeque::new(),
            oldest: 0,
            next: 0,
            sums: [0; 3].map(|_| vec![vec![0.0; size]; channels]),
            given: 0,
        }
    }

    /// The share of the track that was given out, 0 to 1.
    pub(super) fn progress(&self) -> f64 {
        self.given as f64 / self.audio.frames().max(1) as f64
    }

    /// The next block of the stems, or `None` at the end of the track.
    pub(super) fn next_block(&mut self) -> Option<Block> {
        if self.given >= self.audio.frames() {
            return None;
        }
        let mut block: Block = [0; 4].map(|_| vec![Vec::new(); self.audio.channels.len()]);
        for _ in 0..BLOCK_FRAMES {
            self.turn(&mut block);
        }
        Some(block)
    }

    /// Separates one frame, and moves what is complete by then into the block.
    fn turn(&mut self, block: &mut Block) {
        self.look_ahead();
        let at = self.next - self.oldest;
        let masks = self.ownership.masks(&self.frames, at);
        self.overlay(&masks, at);
        self.next += 1;
        // The first frames begin before the track, so that its first samples
        // are seen as often as all others.
        let complete = self.next >= OVERLAP;
        let wanted = self.hop.min(self.audio.frames() - self.given);
        for channel in 0..self.audio.channels.len() {
            let parts = [0, 1, 2].map(|stem| {
                let sum = &mut self.sums[stem][channel];
                let part: Vec<f32> = sum.drain(..self.hop).collect();
                sum.resize(sum.len() + self.hop, 0.0);
                part
            });
            if complete {
                let input = &self.audio.channels[channel][self.given..self.given + wanted];
                share_out(input, &parts, block, channel);
            }
        }
        if complete {
            self.given += wanted;
        }
    }

    /// Makes sure that the neighbours of the next frame are there, and drops
    /// those that are not needed any more.
    fn look_ahead(&mut self) {
        while self.oldest + self.frames.len() <= self.next + LASTING {
            let number = (self.oldest + self.frames.len()) as i64;
            let start = (number + 1 - OVERLAP as i64) * self.hop as i64;
            let channels = self.audio.channels.iter();
            let spectra = channels.map(|samples| self.spectrum.complex(samples, start).to_vec());
            let frame = Frame::new(spectra.collect());
            self.frames.push_back(frame);
        }
        while self.oldest + LASTING < self.next {
            self.frames.pop_front();
            self.oldest += 1;
        }
    }

    /// Turns the masked spectra of a frame back into sound.
    fn overlay(&mut self, masks: &Masks, at: usize) {
        // Realfft scales by the size, and the windows by half the overlap.
        let scale = 2.0 / (self.window.len() * OVERLAP) as f32;
        let mut masked: Vec<Complex<f32>> = self.inverse.make_input_vec();
        let mut samples = self.inverse.make_output_vec();
        for (stem, mask) in [&masks.drums, &masks.bass, &masks.vocals].into_iter().enumerate() {
            for (channel, spectrum) in self.frames[at].spectra.iter().enumerate() {
                for ((out, bin), share) in masked.iter_mut().zip(spectrum).zip(mask) {
                    *out = bin * share;
                }
                // These two have no imaginary part in the spectrum of real sound.
                masked[0].im = 0.0;
                masked[self.window.len() / 2].im = 0.0;
                self.inverse
                    .process(&mut masked, &mut samples)
                    .expect("the buffers were made for this transform");
                let sum = &mut self.sums[stem][channel];
                for ((sum, sample), weight) in sum.iter_mut().zip(&samples).zip(&self.window) {
                    *sum += sample * weight * scale;
                }
            }
        }
    }
}

impl fmt::Debug for Separator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Separator").field("given", &self.given).finish_non_exhaustive()
    }
}

/// Appends one channel of all stems. The rest is what the input has beyond the
/// three, so that they add up to it exactly.
fn share_out(input: &[f32], parts: &[Vec<f32>; 3], block: &mut Block, channel: usize) {
    for (at, input) in input.iter().enumerate() {
        let input = sanitised(*input);
        let [drums, bass, vocals] = [0, 1, 2].map(|stem| parts[stem][at]);
        let mut stems = [drums, bass, vocals, input - (drums + bass + vocals)];
        if input.abs() <= 1.0 {
            keep_within_scale(&mut stems);
        }
        for (out, sample) in block.iter_mut().zip(stems) {
            out[channel].push(sample);
        }
    }
}

/// Moves what exceeds full scale in one stem to the others, which have room for
/// it when the sum is within full scale: integer files could not hold it.
fn keep_within_scale(stems: &mut [f32; 4]) {
    for stem in 0..4 {
        let mut excess = stems[stem] - stems[stem].clamp(-1.0, 1.0);
        if excess == 0.0 {
            continue;
        }
        stems[stem] -= excess;
        for other in (0..4).filter(|other| *other != stem) {
            let taken = (stems[other] + excess).clamp(-1.0, 1.0) - stems[other];
            // Only room in the direction of the excess helps.
            if taken * excess > 0.0 {
                stems[other] += taken;
                excess -= taken;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_moves_and_the_sum_stays() {
        for mut stems in [[1.3, -0.4, 0.0, 0.05], [-0.2, -1.5, 1.2, 0.3], [0.5, 0.2, 0.1, 0.0]] {
            let sum: f32 = stems.iter().sum();
            keep_within_scale(&mut stems);
            assert!(stems.iter().all(|stem| stem.abs() <= 1.0), "{stems:?}");
            assert!((stems.iter().sum::<f32>() - sum).abs() < 1e-6, "{stems:?}");
        }
    }
}
