//! The loop that turns packets into samples, and its distrust.

use std::{
    fs::File,
    io::{ErrorKind, Seek, SeekFrom},
    panic::{AssertUnwindSafe, catch_unwind},
};

use symphonia::{
    core::{
        codecs::{
            CodecParameters,
            audio::{AudioDecoder, AudioDecoderOptions},
        },
        errors::Error,
        formats::{
            FormatOptions, FormatReader, Track, TrackType,
            probe::{Hint, Probe},
        },
        io::MediaSourceStream,
        meta::{MetadataOptions, StandardTag},
    },
    default::{formats, get_codecs, meta},
};

use super::{Container, DecodeError, Decoded, Limits, MAX_CHANNELS, downmix::Downmix};
use crate::{audio::Audio, progress::Span};

/// The sample rates accepted, in hertz.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// Packets in a row that may give nothing before the file counts as damaged:
/// no file makes us turn for ever.
const MAX_IDLE_PACKETS: usize = 50_000;

/// An open file with its decoder.
pub(super) struct Session {
    container: Container,
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    rate: u32,
    /// Frames announced by the container, if it says.
    expected: Option<u64>,
    downmix: Downmix,
    planes: Vec<Vec<f32>>,
    out: Vec<Vec<f32>>,
    /// Packets decoded, and packets that could not be.
    good: usize,
    bad: usize,
    idle: usize,
}

/// What one turn of the loop gave.
enum Turn {
    /// A packet of this many bytes was worked on.
    Packet(usize),
    /// There are no more packets; the reason, when it was an error.
    End(Option<String>),
}

impl Session {
    pub(super) fn open(mut file: File, container: Container) -> Result<Self, DecodeError> {
        file.seek(SeekFrom::Start(0)).map_err(DecodeError::Read)?;
        let source = MediaSourceStream::new(Box::new(file), Default::default());
        let (hint, meta) = (Hint::new(), MetadataOptions::default());
        let reader =
            guarded(container, || probe(container).probe(&hint, source, FormatOptions::default(), meta))?
                .map_err(|error| unreadable(container, &error))?;
        let track = reader
            .default_track(TrackType::Audio)
            .ok_or_else(|| unsupported(container, "it has no audio track"))?
            .clone();
        let decoder = decoder(container, &track)?;
        Self::start(container, reader, decoder, &track)
    }

    fn start(
        container: Container,
        reader: Box<dyn FormatReader>,
        decoder: Box<dyn AudioDecoder>,
        track: &Track,
    ) -> Result<Self, DecodeError> {
        let params = decoder.codec_params();
        let rate = params.sample_rate.unwrap_or(0);
        if !RATES.contains(&rate) {
            return Err(unsupported(container, &format!("a sample rate of {rate} hertz")));
        }
        let channels = params.channels.clone().unwrap_or_default();
        match channels.count() {
            0 => return Err(unsupported(container, "it does not tell its channels")),
            1..=MAX_CHANNELS => {}
            channels => return Err(DecodeError::TooManyChannels { channels }),
        }
        let downmix = Downmix::new(&channels);
        Ok(Self {
            container,
            reader,
            decoder,
            track: track.id,
            rate,
            expected: expected_frames(track, rate),
            out: vec![Vec::new(); downmix.outputs()],
            downmix,
            planes: Vec::new(),
            good: 0,
            bad: 0,
            idle: 0,
        })
    }

    /// Decodes all there is; `bytes` is the length of the file.
    pub(super) fn decode(
        mut self,
        bytes: u64,
        limits: &Limits,
        span: &mut Span<'_>,
    ) -> Result<Decoded, DecodeError> {
        let most = limits.frames(self.rate);
        let too_long = DecodeError::TooLong { limit: most / u64::from(self.rate) };
        if self.expected.is_some_and(|frames| frames > most) {
            return Err(too_long);
        }
        let mut read = 0;
        let end = loop {
            match self.turn()? {
                Turn::Packet(length) => read += length,
                Turn::End(reason) => break reason,
            }
            if self.frames() > most {
                return Err(too_long);
            }
            span.at(read as f64 / bytes as f64)?;
        };
        self.judge(end)?;
        span.at(1.0)?;
        Ok(self.finish())
    }

    /// Reads and decodes one packet.
    fn turn(&mut self) -> Result<Turn, DecodeError> {
        let (container, before) = (self.container, self.frames());
        let turn = guarded(container, AssertUnwindSafe(|| self.next_packet()))??;
        self.idle = if self.frames() > before { 0 } else { self.idle + 1 };
        if self.idle > MAX_IDLE_PACKETS {
            return Err(corrupt(container, "it has packets without audio and no end"));
        }
        Ok(turn)
    }

