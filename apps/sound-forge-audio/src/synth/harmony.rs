//! Chord progressions and scales.

use super::rng::Rng;
use crate::key::{Key, Mode};

/// A chord: where its root lies above the tonic, and what it is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chord {
    /// Semitones of the root above the tonic.
    pub(crate) root: i32,
    /// Semitones of the notes above the root.
    pub(crate) notes: &'static [i32],
}

const MAJOR: &[i32] = &[0, 4, 7];
const MINOR: &[i32] = &[0, 3, 7];
const MAJOR_SEVENTH: &[i32] = &[0, 4, 7, 11];
const MINOR_SEVENTH: &[i32] = &[0, 3, 7, 10];
const DOMINANT: &[i32] = &[0, 4, 7, 10];

const fn chord(root: i32, notes: &'static [i32]) -> Chord {
    Chord { root, notes }
}

/// Progressions in minor. Some lean on the natural seventh degree, some on the
/// leading tone, as music does.
const MINOR_PROGRESSIONS: [[Chord; 4]; 5] = [
    [chord(0, MINOR), chord(8, MAJOR), chord(3, MAJOR), chord(10, MAJOR)],
    [chord(0, MINOR_SEVENTH), chord(5, MINOR_SEVENTH), chord(8, MAJOR), chord(7, DOMINANT)],
    [chord(0, MINOR), chord(10, MAJOR), chord(8, MAJOR), chord(10, MAJOR)],
    [chord(0, MINOR), chord(5, MINOR), chord(7, MAJOR), chord(0, MINOR)],
    [chord(0, MINOR_SEVENTH), chord(8, MAJOR_SEVENTH), chord(5, MINOR), chord(7, MINOR)],
];

/// Progressions in major.
const MAJOR_PROGRESSIONS: [[Chord; 4]; 5] = [
    [chord(0, MAJOR), chord(7, MAJOR), chord(9, MINOR), chord(5, MAJOR)],
    [chord(0, MAJOR), chord(9, MINOR), chord(5, MAJOR), chord(7, DOMINANT)],
    [chord(0, MAJOR_SEVENTH), chord(5, MAJOR_SEVENTH), chord(2, MINOR_SEVENTH), chord(7, DOMINANT)],
    [chord(0, MAJOR), chord(5, MAJOR), chord(7, MAJOR), chord(0, MAJOR)],
    [chord(0, MAJOR), chord(4, MINOR), chord(5, MAJOR), chord(7, MAJOR)],
];

/// The four chords that a piece in `key` goes round.
pub(crate) fn progression(key: Key, rng: &mut Rng) -> [Chord; 4] {
    let choices = match key.mode() {
        Mode::Minor => &MINOR_PROGRESSIONS,
        Mode::Major => &MAJOR_PROGRESSIONS,
    };
    choices[rng.below(choices.len())]
}

/// The pentatonic scale a lead moves in, as semitones above the tonic.
pub(crate) fn pentatonic(mode: Mode) -> [i32; 5] {
    match mode {
        Mode::Minor => [0, 3, 5, 7, 10],
        Mode::Major => [0, 2, 4, 7, 9],
    }
}

/// The MIDI pitch of pitch class `class` in the octave that starts at `lowest`.
pub(crate) fn pitch_from(lowest: i32, class: i32) -> i32 {
    lowest + (class - lowest).rem_euclid(12)
}

impl Chord {
    /// The chord's pitches in the octave above `lowest`, in rising order.
    pub(crate) fn voicing(&self, key: Key, lowest: i32) -> Vec<i32> {
        let root = i32::from(key.tonic()) + self.root;
        let mut pitches: Vec<i32> = self.notes.iter().map(|note| pitch_from(lowest, root + note)).collect();
        pitches.sort_unstable();
        pitches
    }

    /// The root's pitch in the octave above `lowest`.
    pub(crate) fn bass(&self, key: Key, lowest: i32) -> i32 {
        pitch_from(lowest, i32::from(key.tonic()) + self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voicings_stay_in_their_octave() {
        let key = Key::new(9, Mode::Minor);
        assert_eq!(chord(0, MINOR).voicing(key, 57), [57, 60, 64]);
        assert_eq!(chord(8, MAJOR).voicing(key, 57), [57, 60, 65]);
        assert_eq!(chord(8, MAJOR).bass(key, 28), 29);
    }

    #[test]
    fn progressions_start_on_the_tonic() {
        for chords in MINOR_PROGRESSIONS.iter().chain(&MAJOR_PROGRESSIONS) {
            assert_eq!(chords[0].root, 0);
        }
    }
}
