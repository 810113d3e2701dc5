//! FLAC, by way of `flacenc`: block by block, so that a long track needs little
//! memory and can be cancelled.

use std::{
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
    path::Path,
};

use flacenc::{
    bitsink::ByteSink,
    component::{BitRepr, Stream, StreamInfo},
    config::Encoder,
    error::{Verified, Verify},
    source::{Context, Fill, FrameBuf},
};

use super::{BLOCK, EncodeError, Encoding, quantised};
use crate::{audio::Audio, progress::Span};

/// The least frames a block may have (RFC 9639, section 8.2), the last excepted.
const MIN_BLOCK: usize = 32;

pub(super) fn write(
    path: &Path,
    audio: &Audio,
    encoding: Encoding,
    span: &mut Span<'_>,
) -> Result<(), EncodeError> {
    let mut encoder = BlockEncoder::new(audio, encoding)?;
    let file = File::create(path).map_err(EncodeError::Write)?;
    let mut file = BufWriter::new(file);
    // The header holds sizes and a checksum known at the end alone; until then
    // its place is kept.
    file.write_all(&encoder.header()?).map_err(EncodeError::Write)?;
    for start in (0..audio.frames()).step_by(BLOCK) {
        span.step(start, audio.frames())?;
        let block = encoder.block(audio, start)?;
        file.write_all(&block).map_err(EncodeError::Write)?;
    }
    let header = encoder.finish()?;
    file.seek(SeekFrom::Start(0)).map_err(EncodeError::Write)?;
    file.write_all(&header).map_err(EncodeError::Write)?;
    file.flush().map_err(EncodeError::Write)?;
    Ok(span.at(1.0)?)
}

struct BlockEncoder {
    config: Verified<Encoder>,
    info: StreamInfo,
    context: Context,
    buffer: FrameBuf,
    bits: u16,
    blocks: usize,
    interleaved: Vec<i32>,
}

impl BlockEncoder {
    fn new(audio: &Audio, encoding: Encoding) -> Result<Self, EncodeError> {
        let (channels, sample_rate) = (audio.channels.len(), audio.sample_rate);
        let refused = || EncodeError::Unsupported { encoding, channels, sample_rate };
        if sample_rate == 0 || !(1..=8).contains(&channels) || audio.frames() < MIN_BLOCK {
            return Err(refused());
        }
        let bits = usize::from(encoding.bits());
        let mut info = StreamInfo::new(sample_rate as usize, channels, bits).map_err(|_| refused())?;
        info.set_block_sizes(BLOCK, BLOCK).map_err(|_| refused())?;
        Ok(Self {
            config: Encoder::default().into_verified().map_err(|_| refused())?,
            info,
            context: Context::new(bits, channels),
            buffer: FrameBuf::with_size(channels, BLOCK).map_err(|_| refused())?,
            bits: encoding.bits(),
            blocks: 0,
            interleaved: Vec::new(),
        })
    }

    /// Encodes the block of frames from `start` on.
    fn block(&mut self, audio: &Audio, start: usize) -> Result<Vec<u8>, EncodeError> {
        let end = audio.frames().min(start + BLOCK);
        self.interleaved.clear();
        for frame in start..end {
            let frame = audio.channels.iter().map(|channel| quantised(channel[frame], self.bits));
            self.interleaved.extend(frame);
        }
        self.buffer.fill_interleaved(&self.interleaved).map_err(refusal)?;
        self.context.fill_interleaved(&self.interleaved).map_err(refusal)?;
        let number = self.blocks;
        self.blocks += 1;
        let frame = flacenc::encode_fixed_size_frame(&self.config, &self.buffer, number, &self.info)
            .map_err(refusal)?;
        self.info.update_frame_info(&frame);
        let mut sink = ByteSink::new();
        frame.write(&mut sink).map_err(refusal)?;
        Ok(sink.as_slice().to_vec())
    }

    /// The stream marker and header as known so far.
    fn header(&self) -> Result<Vec<u8>, EncodeError> {
        let mut sink = ByteSink::new();
        Stream::with_stream_info(self.info.clone()).write(&mut sink).map_err(refusal)?;
        Ok(sink.as_slice().to_vec())
    }

    fn finish(&mut self) -> Result<Vec<u8>, EncodeError> {
        // All blocks but the last have the full size, which is what counts.
        self.info.set_block_sizes(BLOCK, BLOCK).map_err(refusal)?;
        self.info.set_total_samples(self.context.total_samples());
        self.info.set_md5_digest(&self.context.md5_digest());
        self.header()
    }
}

/// An error of the encoder, which none of our blocks should give.
fn refusal(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::Write(std::io::Error::other(error.to_string()))
}
