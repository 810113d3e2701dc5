//! The `demo:` synthesiser: music of known tempo, beats, key and stems.
//!
//! A [`DemoSpec`] says what to play; [`render`] plays it and returns the truth
//! along with the sound. The same spec gives the same samples on every run.
//! All chance comes from a seeded generator of our own, and all functions that
//! differ between C libraries (sine, powers) from the crate `libm`.
//!
//! ```
//! use sound_forge_audio::{Unwatched, synth::{self, DemoSpec}};
//!
//! let spec = DemoSpec::parse("demo:house?bpm=126&key=Am&seconds=5")?;
//! let rendered = synth::render(&spec, &mut Unwatched)?;
//! assert_eq!(rendered.mix().duration(), 5.0);
//! assert_eq!(rendered.beats.len(), 11);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arrangement;
mod bass_line;
mod bus;
mod chord_part;
mod drum_kit;
mod envelope;
mod filter;
mod groove;
mod harmony;
mod lead;
mod oscillator;
mod rng;
mod score;
mod space;
mod spec;
mod style;
mod tempo_map;

pub use self::{
    spec::{DemoSpec, SpecError},
    style::Style,
};

use self::{bus::Bus, oscillator::RATE, score::Score};
use crate::{
    audio::Audio,
    key::Key,
    progress::{Cancelled, Progress, Span},
    stems::{Stem, Stems},
};

/// Seconds over which the end fades out.
const FADE: f64 = 1.5;

/// A rendered piece and the truth about it.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The four stems (44.1 kHz, stereo), which add up to the mix. The vocals
    /// are the lead.
    pub stems: Stems,
    /// Every beat in seconds.
    pub beats: Vec<f64>,
    /// The first beat of every bar in seconds.
    pub downbeats: Vec<f64>,
    /// The mean tempo in beats per minute.
    pub bpm: f64,
    /// The key.
    pub key: Key,
}

impl Rendered {
    /// All stems together. No sample exceeds full scale.
    pub fn mix(&self) -> Audio {
        self.stems.sum()
    }
}

/// Plays a piece and keeps its stems (about 1.4 MB for each second).
///
/// # Errors
///
/// [`Cancelled`] when `progress` asked for it.
pub fn render(spec: &DemoSpec, progress: &mut dyn Progress) -> Result<Rendered, Cancelled> {
    let score = Score::new(spec);
    let mut span = Span::whole(progress);
    let mut play = |stem, from| {
        let audio = perform(&score, stem);
        span.at(from).map(|()| audio)
    };
    let stems = Stems {
        drums: play(Stem::Drums, 0.25)?,
        bass: play(Stem::Bass, 0.5)?,
        vocals: play(Stem::Vocals, 0.75)?,
        other: play(Stem::Other, 1.0)?,
    };
    let beats = score.tempo.beats();
    let downbeats = beats.iter().copied().step_by(score.beats_per_bar() as usize).collect();
    Ok(Rendered { stems, beats, downbeats, bpm: spec.bpm(), key: spec.key() })
}

/// Plays a piece and keeps the mix alone, which is [`Rendered::mix`] to the bit.
///
/// # Errors
///
/// [`Cancelled`] when `progress` asked for it.
pub fn render_mix(spec: &DemoSpec, progress: &mut dyn Progress) -> Result<Audio, Cancelled> {
    let score = Score::new(spec);
    let mut span = Span::whole(progress);
    let mut mix = Audio::silence(RATE, 2, frames(&score));
    for (done, stem) in Stem::ALL.into_iter().enumerate() {
        mix.add(&perform(&score, stem));
        span.step(done + 1, Stem::ALL.len())?;
    }
    Ok(mix)
}

/// Plays one stem. The ceilings of all four add up to full scale, so the mix
/// cannot clip.
fn perform(score: &Score<'_>, stem: Stem) -> Audio {
    let frames = frames(score);
    let (mut bus, drive, ceiling) = match stem {
        Stem::Drums => (drum_kit::play(score, frames), 1.7, 0.42),
        Stem::Bass => (bass_line::play(score, frames), 1.6, 0.21),
        Stem::Vocals => (lead::play(score, frames), 2.2, 0.17),
        Stem::Other => (chord_part::play(score, frames), 3.6, 0.2),
    };
    fade_out(&mut bus);
    bus.finish(drive, ceiling)
}

fn frames(score: &Score<'_>) -> usize {
    score.spec.seconds() as usize * RATE as usize
}

/// Fades the end out, and leaves the last sample silent.
fn fade_out(bus: &mut Bus) {
    let length = (FADE * f64::from(RATE)) as usize;
    for side in [&mut bus.left, &mut bus.right] {
        for (left, sample) in side.iter_mut().rev().take(length).enumerate() {
            *sample *= left as f32 / length as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Unwatched;

    fn spec(source: &str) -> DemoSpec {
        DemoSpec::parse(source).unwrap()
    }

    /// FNV-1a over the bits of every sample.
    fn hash(audio: &Audio) -> u64 {
        audio.channels.iter().flatten().fold(0xcbf2_9ce4_8422_2325, |hash, sample| {
            (hash ^ u64::from(sample.to_bits())).wrapping_mul(0x0100_0000_01b3)
        })
    }

    #[test]
    fn the_same_spec_gives_the_same_bits() {
        let once = render(&spec("demo:dnb?seconds=6&seed=3"), &mut Unwatched).unwrap();
        let again = render_mix(&spec("demo:dnb?seed=3&seconds=6"), &mut Unwatched).unwrap();
        let other = render_mix(&spec("demo:dnb?seed=4&seconds=6"), &mut Unwatched).unwrap();
        assert_eq!(hash(&once.mix()), hash(&again));
        assert_ne!(hash(&again), hash(&other));
    }

    #[test]
    fn every_style_has_a_full_mix_that_does_not_clip() {
        for style in Style::ALL {
            let rendered = render(&spec(&format!("demo:{style}?seconds=8")), &mut Unwatched).unwrap();
            let peak = rendered.mix().peak();
            assert!((0.2..=1.0).contains(&peak), "{style} {peak}");
            for (stem, audio) in rendered.stems.iter() {
                assert!(audio.peak() > 0.01, "{style} {stem} is silent");
                assert_eq!(audio.frames(), 8 * 44_100);
            }
        }
    }

    #[test]
    fn a_cancelled_rendering_stops() {
        let mut watcher = |_: f64| std::ops::ControlFlow::Break(());
        assert!(render(&spec("demo:?seconds=5"), &mut watcher).is_err());
    }
}
