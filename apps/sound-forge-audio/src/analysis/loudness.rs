//! Loudness after EBU R 128.

use ebur128::{EbuR128, Mode};
use serde::{Deserialize, Serialize};

use super::series::rounded;
use crate::{
    audio::{Audio, sanitised},
    progress::{Cancelled, Span},
};

/// What counts as silence: below this nothing is measured (the absolute gate of
/// ITU-R BS.1770-4), in LUFS.
pub const SILENCE_LUFS: f64 = -70.0;

/// Loudness after EBU R 128 (ITU-R BS.1770-4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loudness {
    /// Integrated loudness in LUFS; `None` where all is below [`SILENCE_LUFS`]
    /// or shorter than the 400 ms of a block.
    pub integrated_lufs: Option<f64>,
    /// The loudness range in LU (EBU Tech 3342).
    pub range_lu: f64,
    /// The highest true peak of any channel in dBTP; `None` in silence.
    pub true_peak_dbtp: Option<f64>,
}

/// Measures a track; true peaks up to 96 kHz, sample peaks above.
pub(super) fn measure(audio: &Audio, span: &mut Span<'_>) -> Result<Loudness, Cancelled> {
    let silent = Loudness { integrated_lufs: None, range_lu: 0.0, true_peak_dbtp: None };
    let mode = Mode::I | Mode::LRA | Mode::TRUE_PEAK | Mode::HISTOGRAM;
    let channels = audio.channels.len() as u32;
    let Ok(mut meter) = EbuR128::new(channels, audio.sample_rate, mode) else {
        return Ok(silent);
    };
    let block = audio.sample_rate as usize;
    for start in (0..audio.frames()).step_by(block.max(1)) {
        span.step(start, audio.frames())?;
        let end = audio.frames().min(start + block);
        let clean: Vec<Vec<f32>> = audio
            .channels
            .iter()
            .map(|channel| channel[start..end].iter().copied().map(sanitised).collect())
            .collect();
        let planes: Vec<&[f32]> = clean.iter().map(Vec::as_slice).collect();
        if meter.add_frames_planar_f32(&planes).is_err() {
            return Ok(silent);
        }
    }
    span.at(1.0)?;
    Ok(read(&meter, channels))
}

fn read(meter: &EbuR128, channels: u32) -> Loudness {
    let integrated = meter.loudness_global().ok().filter(|lufs| *lufs > SILENCE_LUFS);
    let peak = (0..channels).filter_map(|n| meter.true_peak(n).ok()).fold(0.0, f64::max);
    Loudness {
        integrated_lufs: integrated.map(|lufs| rounded(lufs, 2)),
        range_lu: rounded(meter.loudness_range().unwrap_or(0.0), 2),
        true_peak_dbtp: (peak > 1e-6).then(|| rounded(20.0 * peak.log10(), 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Unwatched;

    fn measured(amplitude: f32, channels: usize) -> Loudness {
        let step = std::f32::consts::TAU * 1_000.0 / 48_000.0;
        let sine: Vec<f32> = (0..48_000 * 5).map(|i| (i as f32 * step).sin() * amplitude).collect();
        let mut watcher = Unwatched;
        let audio = Audio::new(48_000, vec![sine; channels]);
        measure(&audio, &mut Span::whole(&mut watcher)).unwrap()
    }

    #[test]
    fn the_reference_tone_has_its_loudness() {
        // EBU Tech 3341, case 1: a stereo sine of 1 kHz at -23 dBFS is -23 LUFS.
        let amplitude = 10_f32.powf(-23.0 / 20.0);
        let loudness = measured(amplitude, 2);
        assert!((loudness.integrated_lufs.unwrap() + 23.0).abs() < 0.1, "{loudness:?}");
        assert!((loudness.true_peak_dbtp.unwrap() + 23.0).abs() < 0.2, "{loudness:?}");
        // One channel alone carries half the power.
        let mono = measured(amplitude, 1);
        assert!((mono.integrated_lufs.unwrap() + 26.0).abs() < 0.1, "{mono:?}");
    }

    #[test]
    fn silence_has_none() {
        let loudness = measured(0.0, 2);
        assert_eq!((loudness.integrated_lufs, loudness.true_peak_dbtp), (None, None));
    }
}
