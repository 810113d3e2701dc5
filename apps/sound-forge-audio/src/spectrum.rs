//! Short-time spectra.

use std::{f32::consts::PI, fmt, sync::Arc};

use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

/// Computes the spectra of windowed frames of one length.
pub(crate) struct Spectrum {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    input: Vec<f32>,
    output: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl Spectrum {
    /// Frames weighted with `window`, whose length is the transform's.
    pub(crate) fn new(window: Vec<f32>) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(window.len());
        Self {
            input: fft.make_input_vec(),
            output: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            window,
            fft,
        }
    }

    /// The complex spectrum of the frame that starts at `start`, which may lie
    /// outside of the samples; there is silence.
    pub(crate) fn complex(&mut self, samples: &[f32], start: i64) -> &[Complex<f32>] {
        for (offset, (input, weight)) in self.input.iter_mut().zip(&self.window).enumerate() {
            let sample = usize::try_from(start + offset as i64).ok().and_then(|at| samples.get(at));
            *input = sample.map_or(0.0, |sample| sample * weight);
        }
        self.fft
            .process_with_scratch(&mut self.input, &mut self.output, &mut self.scratch)
            .expect("the buffers were made for this transform");
        &self.output
    }

    /// Writes the magnitudes of the frame centred on `centre` into `out`.
    ///
    /// They are scaled so that a sine of amplitude 1 peaks near 1.
    pub(crate) fn magnitudes(&mut self, samples: &[f32], centre: i64, out: &mut Vec<f32>) {
        let scale = 2.0 / self.window.iter().sum::<f32>();
        let start = centre - self.window.len() as i64 / 2;
        out.clear();
        out.extend(self.complex(samples, start).iter().map(|bin| bin.norm() * scale));
    }
}

impl fmt::Debug for Spectrum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spectrum").field("size", &self.window.len()).finish_non_exhaustive()
    }
}

/// A periodic Hann window.
pub(crate) fn hann(size: usize) -> Vec<f32> {
    (0..size).map(|i| 0.5 - 0.5 * (2.0 * PI * i as f32 / size as f32).cos()).collect()
}

/// The power of two nearest to `seconds` at `rate` hertz, at least 64.
pub(crate) fn frame_size(rate: u32, seconds: f64) -> usize {
    let exact = (f64::from(rate) * seconds).max(64.0);
    1 << exact.log2().round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scale_sine_peaks_near_one() {
        let samples: Vec<f32> = (0..4_096).map(|i| (i as f32 * PI / 16.0).sin()).collect();
        let mut magnitudes = Vec::new();
        Spectrum::new(hann(1_024)).magnitudes(&samples, 2_048, &mut magnitudes);
        assert!((magnitudes[32] - 1.0).abs() < 0.01, "{}", magnitudes[32]);
        assert!(magnitudes[100] < 1e-3);
    }

    #[test]
    fn frame_sizes_follow_the_rate() {
        assert_eq!(frame_size(44_100, 0.046), 2_048);
        assert_eq!(frame_size(96_000, 0.046), 4_096);
        assert_eq!(frame_size(8_000, 0.046), 512);
    }
}
