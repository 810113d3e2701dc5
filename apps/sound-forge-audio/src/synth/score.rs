//! A piece on paper: its bars, chords and the times of its notes.

use super::{
    arrangement::{Bar, arrange},
    harmony::{Chord, progression},
    rng::Rng,
    spec::DemoSpec,
    style::Style,
    tempo_map::TempoMap,
};

/// Everything the players share.
#[derive(Debug)]
pub(crate) struct Score<'a> {
    pub(crate) spec: &'a DemoSpec,
    pub(crate) tempo: TempoMap,
    pub(crate) bars: Vec<Bar>,
    progression: [Chord; 4],
}

impl<'a> Score<'a> {
    pub(crate) fn new(spec: &'a DemoSpec) -> Self {
        let tempo = TempoMap::new(spec.bpm(), spec.drift(), f64::from(spec.seconds()));
        let beats = tempo.beats().len() as u32;
        Self {
            spec,
            tempo,
            bars: arrange(beats.div_ceil(spec.style().beats_per_bar())),
            progression: progression(spec.key(), &mut Rng::new(spec.seed(), "progression")),
        }
    }

    /// The number of beats before a bar.
    pub(crate) fn first_beat(&self, bar: &Bar) -> f64 {
        f64::from(bar.index * self.beats_per_bar())
    }

    pub(crate) fn beats_per_bar(&self) -> u32 {
        self.spec.style().beats_per_bar()
    }

    /// When a note at `beat` sounds, in seconds, swing included.
    pub(crate) fn time(&self, beat: f64) -> f64 {
        let step = (beat * 4.0).round();
        let late = if step as i64 % 2 == 1 { self.spec.style().swing() } else { 0.0 };
        self.tempo.time(beat + late)
    }

    /// The chord of a bar: each section starts at home. Fast and triple styles
    /// change chords every two bars.
    pub(crate) fn chord(&self, bar: &Bar) -> Chord {
        let bars = match self.spec.style() {
            Style::Dnb | Style::Waltz => 2,
            Style::House | Style::Techno | Style::Hiphop => 1,
        };
        self.progression[(bar.phrase / bars) as usize % 4]
    }

    pub(crate) fn rng(&self, tag: &str) -> Rng {
        Rng::new(self.spec.seed(), tag)
    }
}
