use std::{fs, ops::ControlFlow, path::PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};
use tempfile::TempDir;

use super::*;
use crate::{
    encode::{self, Encoding},
    progress::Unwatched,
};

const RATE: u32 = 44_100;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn decode(path: &Path) -> Result<Decoded, DecodeError> {
    probe_and_decode(path, &Limits::default(), &mut Unwatched)
}

/// Decodes bytes by way of a file with a misleading name.
fn decode_bytes(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("song.mp3");
    fs::write(&path, bytes).unwrap();
    decode(&path)
}

fn tone(seconds: f32) -> Audio {
    let step = 440.0 * std::f32::consts::TAU / RATE as f32;
    let frames = (seconds * RATE as f32) as usize;
    let channel: Vec<f32> = (0..frames).map(|i| (i as f32 * step).sin() * 0.5).collect();
    Audio::new(RATE, vec![channel.clone(), channel])
}

fn encoded(encoding: Encoding) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tone");
    encode::write(&path, &tone(0.5), encoding, &mut Unwatched).unwrap();
    fs::read(path).unwrap()
}

/// A silent 16-bit WAV with many channels.
fn wav_of_channels(channels: u16) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wide.wav");
    let (bits_per_sample, sample_format) = (16, SampleFormat::Int);
    let spec = WavSpec { channels, sample_rate: RATE, bits_per_sample, sample_format };
    let mut writer = WavWriter::create(&path, spec).unwrap();
    (0..u32::from(channels) * 2_000).for_each(|_| writer.write_sample(1_000_i16).unwrap());
    writer.finalize().unwrap();
    fs::read(path).unwrap()
}

/// The frequency of a pure tone, by its zero crossings.
fn frequency(audio: &Audio) -> f64 {
    let mono = audio.mono();
    let body = &mono[mono.len() / 4..mono.len() * 3 / 4];
    let rises = body.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
    rises as f64 * f64::from(audio.sample_rate) / body.len() as f64
}

