//! Audio in memory: planar samples with a sample rate.

use std::fmt;

/// The largest magnitude a sample may have after [`Audio::sanitise`]: +18 dBFS.
///
/// Float files may carry values above full scale on purpose, but a hostile one
/// may carry 1e38, whose square is infinite.
pub const MAX_SAMPLE: f32 = 8.0;

/// Planar audio: one vector of samples per channel.
///
/// Full scale is ±1. All channels are meant to have the same length; where they
/// don't, the shortest counts.
#[derive(Clone, PartialEq, Default)]
pub struct Audio {
    /// Frames per second, in hertz.
    pub sample_rate: u32,
    /// Samples by channel: `channels[channel][frame]`; left is 0, right is 1.
    pub channels: Vec<Vec<f32>>,
}

impl Audio {
    /// Audio of these channels at `sample_rate` hertz.
    pub fn new(sample_rate: u32, channels: Vec<Vec<f32>>) -> Self {
        Self { sample_rate, channels }
    }

    /// `frames` frames of silence in `channels` channels.
    pub fn silence(sample_rate: u32, channels: usize, frames: usize) -> Self {
        Self::new(sample_rate, vec![vec![0.0; frames]; channels])
    }

    /// Makes every sample finite and at most [`MAX_SAMPLE`] in magnitude.
    pub fn sanitise(&mut self) {
        for sample in self.channels.iter_mut().flatten() {
            *sample = sanitised(*sample);
        }
    }

    /// Adds another piece of audio, frame by frame, where both have one.
    pub fn add(&mut self, other: &Self) {
        for (channel, more) in self.channels.iter_mut().zip(&other.channels) {
            for (sample, extra) in channel.iter_mut().zip(more) {
                *sample += extra;
            }
        }
    }

    /// How many frames there are: the length of the shortest channel.
    pub fn frames(&self) -> usize {
        self.channels.iter().map(Vec::len).min().unwrap_or(0)
    }

    /// The length in seconds; 0 without a sample rate.
    pub fn duration(&self) -> f64 {
        if self.sample_rate == 0 {
            return 0.0;
        }
        self.frames() as f64 / f64::from(self.sample_rate)
    }

    /// The mean of all channels, sanitised; one sample per frame.
    pub fn mono(&self) -> Vec<f32> {
        let scale = 1.0 / self.channels.len().max(1) as f32;
        let mut mono = vec![0.0; self.frames()];
        for channel in &self.channels {
            for (sum, sample) in mono.iter_mut().zip(channel) {
                *sum += sanitised(*sample) * scale;
            }
        }
        mono
    }

    /// The largest magnitude of any finite sample.
    pub fn peak(&self) -> f32 {
        self.channels.iter().flatten().fold(0.0, |peak, sample| peak.max(sample.abs()))
    }
}

/// Prints the shape alone: a track has millions of samples.
impl fmt::Debug for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audio")
            .field("sample_rate", &self.sample_rate)
            .field("channels", &self.channels.len())
            .field("frames", &self.frames())
            .finish()
    }
}

/// A finite sample within ±[`MAX_SAMPLE`]; what is no number becomes silence.
pub(crate) fn sanitised(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-MAX_SAMPLE, MAX_SAMPLE) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_is_the_mean_of_the_channels() {
        let audio = Audio::new(4, vec![vec![1.0, 0.0], vec![0.0, 0.5]]);
        assert_eq!(audio.mono(), [0.5, 0.25]);
        assert_eq!(audio.duration(), 0.5);
    }

    #[test]
    fn shortest_channel_counts() {
        let audio = Audio::new(1, vec![vec![0.0; 3], vec![0.0; 2]]);
        assert_eq!(audio.frames(), 2);
    }

    #[test]
    fn sanitised_audio_is_finite_and_bounded() {
        let mut audio = Audio::new(1, vec![vec![f32::NAN, f32::INFINITY, -1e38, 0.5]]);
        audio.sanitise();
        assert_eq!(audio.channels[0], [0.0, 0.0, -MAX_SAMPLE, 0.5]);
    }

    #[test]
    fn no_channels_and_no_rate_are_no_trouble() {
        let audio = Audio::default();
        assert_eq!((audio.frames(), audio.duration()), (0, 0.0));
        assert!(audio.mono().is_empty());
    }
}
