//! Mixing many channels down to two.

use symphonia::core::audio::{Channels, Position};

/// The gain of centre and surround channels: 3 dB down (ITU-R BS.775-3).
const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// What each channel of a file adds to left and right.
#[derive(Debug)]
pub(super) struct Downmix {
    gains: Vec<[f32; 2]>,
    outputs: usize,
}

impl Downmix {
    /// The downmix of a channel layout. One and two channels stay as they are.
    pub(super) fn new(channels: &Channels) -> Self {
        let gains = match channels.count() {
            1 => vec![[1.0, 0.0]],
            2 => vec![[1.0, 0.0], [0.0, 1.0]],
            count => normalised(match channels {
                Channels::Positioned(positions) => positions.iter().map(gain).collect(),
                // Without positions, channels alternate between the sides.
                _ => (0..count).map(|n| if n % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect(),
            }),
        };
        Self { outputs: gains.len().min(2), gains }
    }

    /// How many channels go in.
    pub(super) fn inputs(&self) -> usize {
        self.gains.len()
    }

    /// How many channels come out.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Appends planar samples to the output channels.
    pub(super) fn append(&self, planes: &[Vec<f32>], out: &mut [Vec<f32>]) {
        for (side, channel) in out.iter_mut().enumerate() {
            if self.inputs() <= 2 {
                channel.extend_from_slice(&planes[side]);
                continue;
            }
            let start = channel.len();
            channel.resize(start + planes[0].len(), 0.0);
            for (plane, gains) in planes.iter().zip(&self.gains) {
                for (sum, sample) in channel[start..].iter_mut().zip(plane) {
                    *sum += gains[side] * sample;
                }
            }
        }
    }
}

/// The gains of one speaker position. The low-frequency effects are left out,
/// as BS.775 has it.
fn gain(position: Position) -> [f32; 2] {
    let left = Position::FRONT_LEFT | Position::FRONT_LEFT_CENTER;
    let right = Position::FRONT_RIGHT | Position::FRONT_RIGHT_CENTER;
    let left_behind = Position::REAR_LEFT | Position::SIDE_LEFT;
    let right_behind = Position::REAR_RIGHT | Position::SIDE_RIGHT;
    match position {
        position if left.contains(position) => [1.0, 0.0],
        position if right.contains(position) => [0.0, 1.0],
        position if left_behind.contains(position) => [HALF_POWER, 0.0],
        position if right_behind.contains(position) => [0.0, HALF_POWER],
        Position::LFE1 => [0.0, 0.0],
        _ => [HALF_POWER, HALF_POWER],
    }
}

/// Scales gains so that full scale on all channels does not clip.
fn normalised(gains: Vec<[f32; 2]>) -> Vec<[f32; 2]> {
    let sum = |side: usize| gains.iter().map(|gain| gain[side]).sum::<f32>();
    let scale = 1.0 / sum(0).max(sum(1)).max(1.0);
    gains.iter().map(|gain| gain.map(|side| side * scale)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_point_one_keeps_its_sides() {
        let layout = symphonia::core::audio::layouts::CHANNEL_LAYOUT_5P1;
        let mix = Downmix::new(&layout);
        // Left, right, centre, LFE, then both surrounds.
        let planes: Vec<Vec<f32>> = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0].map(|s| vec![s]).to_vec();
        let mut out = vec![vec![], vec![]];
        mix.append(&planes, &mut out);
        assert!((out[0][0] - 1.707 / 2.414).abs() < 1e-3, "{out:?}");
        assert_eq!(out[1][0], 0.0);
    }

    #[test]
    fn full_scale_on_all_channels_does_not_clip() {
        for count in 3..=8 {
            let mix = Downmix::new(&Channels::Discrete(count));
            let mut out = vec![vec![], vec![]];
            mix.append(&vec![vec![1.0]; usize::from(count)], &mut out);
            assert!(out.iter().all(|side| side[0] <= 1.0001), "{count} {out:?}");
        }
    }
}
