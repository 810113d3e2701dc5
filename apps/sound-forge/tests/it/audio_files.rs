//! Files to bring in, good and bad.

use std::path::Path;

use sound_forge_audio::encode::{self, Encoding};
use sound_forge_audio::{Audio, Unwatched};

/// Some seconds of a tone with a beat, encoded.
pub(crate) fn tone(encoding: Encoding, seconds: usize) -> Vec<u8> {
    let rate = 44_100_u32;
    let frames = 0..rate as usize * seconds;
    let sample = |frame: usize| {
        let time = frame as f32 / rate as f32;
        (time * 440.0 * std::f32::consts::TAU).sin() * 0.5 * (1.0 - (time * 2.0).fract())
    };
    let channel: Vec<f32> = frames.map(sample).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tone");
    write(&path, &Audio::new(rate, vec![channel.clone(), channel]), encoding);
    std::fs::read(path).unwrap()
}

/// A tone in a format that we read and do not write, from the audio engine's tests.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sound-forge-audio/tests/fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

fn write(path: &Path, audio: &Audio, encoding: Encoding) {
    encode::write(path, audio, encoding, &mut Unwatched).unwrap();
}

/// A WAV whose header announces so many channels, with a second of silence in each.
pub(crate) fn wav_with_channels(channels: u16) -> Vec<u8> {
    let (rate, block) = (8_000_u32, channels * 2);
    let data = vec![0_u8; rate as usize * usize::from(block)];
    let length = data.len() as u32;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend(1_u16.to_le_bytes());
    wav.extend(channels.to_le_bytes());
    wav.extend(rate.to_le_bytes());
    wav.extend((rate * u32::from(block)).to_le_bytes());
    wav.extend(block.to_le_bytes());
    wav.extend(16_u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(length.to_le_bytes());
    wav.extend(data);
    wav
}
