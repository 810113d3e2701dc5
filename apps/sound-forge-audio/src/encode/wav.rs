//! WAV, by way of `hound`.

use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};

use super::{BLOCK, EncodeError, Encoding, quantised};
use crate::{audio::Audio, progress::Span};

pub(super) fn write(
    path: &Path,
    audio: &Audio,
    encoding: Encoding,
    span: &mut Span<'_>,
) -> Result<(), EncodeError> {
    let (channels, sample_rate) = (audio.channels.len(), audio.sample_rate);
    let refused = || EncodeError::Unsupported { encoding, channels, sample_rate };
    if sample_rate == 0 || !(1..=8).contains(&channels) {
        return Err(refused());
    }
    let float = encoding == Encoding::WavFloat;
    let spec = WavSpec {
        channels: channels as u16,
        sample_rate,
        bits_per_sample: encoding.bits(),
        sample_format: if float { SampleFormat::Float } else { SampleFormat::Int },
    };
    let mut writer = WavWriter::create(path, spec).map_err(failure)?;
    for start in (0..audio.frames()).step_by(BLOCK) {
        span.step(start, audio.frames())?;
        for frame in start..audio.frames().min(start + BLOCK) {
            for channel in &audio.channels {
                let sample = channel[frame];
                if float {
                    writer.write_sample(sample).map_err(failure)?;
                } else {
                    writer.write_sample(quantised(sample, encoding.bits())).map_err(failure)?;
                }
            }
        }
    }
    writer.finalize().map_err(failure)?;
    Ok(span.at(1.0)?)
}

fn failure(error: hound::Error) -> EncodeError {
    EncodeError::Write(match error {
        hound::Error::IoError(error) => error,
        other => std::io::Error::other(other),
    })
}
