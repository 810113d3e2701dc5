//! The chords: stabs, pads or an electric piano, by style.

use super::{
    arrangement::{Bar, Section},
    bus::{Bus, frame_at},
    drum_kit::sidechain,
    envelope::Shape,
    filter::Svf,
    oscillator::{STEP, Saw, frequency, sine},
    rng::Rng,
    score::Score,
    space::reverberate,
    style::Style,
};

/// The lowest note of a voicing: G3.
const LOWEST: i32 = 55;

/// Plays the chords of a piece.
pub(crate) fn play(score: &Score<'_>, frames: usize) -> Bus {
    let mut bus = Bus::new(frames);
    let style = score.spec.style();
    let mut rng = score.rng("chords");
    let rhythm = rhythm(style, &mut rng);
    for bar in score.bars.iter().filter(|bar| bar.has_chords()) {
        let pitches = score.chord(bar).voicing(score.spec.key(), LOWEST);
        for (at, length) in rhythm_of(bar, score, rhythm) {
            let beat = score.first_beat(bar) + at;
            let strike = Strike {
                start: frame_at(score.time(beat)),
                seconds: score.tempo.time(beat + length) - score.tempo.time(beat),
                brightness: brightness(bar),
            };
            strike.add(&mut bus, style, &pitches, &mut rng);
        }
    }
    reverberate(&mut bus, 1.6, 0.22);
    bus.shape(&sidechain(score, frames, style.sidechain()));
    bus
}

/// Place and length of the chords of a bar, in beats.
type Rhythm = &'static [(f64, f64)];

/// One of the style's rhythms, kept for the piece.
fn rhythm(style: Style, rng: &mut Rng) -> Rhythm {
    let choices: &[Rhythm] = match style {
        Style::House => &[
            &[(0.0, 0.3), (0.75, 0.3), (1.5, 0.5), (2.75, 0.3), (3.5, 0.4)],
            &[(0.5, 0.3), (1.5, 0.3), (2.25, 0.3), (3.5, 0.3)],
        ],
        Style::Techno => &[&[(0.75, 0.2), (2.5, 0.2)], &[(0.5, 0.2), (1.25, 0.2), (3.5, 0.2)]],
        Style::Dnb => &[&[(0.0, 4.0)]],
        Style::Hiphop => &[&[(0.0, 1.6), (2.5, 1.2)], &[(0.0, 2.2), (2.25, 0.5), (3.5, 0.5)]],
        Style::Waltz => &[&[(1.0, 0.6), (2.0, 0.6)]],
    };
    choices[rng.below(choices.len())]
}

/// In a break every style holds its chords.
fn rhythm_of(bar: &Bar, score: &Score<'_>, rhythm: Rhythm) -> Vec<(f64, f64)> {
    match (bar.section, score.spec.style()) {
        (Section::Break, Style::House | Style::Techno) => vec![(0.0, 3.9)],
        _ => rhythm.to_vec(),
    }
}

/// How far the filter is open: it rises through intro and break.
fn brightness(bar: &Bar) -> f64 {
    match bar.section {
        Section::Intro => 0.3 + 0.3 * bar.position,
        Section::Break => 0.4 + 0.6 * bar.position,
        Section::Groove | Section::Outro => 0.6,
        Section::Drop => 1.0,
    }
}

/// One chord being struck.
struct Strike {
    start: usize,
    seconds: f64,
    brightness: f64,
}

impl Strike {
    fn add(&self, bus: &mut Bus, style: Style, pitches: &[i32], rng: &mut Rng) {
        for (place, pitch) in pitches.iter().enumerate() {
            let spread = place as f64 / pitches.len() as f64 - 0.35;
            let pitch = f64::from(*pitch);
            match style {
                Style::Hiphop => bus.add(self.start, spread, self.electric_piano(pitch)),
                Style::Waltz => bus.add(self.start, spread, self.plucked(pitch)),
                Style::House | Style::Techno | Style::Dnb => {
                    // Two saws a little apart, one to each side, make it wide.
                    for (side, detune) in [(-0.7, -0.06), (0.7, 0.06)] {
                        let saw = Saw::new(rng.unit());
                        bus.add(self.start, side, self.saws(pitch + detune, saw, style));
                    }
                }
            }
        }
    }

    fn saws(&self, pitch: f64, mut saw: Saw, style: Style) -> impl Iterator<Item = f64> + use<> {
        let (shape, cutoff) = match style {
            Style::Dnb => (Shape { attack: 0.25, decay: 1.0, sustain: 0.8, release: 0.25 }, 1_400.0),
            _ => (Shape { attack: 0.003, decay: 0.16, sustain: 0.35, release: 0.06 }, 2_600.0),
        };
        let hertz = frequency(pitch);
        let open = cutoff * self.brightness;
        let mut filter = Svf::new(open, 0.9);
        let mut envelope = shape.held(self.seconds);
        (0..shape.samples(self.seconds)).map(move |sample| {
            let level = envelope.next();
            if sample % 32 == 0 {
                filter.tune(200.0 + open * level, 0.9);
            }
            filter.next(saw.next(hertz)).low * level * 0.16
        })
    }

    /// A sine that another sine bends, more so at the start (Chowning 1973).
    fn electric_piano(&self, pitch: f64) -> impl Iterator<Item = f64> + use<> {
        let shape = Shape { attack: 0.003, decay: 0.7, sustain: 0.15, release: 0.08 };
        let hertz = frequency(pitch);
        let depth = 0.25 * self.brightness;
        let mut envelope = shape.held(self.seconds);
        (0..shape.samples(self.seconds)).map(move |sample| {
            let level = envelope.next();
            let turns = hertz * STEP * sample as f64;
            sine(turns + depth * level * sine(turns)) * level * 0.2
        })
    }

    /// A struck string: partials that fade the faster the higher they are.
    fn plucked(&self, pitch: f64) -> impl Iterator<Item = f64> + use<> {
        let shape = Shape { attack: 0.002, decay: 0.3, sustain: 0.05, release: 0.08 };
        let hertz = frequency(pitch);
        let bright = 0.5 + 0.5 * self.brightness;
        let mut envelope = shape.held(self.seconds);
        (0..shape.samples(self.seconds)).map(move |sample| {
            let level = envelope.next();
            let turns = hertz * STEP * sample as f64;
            let second = 0.5 * bright * level * sine(2.0 * turns);
            let third = 0.3 * bright * level * level * sine(3.0 * turns);
            (sine(turns) + second + third) * level * 0.18
        })
    }
}
