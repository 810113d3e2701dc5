//! Drum patterns: which drum is hit when, and how hard.

use super::{
    arrangement::{Bar, Section},
    rng::Rng,
    score::Score,
    style::Style,
};

/// A drum of the kit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Drum {
    Kick,
    Snare,
    Clap,
    Rim,
    Closed,
    Open,
    Ride,
    Shaker,
}

/// One stroke.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) drum: Drum,
    /// The beat of the piece it falls on, before swing.
    pub(crate) beat: f64,
    /// 0 to 1.
    pub(crate) velocity: f64,
}

/// A drum and its strokes in a bar: one character per sixteenth, a digit for
/// the force from 1 to 9.
type Row = (Drum, &'static str);

const HOUSE: [&[Row]; 2] = [
    &[
        (Drum::Kick, "9...9...9...9..."),
        (Drum::Clap, "....8.......8..."),
        (Drum::Open, "..7...7...7...7."),
        (Drum::Closed, "4.2.4.2.4.2.4.23"),
        (Drum::Shaker, "2424242424242424"),
    ],
    &[
        (Drum::Kick, "9...9...9...9..."),
        (Drum::Clap, "....8..3....8..."),
        (Drum::Open, "..7...7...7...7."),
        (Drum::Closed, "4..24..24..24.3."),
        (Drum::Rim, "...4..4....4...."),
    ],
];

const TECHNO: [&[Row]; 2] = [
    &[
        (Drum::Kick, "9...9...9...9..."),
        (Drum::Closed, "..6...6...6...6."),
        (Drum::Rim, "...5..5....5..5."),
        (Drum::Shaker, "3232323232323232"),
        (Drum::Clap, "............4..."),
    ],
    &[
        (Drum::Kick, "9...9...9...9..."),
        (Drum::Open, "..5...5...5...5."),
        (Drum::Closed, "3333333333333333"),
        (Drum::Ride, "5...5...5...5..."),
        (Drum::Clap, "....5.......5..."),
    ],
];

const DNB: [&[Row]; 3] = [
    &[
        (Drum::Kick, "9.........9....."),
        (Drum::Snare, "....9..2.2..9..2"),
        (Drum::Closed, "6.4.6.4.6.4.6.4."),
        (Drum::Shaker, "1313131313131313"),
    ],
    &[
        (Drum::Kick, "9.8.......9....."),
        (Drum::Snare, "....9..3....9.2."),
        (Drum::Closed, "6.4.6.4.6.4.6.4."),
        (Drum::Ride, "..4...4...4...4."),
    ],
    &[
        (Drum::Kick, "9.....7...8....."),
        (Drum::Snare, "....9....3..9..3"),
        (Drum::Closed, "6.4.6.4.644.6.4."),
    ],
];

const HIPHOP: [&[Row]; 3] = [
    &[
        (Drum::Kick, "9......6..8....."),
        (Drum::Snare, "....9.......9..."),
        (Drum::Closed, "6.4.6.4.6.4.6.43"),
    ],
    &[
        (Drum::Kick, "9..5....8.6....."),
        (Drum::Snare, "....9..2....9..."),
        (Drum::Closed, "6.4.6.456.4.6.4."),
    ],
    &[
        (Drum::Kick, "9.6.......8..5.."),
        (Drum::Snare, "....9.......9.2."),
        (Drum::Closed, "5.3.5.3.5.3.5.3."),
        (Drum::Open, "..............4."),
    ],
];

const WALTZ: [&[Row]; 2] = [
    &[(Drum::Kick, "8..........."), (Drum::Rim, "....4...4..."), (Drum::Shaker, "4...3...3...")],
    &[(Drum::Kick, "8..........."), (Drum::Snare, "....3...4..."), (Drum::Ride, "4...3...3.2.")],
];

/// The patterns of a style.
fn patterns(style: Style) -> &'static [&'static [Row]] {
    match style {
        Style::House => &HOUSE,
        Style::Techno => &TECHNO,
        Style::Dnb => &DNB,
        Style::Hiphop => &HIPHOP,
        Style::Waltz => &WALTZ,
    }
}

/// All strokes of a piece, in time order within each bar's rows.
pub(crate) fn hits(score: &Score<'_>) -> Vec<Hit> {
    let mut rng = score.rng("groove");
    let choices = patterns(score.spec.style());
    // A piece keeps to one pattern and answers with another now and then.
    let (main, answer) = (rng.below(choices.len()), rng.below(choices.len()));
    let mut hits = Vec::new();
    for bar in &score.bars {
        let chosen =
            if bar.index % 4 == 3 || bar.section == Section::Drop && bar.is_late() { answer } else { main };
        for row in choices[chosen] {
            hits.extend(strokes(score, bar, row, &mut rng));
        }
        if bar.closes && bar.has_beat() {
            hits.extend(fill(score, bar, &mut rng));
        }
    }
    hits
}

/// The strokes of one drum in one bar.
fn strokes(score: &Score<'_>, bar: &Bar, row: &Row, rng: &mut Rng) -> Vec<Hit> {
    let (drum, steps) = *row;
    let first = score.first_beat(bar);
    let audible = plays(bar, drum);
    steps
        .bytes()
        .enumerate()
        .filter(|(_, step)| step.is_ascii_digit())
        .map(|(at, step)| Hit {
            drum,
            beat: first + at as f64 / 4.0,
            velocity: f64::from(step - b'0') / 9.0 * (0.9 + 0.1 * rng.unit()),
        })
        .filter(|_| audible)
        .collect()
}

/// Whether a drum plays in a bar: sections open and close the kit.
fn plays(bar: &Bar, drum: Drum) -> bool {
    match bar.section {
        Section::Groove | Section::Drop => true,
        Section::Intro => bar.is_late() || !matches!(drum, Drum::Open | Drum::Ride | Drum::Rim),
        Section::Break => matches!(drum, Drum::Shaker | Drum::Closed) && bar.is_late(),
        Section::Outro => !bar.is_late() || matches!(drum, Drum::Kick | Drum::Closed | Drum::Snare),
    }
}

/// A run of snares over the last beat of a section.
fn fill(score: &Score<'_>, bar: &Bar, rng: &mut Rng) -> Vec<Hit> {
    let start = score.first_beat(bar) + f64::from(score.beats_per_bar()) - 1.0;
    let strokes = if score.spec.style() == Style::Waltz { 2 } else { 4 };
    (0..strokes)
        .map(|stroke| Hit {
            drum: Drum::Snare,
            beat: start + f64::from(stroke) / f64::from(strokes),
            velocity: 0.4 + 0.1 * f64::from(stroke) + 0.1 * rng.unit(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::spec::DemoSpec;

    #[test]
    fn rows_fill_their_bars() {
        for style in Style::ALL {
            for (drum, steps) in patterns(style).iter().copied().flatten() {
                let expected = style.beats_per_bar() as usize * 4;
                assert_eq!(steps.len(), expected, "{style} {drum:?}");
            }
        }
    }

    #[test]
    fn breaks_have_no_kick() {
        let spec = DemoSpec::default();
        let score = Score::new(&spec);
        let bar = score.bars.iter().find(|bar| bar.section == Section::Break).unwrap();
        let start = score.first_beat(bar);
        let inside = |hit: &Hit| hit.beat >= start && hit.beat < start + 4.0;
        assert!(!hits(&score).iter().any(|hit| inside(hit) && hit.drum == Drum::Kick));
    }
}
