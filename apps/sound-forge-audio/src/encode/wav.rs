//! WAV, by way of `hound`.

use std::{fmt, fs::File, io::BufWriter, path::Path};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::{EncodeError, Encoding, quantised};

/// A WAV file being written.
pub(super) struct WavFile {
    writer: WavWriter<BufWriter<File>>,
    encoding: Encoding,
}

impl WavFile {
    pub(super) fn create(
        path: &Path,
        sample_rate: u32,
        channels: usize,
        encoding: Encoding,
    ) -> Result<Self, EncodeError> {
        let float = encoding == Encoding::WavFloat;
        let spec = WavSpec {
            channels: channels as u16,
            sample_rate,
            bits_per_sample: encoding.bits(),
            sample_format: if float { SampleFormat::Float } else { SampleFormat::Int },
        };
        Ok(Self { writer: WavWriter::create(path, spec).map_err(failure)?, encoding })
    }

    pub(super) fn push(&mut self, planes: &[&[f32]]) -> Result<(), EncodeError> {
        let bits = self.encoding.bits();
        for frame in 0..planes.first().map_or(0, |plane| plane.len()) {
            for plane in planes {
                match self.encoding {
                    Encoding::WavFloat => self.writer.write_sample(plane[frame]),
                    _ => self.writer.write_sample(quantised(plane[frame], bits)),
                }
                .map_err(failure)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), EncodeError> {
        self.writer.finalize().map_err(failure)
    }
}

impl fmt::Debug for WavFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WavFile").field("encoding", &self.encoding).finish_non_exhaustive()
    }
}

fn failure(error: hound::Error) -> EncodeError {
    EncodeError::Write(match error {
        hound::Error::IoError(error) => error,
        other => std::io::Error::other(other),
    })
}
