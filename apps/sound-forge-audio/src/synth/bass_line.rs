//! The bass line.

use super::{
    arrangement::Bar,
    bus::{Bus, frame_at},
    drum_kit::sidechain,
    envelope::Shape,
    filter::{Svf, saturate},
    oscillator::{RATE, STEP, Saw, frequency, sine},
    rng::Rng,
    score::Score,
    style::Style,
};

/// A bass note: its place and length in beats, pitch and force.
struct Note {
    beat: f64,
    length: f64,
    pitch: i32,
    velocity: f64,
}

/// How a style's bass sounds.
struct Tone {
    shape: Shape,
    /// Where the filter rests, and how far it opens at the start, in hertz.
    cutoff: f64,
    sweep: f64,
    /// How far the second saw is off, in semitones.
    detune: f64,
    /// The share of a plain sine below the saws.
    sub: f64,
}

/// The lowest note: E1.
const LOWEST: i32 = 28;

/// Plays the bass of a piece.
pub(crate) fn play(score: &Score<'_>, frames: usize) -> Bus {
    let mut bus = Bus::new(frames);
    let tone = tone(score.spec.style());
    let mut rng = score.rng("bass");
    for bar in score.bars.iter().filter(|bar| bar.has_bass()) {
        for note in line(score, bar, &mut rng) {
            let start = score.time(note.beat);
            let seconds = score.tempo.time(note.beat + note.length) - score.tempo.time(note.beat);
            bus.add(frame_at(start), 0.0, sound(&tone, &note, seconds));
        }
    }
    bus.shape(&sidechain(score, frames, score.spec.style().sidechain()));
    bus
}

fn tone(style: Style) -> Tone {
    let shape = |decay, sustain, release| Shape { attack: 0.004, decay, sustain, release };
    let tone = |shape, cutoff, sweep, detune, sub| Tone { shape, cutoff, sweep, detune, sub };
    match style {
        Style::House => tone(shape(0.12, 0.6, 0.03), 260.0, 900.0, 0.05, 0.6),
        Style::Techno => tone(shape(0.07, 0.3, 0.02), 220.0, 700.0, 0.03, 0.7),
        Style::Dnb => tone(shape(0.5, 0.8, 0.04), 420.0, 300.0, 0.22, 0.7),
        Style::Hiphop => tone(shape(0.25, 0.7, 0.05), 180.0, 260.0, 0.02, 0.9),
        Style::Waltz => tone(shape(0.25, 0.25, 0.06), 350.0, 500.0, 0.02, 0.7),
    }
}

/// The notes of one bar.
fn line(score: &Score<'_>, bar: &Bar, rng: &mut Rng) -> Vec<Note> {
    let root = score.chord(bar).bass(score.spec.key(), LOWEST);
    let first = score.first_beat(bar);
    let steps = steps(score.spec.style(), bar, rng);
    steps
        .into_iter()
        .map(|(at, length, interval)| Note {
            beat: first + at,
            length,
            pitch: root + interval,
            velocity: 0.85 + 0.15 * rng.unit(),
        })
        .collect()
}

/// Place and length in beats, and semitones above the root, of a bar's notes.
fn steps(style: Style, bar: &Bar, rng: &mut Rng) -> Vec<(f64, f64, i32)> {
    let leap = if rng.chance(0.3) { 12 } else { 0 };
    match style {
        Style::House => vec![(0.5, 0.4, 0), (1.5, 0.4, 0), (2.5, 0.4, leap), (3.5, 0.25, 0), (3.75, 0.2, 7)],
        Style::Techno => (0..16)
            .filter(|step| step % 4 != 0)
            .map(|step| (f64::from(step) / 4.0, 0.2, if step == 14 { leap } else { 0 }))
            .collect(),
        Style::Dnb => match rng.below(3) {
            0 => vec![(0.0, 3.5, 0)],
            1 => vec![(0.0, 2.25, 0), (2.5, 1.25, 0)],
            _ => vec![(0.0, 1.5, 0), (1.75, 0.5, 12), (2.5, 1.4, 0)],
        },
        Style::Hiphop => match rng.below(2) {
            0 => vec![(0.0, 1.5, 0), (1.75, 0.5, 0), (2.5, 1.0, 7)],
            _ => vec![(0.0, 0.75, 0), (0.75, 0.75, leap), (2.5, 1.2, 0)],
        },
        Style::Waltz => vec![(0.0, 0.9, if bar.index % 2 == 1 { 7 } else { 0 })],
    }
}

/// The sound of one note.
fn sound<'a>(tone: &'a Tone, note: &Note, seconds: f64) -> impl Iterator<Item = f64> + use<'a> {
    let pitch = f64::from(note.pitch);
    let (hertz, detuned) = (frequency(pitch), frequency(pitch + tone.detune));
    let (mut first, mut second) = (Saw::new(0.25), Saw::new(0.6));
    let mut filter = Svf::new(tone.cutoff, 0.9);
    let mut envelope = tone.shape.held(seconds);
    let velocity = note.velocity;
    (0..tone.shape.samples(seconds)).map(move |sample| {
        let level = envelope.next();
        // The filter follows the note; 32 samples apart is close enough.
        if sample % 32 == 0 {
            filter.tune(tone.cutoff + tone.sweep * level * level * velocity, 0.9);
        }
        let saws = 0.5 * (first.next(hertz) + second.next(detuned));
        let body = filter.next(saws).low + tone.sub * sine(hertz * STEP * sample as f64);
        saturate(1.4 * body) * level * velocity
    })
}

/// The echo time of a piece: three sixteenths, in samples.
pub(crate) fn dotted_eighth(bpm: f64) -> usize {
    (0.75 * 60.0 / bpm * f64::from(RATE)).round() as usize
}
