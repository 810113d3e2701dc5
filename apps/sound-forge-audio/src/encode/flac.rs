//! FLAC, by way of `flacenc`: block by block, so that a long track needs little
//! memory and can be cancelled.

use std::{
    fmt,
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

/// A FLAC file being written.
pub(super) struct FlacWriter {
    file: BufWriter<File>,
    config: Verified<Encoder>,
    info: StreamInfo,
    context: Context,
    buffer: FrameBuf,
    bits: u16,
    blocks: usize,
    /// Interleaved samples that do not fill a block yet.
    waiting: Vec<i32>,
}

impl FlacWriter {
    pub(super) fn create(
        path: &Path,
        sample_rate: u32,
        channels: usize,
        encoding: Encoding,
    ) -> Result<Self, EncodeError> {
        let refused = || EncodeError::Unsupported { encoding, channels, sample_rate };
        let bits = usize::from(encoding.bits());
        let info = StreamInfo::new(sample_rate as usize, channels, bits).map_err(|_| refused())?;
        let config = Encoder::default().into_verified().map_err(|_| refused())?;
        let buffer = FrameBuf::with_size(channels, BLOCK).map_err(|_| refused())?;
        let file = BufWriter::new(File::create(path).map_err(EncodeError::Write)?);
        let mut writer = Self {
            file,
            config,
            info,
            context: Context::new(bits, channels),
            buffer,
            bits: encoding.bits(),
            blocks: 0,
            waiting: Vec::with_capacity(BLOCK * channels),
        };
        // The header holds sizes and a checksum known at the end alone; until
        // then its place is kept.
        writer.write_header()?;
        Ok(writer)
    }

    pub(super) fn push(&mut self, planes: &[&[f32]]) -> Result<(), EncodeError> {
        for frame in 0..planes.first().map_or(0, |plane| plane.len()) {
            self.waiting.extend(planes.iter().map(|plane| quantised(plane[frame], self.bits)));
            if self.waiting.len() == BLOCK * planes.len() {
                self.write_block()?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), EncodeError> {
        if !self.waiting.is_empty() {
            self.write_block()?;
        }
        self.info.set_total_samples(self.context.total_samples());
        self.info.set_md5_digest(&self.context.md5_digest());
        self.file.seek(SeekFrom::Start(0)).map_err(EncodeError::Write)?;
        self.write_header()?;
        self.file.flush().map_err(EncodeError::Write)
    }

    /// Encodes what waits as one block.
    fn write_block(&mut self) -> Result<(), EncodeError> {
        self.buffer.fill_interleaved(&self.waiting).map_err(refusal)?;
        self.context.fill_interleaved(&self.waiting).map_err(refusal)?;
        self.waiting.clear();
        let (config, number) = (&self.config, self.blocks);
        let frame =
            flacenc::encode_fixed_size_frame(config, &self.buffer, number, &self.info).map_err(refusal)?;
        self.blocks += 1;
        self.info.update_frame_info(&frame);
        let mut sink = ByteSink::new();
        frame.write(&mut sink).map_err(refusal)?;
        self.file.write_all(sink.as_slice()).map_err(EncodeError::Write)
    }

    /// Writes the stream marker and the header as known so far.
    fn write_header(&mut self) -> Result<(), EncodeError> {
        // All blocks but the last have the full size, which is what counts.
        self.info.set_block_sizes(BLOCK, BLOCK).map_err(refusal)?;
        let mut sink = ByteSink::new();
        Stream::with_stream_info(self.info.clone()).write(&mut sink).map_err(refusal)?;
        self.file.write_all(sink.as_slice()).map_err(EncodeError::Write)
    }
}

impl fmt::Debug for FlacWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlacWriter").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

/// An error of the encoder, which none of our blocks should give.
fn refusal(error: impl fmt::Display) -> EncodeError {
    EncodeError::Write(std::io::Error::other(error.to_string()))
}
