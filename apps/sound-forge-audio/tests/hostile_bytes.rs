//! No bytes make the decoder panic, hang or take much memory.

// Helpers of tests are tests too, which the lint does not see.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, time::Duration};

use proptest::{prelude::*, sample::Index};
use sound_forge_audio::{
    Audio, Unwatched,
    decode::{DecodeError, Limits, MIN_BYTES, probe_and_decode},
    encode::{self, Encoding},
};

const FIXTURES: [&str; 5] = ["tone.mp3", "tone.ogg", "tone.m4a", "tone-alac.m4a", "tone.flac"];

/// Whole files of every kind.
fn whole_files() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files: Vec<Vec<u8>> = FIXTURES.iter().map(|name| fs::read(folder.join(name)).unwrap()).collect();
    files.extend([Encoding::Flac24, Encoding::Wav16, Encoding::WavFloat].map(encoded));
    files
}

fn encoded(encoding: Encoding) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tone");
    let tone: Vec<f32> = (0..4_000).map(|i| (i as f32 * 0.05).sin() * 0.5).collect();
    let audio = Audio::new(44_100, vec![tone.clone(), tone]);
    encode::write(&path, &audio, encoding, &mut Unwatched).unwrap();
    fs::read(path).unwrap()
}

/// Decodes bytes, of which any outcome but a panic is fine.
fn decode(bytes: &[u8]) -> Result<(), DecodeError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes");
    fs::write(&path, bytes).unwrap();
    let limits = Limits::default().max_duration(Duration::from_secs(20));
    let decoded = probe_and_decode(&path, &limits, &mut Unwatched)?;
    assert!(decoded.audio.duration() <= 20.0);
    assert!(decoded.audio.channels.iter().flatten().all(|sample| sample.is_finite()));
    Ok(())
}

#[derive(Debug, Clone)]
enum Mutation {
    /// Sets one byte.
    Set(Index, u8),
    /// Sets one byte of the first hundred, where headers are.
    SetEarly(Index, u8),
    /// Fills four bytes with ones, as sizes like to be.
    Huge(Index),
    /// Cuts the rest off.
    Cut(Index),
    /// Repeats a stretch.
    Repeat(Index, Index),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Set(at, value) => {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            Self::SetEarly(at, value) => {
                let at = at.index(bytes.len().min(100));
                bytes[at] = *value;
            }
            Self::Huge(at) => {
                let at = at.index(bytes.len());
                let end = (at + 4).min(bytes.len());
                bytes[at..end].fill(0xff);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len()).max(MIN_BYTES as usize)),
            Self::Repeat(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let stretch = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from..from, stretch);
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Mutation::Set(at, value)),
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Mutation::SetEarly(at, value)),
        2 => any::<Index>().prop_map(Mutation::Huge),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
    ]
}

#[test]
fn whole_files_decode() {
    for bytes in whole_files() {
        decode(&bytes).unwrap();
    }
}

#[test]
fn mutated_files_never_panic() {
    let files = whole_files();
    let strategy = (any::<Index>(), proptest::collection::vec(mutation(), 1..8));
    proptest!(ProptestConfig::with_cases(400), |((file, mutations) in strategy)| {
        let mut bytes = file.get(&files).clone();
        for mutation in mutations {
            mutation.apply(&mut bytes);
        }
        // An error is as good as audio.
        let _ = decode(&bytes);
    });
}

#[test]
fn random_bytes_never_panic() {
    let magic = prop_oneof![
        Just(&b""[..]),
        Just(&b"fLaC"[..]),
        Just(&b"RIFF\xff\xff\xff\xffWAVEfmt "[..]),
        Just(&b"OggS\0\x02"[..]),
        Just(&b"\0\0\0\x20ftypM4A "[..]),
        Just(&b"ID3\x04\0\0\0\0\0\x20"[..]),
        Just(&b"\xff\xfb\x90\0"[..]),
    ];
    let body = proptest::collection::vec(any::<u8>(), 1_024..4_096);
    proptest!(ProptestConfig::with_cases(200), |(magic in magic, body in body)| {
        let _ = decode(&[magic, &body].concat());
    });
}
