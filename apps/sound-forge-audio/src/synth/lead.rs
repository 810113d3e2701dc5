//! The lead: a voice-like synthesiser that sings a melody.

use super::{
    bass_line::dotted_eighth,
    bus::{Bus, frame_at},
    envelope::{Decay, Shape},
    filter::Svf,
    harmony::{pentatonic, pitch_from},
    oscillator::{Noise, STEP, Saw, frequency, sine},
    rng::Rng,
    score::Score,
    space::{echo, reverberate},
    style::Style,
};

/// The lowest note of the melody: C4.
const LOWEST: i32 = 60;

/// Formants of three sung vowels (a, e, o), in hertz (Peterson and Barney 1952).
const VOWELS: [[f64; 3]; 3] = [[730.0, 1_090.0, 2_440.0], [530.0, 1_840.0, 2_480.0], [570.0, 840.0, 2_410.0]];

/// A note of the motif: place and length in beats, step of the scale.
#[derive(Clone, Copy)]
struct Note {
    at: f64,
    length: f64,
    degree: i32,
}

/// Sings the melody of a piece.
pub(crate) fn play(score: &Score<'_>, frames: usize) -> Bus {
    let mut bus = Bus::new(frames);
    let mut rng = score.rng("lead");
    let motifs = [motif(score, &mut rng), motif(score, &mut rng)];
    for bar in score.bars.iter().filter(|bar| bar.has_lead()) {
        // Four bars are a phrase: twice the motif, the answer, and home.
        let motif = &motifs[usize::from(bar.phrase % 4 == 2)];
        for (place, note) in motif.iter().enumerate() {
            let last = bar.phrase % 4 == 3 && place + 1 == motif.len();
            let pitch = pitch(score, if last { 0 } else { note.degree });
            let beat = score.first_beat(bar) + note.at;
            let seconds = score.tempo.time(beat + note.length) - score.tempo.time(beat);
            let vowel = VOWELS[rng.below(VOWELS.len())];
            let breath = Noise::new(Rng::new(rng.word(), "breath"));
            bus.add(frame_at(score.time(beat)), 0.0, sung(pitch, seconds, vowel, breath));
        }
    }
    echo(&mut bus, dotted_eighth(score.spec.bpm()), 0.22);
    reverberate(&mut bus, 1.8, 0.15);
    bus
}

/// One bar of melody: a walk on the scale in the rhythm of the style.
fn motif(score: &Score<'_>, rng: &mut Rng) -> Vec<Note> {
    let rhythms: &[&[(f64, f64)]] = match score.spec.style() {
        Style::House => {
            &[&[(0.0, 0.5), (0.75, 0.5), (1.5, 0.9), (3.0, 0.8)], &[(0.5, 0.9), (1.5, 0.4), (2.0, 1.5)]]
        }
        Style::Techno => &[&[(0.0, 0.3), (1.5, 0.3), (3.0, 0.3)], &[(0.75, 0.25), (2.25, 0.5)]],
        Style::Dnb => &[&[(0.0, 1.4), (1.5, 0.9), (2.5, 1.4)], &[(0.0, 2.8), (3.0, 0.9)]],
        Style::Hiphop => {
            &[&[(0.5, 0.4), (1.0, 0.4), (1.5, 0.9), (2.75, 0.5)], &[(0.0, 0.7), (0.75, 0.2), (1.0, 1.5)]]
        }
        Style::Waltz => &[&[(0.0, 1.9), (2.0, 0.9)], &[(0.0, 0.9), (1.0, 0.9), (2.0, 0.9)]],
    };
    let mut degree = [0, 2, 3][rng.below(3)];
    rhythms[rng.below(rhythms.len())]
        .iter()
        .map(|(at, length)| {
            let note = Note { at: *at, length: *length, degree };
            degree = (degree + [-2, -1, 1, 1, 2][rng.below(5)]).clamp(-2, 6);
            note
        })
        .collect()
}

/// The MIDI pitch of a step of the pentatonic scale.
fn pitch(score: &Score<'_>, degree: i32) -> f64 {
    let key = score.spec.key();
    let scale = pentatonic(key.mode());
    let tonic = pitch_from(LOWEST, i32::from(key.tonic()));
    let octave = degree.div_euclid(5) * 12;
    f64::from(tonic + octave + scale[degree.rem_euclid(5) as usize])
}

/// One sung note: a buzzing source with vibrato and breath through formants.
fn sung(pitch: f64, seconds: f64, vowel: [f64; 3], mut breath: Noise) -> impl Iterator<Item = f64> {
    let shape = Shape { attack: 0.03, decay: 0.4, sustain: 0.75, release: 0.05 };
    let mut envelope = shape.held(seconds);
    let mut glide = Decay::new(0.035);
    let mut saw = Saw::new(0.0);
    let mut formants = vowel.map(|hertz| Svf::new(hertz, 7.0));
    let mut hertz = frequency(pitch);
    (0..shape.samples(seconds)).map(move |sample| {
        let level = envelope.next();
        let slide = glide.next();
        if sample % 16 == 0 {
            let time = sample as f64 * STEP;
            let vibrato = 0.25 * (time * 2.0).min(1.0) * sine(5.4 * time);
            hertz = frequency(pitch - 0.7 * slide + vibrato);
        }
        let source = saw.next(hertz) + 0.08 * breath.next();
        let [a, b, c] = &mut formants;
        let body = a.next(source).band + 0.7 * b.next(source).band + 0.4 * c.next(source).band;
        (0.12 * body + 0.12 * source) * level
    })
}