#[test]
fn every_format_gives_its_tone() {
    for (name, container, channels) in [
        ("tone.mp3", Container::Mp3, 2),
        ("tone.ogg", Container::Ogg, 2),
        ("tone.m4a", Container::M4a, 2),
        ("tone-alac.m4a", Container::M4a, 1),
        ("tone.flac", Container::Flac, 1),
    ] {
        let decoded = decode(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((decoded.container, decoded.source_channels), (container, channels), "{name}");
        let (hertz, seconds) = (frequency(&decoded.audio), decoded.audio.duration());
        assert!((hertz - 440.0).abs() < 5.0, "{name} {hertz}");
        assert!((seconds - 0.9).abs() < 0.06, "{name} {seconds}");
    }
}

#[test]
fn tags_are_read() {
    for name in ["tone.mp3", "tone.ogg", "tone.m4a", "tone.flac"] {
        let decoded = decode(&fixture(name)).unwrap();
        assert_eq!(decoded.title.as_deref(), Some("Tone"), "{name}");
        assert_eq!(decoded.artist.as_deref(), Some("Nobody"), "{name}");
    }
}

#[test]
fn content_decides_and_not_the_name() {
    assert_eq!(decode_bytes(&encoded(Encoding::Flac16)).unwrap().container, Container::Flac);
    assert_eq!(decode_bytes(&encoded(Encoding::Wav16)).unwrap().container, Container::Wav);
    let text = "All work and no play makes Jack a dull boy. ".repeat(100);
    assert!(matches!(decode_bytes(text.as_bytes()), Err(DecodeError::NotAudio)));
}

#[test]
fn tiny_files_are_refused() {
    assert!(matches!(decode_bytes(b""), Err(DecodeError::TooSmall { bytes: 0 })));
    let flac = encoded(Encoding::Flac16);
    assert!(matches!(decode_bytes(&flac[..1_023]), Err(DecodeError::TooSmall { bytes: 1_023 })));
}

#[test]
fn many_channels_are_refused() {
    for channels in [9, 20] {
        match decode_bytes(&wav_of_channels(channels)) {
            Err(DecodeError::TooManyChannels { channels: found }) => {
                assert_eq!(found, usize::from(channels));
            }
            other => panic!("{channels}: {other:?}"),
        }
    }
}

#[test]
fn up_to_eight_channels_become_two() {
    for channels in 3..=8 {
        let decoded = decode_bytes(&wav_of_channels(channels)).unwrap();
        assert_eq!(decoded.audio.channels.len(), 2);
        assert_eq!(decoded.source_channels, usize::from(channels));
        assert_eq!(decoded.audio.frames(), 2_000);
        assert!(decoded.audio.peak() < 0.0306, "{}", decoded.audio.peak());
    }
}

#[test]
fn lossless_files_cut_anywhere_are_truncated() {
    for encoding in [Encoding::Flac16, Encoding::Flac24, Encoding::Wav16] {
        let whole = encoded(encoding);
        for left in [whole.len() - 4, whole.len() / 2, 1_200] {
            let error = decode_bytes(&whole[..left]).unwrap_err();
            match error {
                DecodeError::Truncated { expected: 22_050, got } => assert!(got < 22_050),
                other => panic!("{encoding} {left}: {other}"),
            }
        }
    }
}

#[test]
fn lossy_files_cut_in_half_are_refused() {
    for name in ["tone.mp3", "tone.m4a"] {
        let whole = fs::read(fixture(name)).unwrap();
        assert!(decode_bytes(&whole[..whole.len() / 2]).is_err(), "{name}");
    }
}

#[test]
fn junk_behind_an_mp3_is_tolerated() {
    let mut bytes = fs::read(fixture("tone.mp3")).unwrap();
    bytes.extend(b"TAG and some junk ".repeat(50));
    assert!((decode_bytes(&bytes).unwrap().audio.duration() - 0.9).abs() < 0.06);
}

#[test]
fn a_flipped_bit_in_flac_is_noticed() {
    let mut bytes = encoded(Encoding::Flac16);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    assert!(decode_bytes(&bytes).is_err());
}

#[test]
fn announcements_of_endless_audio_allocate_nothing() {
    // The frame count of a FLAC file has 36 bits in the stream information.
    let mut flac = encoded(Encoding::Flac16);
    flac[21] |= 0x0f;
    flac[22..26].fill(0xff);
    assert!(matches!(decode_bytes(&flac), Err(DecodeError::TooLong { limit: 1_800 })));
    // A WAV's data chunk may announce 4 GiB.
    let mut wav = encoded(Encoding::Wav16);
    let data = wav.windows(4).position(|id| id == b"data").unwrap();
    wav[data + 4..data + 8].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    assert!(decode_bytes(&wav).is_err());
}

#[test]
fn limits_hold() {
    let path = fixture("tone.flac");
    for limits in
        [Limits::default().max_duration(Duration::from_millis(500)), Limits::default().max_frames(1_000)]
    {
        let result = probe_and_decode(&path, &limits, &mut Unwatched);
        assert!(matches!(result, Err(DecodeError::TooLong { .. })));
    }
}

#[test]
fn progress_rises_to_one_and_can_cancel() {
    let mut heard = Vec::new();
    let mut watcher = |fraction: f64| {
        heard.push(fraction);
        ControlFlow::Continue(())
    };
    probe_and_decode(&fixture("tone.mp3"), &Limits::default(), &mut watcher).unwrap();
    assert!(heard.is_sorted() && heard.last() == Some(&1.0), "{heard:?}");
    let mut stop = |_: f64| ControlFlow::Break(());
    let result = probe_and_decode(&fixture("tone.mp3"), &Limits::default(), &mut stop);
    assert!(matches!(result, Err(DecodeError::Cancelled(_))));
}
