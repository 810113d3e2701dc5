//! Measures how long a track takes on one core:
//!
//! ```sh
//! cargo run --release -p sound-forge-audio --example bench_analysis -- 180
//! ```
//!
//! The number is the length of the synthesised track in seconds (180 by default,
//! 5 to 600). All work is single-threaded.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use sound_forge_audio::{
    Unwatched,
    analysis::{Feature, analyse},
    decode::{Limits, probe_and_decode},
    encode::{self, Encoding},
    stems,
    synth::{self, DemoSpec},
};

fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).unwrap_or_else(|| "180".into());
    let spec = DemoSpec::parse(&format!("demo:house?seconds={seconds}"))?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("track.flac");

    let track = timed("synthesis", || synth::render_mix(&spec, &mut Unwatched))?;
    timed("encoding, 24-bit flac", || encode::write(&path, &track, Encoding::Flac24, &mut Unwatched))?;
    timed("decoding, 24-bit flac", || probe_and_decode(&path, &Limits::default(), &mut Unwatched))?;
    timed("analysis, all features", || analyse(&track, &[Feature::All], &mut Unwatched))?;
    timed("separation", || stems::separate(&track, &mut Unwatched).map(drop))?;
    timed("separation into 24-bit flac", || {
        stems::separate_to_files(&track, folder.path(), Encoding::Flac24, &mut Unwatched)
    })?;
    Ok(())
}

/// Runs one piece of work and prints how long it took.
fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("{name}: {:.2} s", start.elapsed().as_secs_f64());
    result
}
