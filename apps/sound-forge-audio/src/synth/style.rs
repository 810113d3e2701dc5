//! The styles of demo music and what sets them apart.

use std::fmt;

use crate::key::{Key, Mode};

/// A style of demo music.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// Four on the floor, claps on two and four, off-beat open hats.
    House,
    /// A driving kick, a rolling bass in sixteenths, sparse stabs.
    Techno,
    /// A fast broken beat over a slow reese bass and pads.
    Dnb,
    /// A swung, laid-back beat with electric-piano chords.
    Hiphop,
    /// Three beats to the bar: bass on one, chords on two and three.
    Waltz,
}

impl Style {
    /// Every style.
    pub const ALL: [Self; 5] = [Self::House, Self::Techno, Self::Dnb, Self::Hiphop, Self::Waltz];

    /// The name used in a demo source.
    pub fn name(self) -> &'static str {
        match self {
            Self::House => "house",
            Self::Techno => "techno",
            Self::Dnb => "dnb",
            Self::Hiphop => "hiphop",
            Self::Waltz => "waltz",
        }
    }

    /// The beats of one bar.
    pub fn beats_per_bar(self) -> u32 {
        match self {
            Self::Waltz => 3,
            Self::House | Self::Techno | Self::Dnb | Self::Hiphop => 4,
        }
    }

    /// The tempo in beats per minute when none is given.
    pub fn default_bpm(self) -> f64 {
        match self {
            Self::House => 124.0,
            Self::Techno => 132.0,
            Self::Dnb => 174.0,
            Self::Hiphop => 88.0,
            Self::Waltz => 138.0,
        }
    }

    /// The key when none is given.
    pub fn default_key(self) -> Key {
        match self {
            Self::House => Key::new(9, Mode::Minor),
            Self::Techno => Key::new(5, Mode::Minor),
            Self::Dnb => Key::new(4, Mode::Minor),
            Self::Hiphop => Key::new(2, Mode::Minor),
            Self::Waltz => Key::new(7, Mode::Major),
        }
    }

    /// How far every second sixteenth is pushed back, in beats.
    pub(crate) fn swing(self) -> f64 {
        match self {
            Self::Hiphop => 0.07,
            Self::House => 0.02,
            Self::Techno | Self::Dnb | Self::Waltz => 0.0,
        }
    }

    /// How far a kick pushes the other instruments down, 0 to 1.
    pub(crate) fn sidechain(self) -> f64 {
        match self {
            Self::House => 0.6,
            Self::Techno => 0.65,
            Self::Dnb => 0.35,
            Self::Hiphop => 0.25,
            Self::Waltz => 0.0,
        }
    }

    /// The names of all styles, for error messages.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