    fn next_packet(&mut self) -> Result<Turn, DecodeError> {
        let packet = match self.reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(Turn::End(None)),
            Err(Error::ResetRequired) => return self.next_link(),
            Err(error) => return Ok(Turn::End(Some(error.to_string()))),
        };
        let strict = self.is_lossless();
        if packet.track_id == self.track {
            match self.decoder.decode(&packet) {
                Ok(buffer)
                    if buffer.spec().rate() == self.rate
                        && buffer.spec().channels().count() == self.downmix.inputs() =>
                {
                    buffer.copy_to_vecs_planar(&mut self.planes);
                    self.downmix.append(&self.planes, &mut self.out);
                    self.good += 1;
                }
                Ok(_) => self.bad += 1,
                Err(error) if strict => {
                    return Err(corrupt(self.container, &error.to_string()));
                }
                // Lossy streams may start in mid-air and end in junk.
                Err(_) => self.bad += 1,
            }
        }
        Ok(Turn::Packet(packet.data.len()))
    }

    /// Goes on with the next link of a chained Ogg file.
    fn next_link(&mut self) -> Result<Turn, DecodeError> {
        let Some(track) = self.reader.default_track(TrackType::Audio).cloned() else {
            return Ok(Turn::End(None));
        };
        self.decoder = decoder(self.container, &track)?;
        self.track = track.id;
        // What was announced was the first link alone.
        self.expected = None;
        Ok(Turn::Packet(0))
    }

    /// Decides whether what was decoded is the whole file.
    fn judge(&mut self, end: Option<String>) -> Result<(), DecodeError> {
        let got = self.frames();
        if let Some(expected) = self.expected.filter(|expected| got + self.tolerance() < *expected) {
            return Err(DecodeError::Truncated { expected, got });
        }
        if self.is_lossless() && self.decoder.finalize().verify_ok == Some(false) {
            return Err(corrupt(self.container, "the checksum of its audio differs"));
        }
        if got == 0 {
            let reason = end.unwrap_or_else(|| "it holds no audio".into());
            return Err(corrupt(self.container, &reason));
        }
        if self.bad > 4 && self.bad * 20 > self.good {
            let reason = format!("{} of {} packets are", self.bad, self.bad + self.good);
            return Err(corrupt(self.container, &reason));
        }
        match end {
            // An end by an error is an early one, unless all frames were there
            // or junk may follow them.
            Some(reason) if self.expected.is_none() && self.container != Container::Mp3 => {
                Err(corrupt(self.container, &reason))
            }
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Decoded {
        let mut audio = Audio::new(self.rate, self.out);
        audio.sanitise();
        let (title, artist) = tags(self.reader.as_mut());
        Decoded { audio, container: self.container, source_channels: self.downmix.inputs(), title, artist }
    }

    fn frames(&self) -> u64 {
        self.out[0].len() as u64
    }

    /// Whether every frame announced must be there to the bit.
    fn is_lossless(&self) -> bool {
        matches!(self.container, Container::Wav | Container::Flac)
    }

    /// How many frames may be missing: encoders pad, and players differ on how
    /// much of that they cut.
    fn tolerance(&self) -> u64 {
        match self.container {
            Container::Flac | Container::Wav => 0,
            Container::Mp3 | Container::Ogg | Container::M4a => u64::from(self.rate) / 5,
        }
    }
}

/// A probe that knows one container and the tags that surround it.
fn probe(container: Container) -> Probe {
    let mut probe = Probe::new();
    match container {
        Container::Wav => probe.register_format::<formats::WavReader<'_>>(),
        Container::Flac => probe.register_format::<formats::FlacReader<'_>>(),
        Container::Mp3 => probe.register_format::<formats::MpaReader<'_>>(),
        Container::Ogg => probe.register_format::<formats::OggReader<'_>>(),
        Container::M4a => probe.register_format::<formats::IsoMp4Reader<'_>>(),
    }
    probe.register_metadata::<meta::Id3v1Reader<'_>>();
    probe.register_metadata::<meta::Id3v2Reader<'_>>();
    probe
}

fn decoder(container: Container, track: &Track) -> Result<Box<dyn AudioDecoder>, DecodeError> {
    let Some(CodecParameters::Audio(params)) = &track.codec_params else {
        return Err(unsupported(container, "its codec is unknown"));
    };
    let options = AudioDecoderOptions::default().verify(true);
    guarded(container, || get_codecs().make_audio_decoder(params, &options))?
        .map_err(|error| unsupported(container, &error.to_string()))
}

/// The frames that a track announces at `rate` hertz.
fn expected_frames(track: &Track, rate: u32) -> Option<u64> {
    let by_time = || {
        let (base, duration) = (track.time_base?, track.duration?);
        let seconds = duration.get() as f64 * f64::from(base.numer.get()) / f64::from(base.denom.get());
        Some((seconds * f64::from(rate)) as u64)
    };
    track.num_frames.or_else(by_time)
}

/// Title and artist from the latest tags.
fn tags(reader: &mut dyn FormatReader) -> (Option<String>, Option<String>) {
    let mut metadata = reader.metadata();
    let (mut title, mut artist) = (None, None);
    if let Some(revision) = metadata.skip_to_latest() {
        for tag in revision.media.tags.iter().filter_map(|tag| tag.std.as_ref()) {
            match tag {
                StandardTag::TrackTitle(text) => title = Some(text.to_string()),
                StandardTag::Artist(text) => artist = Some(text.to_string()),
                _ => {}
            }
        }
    }
    (title, artist)
}

/// Runs code of the decoder's, whose panics are errors of the file.
fn guarded<T>(container: Container, work: impl FnOnce() -> T) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| corrupt(container, "it made the decoder fail"))
}

fn unreadable(container: Container, error: &Error) -> DecodeError {
    match error {
        Error::Unsupported(reason) => unsupported(container, reason),
        Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            corrupt(container, "it ends within its header")
        }
        _ => corrupt(container, &error.to_string()),
    }
}

fn unsupported(container: Container, reason: &str) -> DecodeError {
    DecodeError::Unsupported { container, reason: reason.into() }
}

fn corrupt(container: Container, reason: &str) -> DecodeError {
    DecodeError::Corrupt { container, reason: reason.into() }
}
