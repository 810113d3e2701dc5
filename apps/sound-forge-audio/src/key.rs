//! Musical keys: a tonic and a mode.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Names of the pitch classes from C, as keys are usually spelt.
const NAMES: [&str; 12] = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];

/// The same without a sharp, because `#` starts the fragment of a URL.
const FLAT_NAMES: [&str; 12] = ["C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B"];

/// Whether a key is major or minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// The third is four semitones above the tonic.
    Major,
    /// The third is three semitones above the tonic.
    Minor,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Major => "major",
            Self::Minor => "minor",
        })
    }
}

/// A key such as "A minor". Enharmonic spellings are the same key.
///
/// ```
/// use sound_forge_audio::Key;
///
/// let key: Key = "F#m".parse()?;
/// assert_eq!(key.to_string(), "F# minor");
/// assert_eq!(key.short(), "Gbm");
/// assert_eq!(key, "Gbm".parse()?);
/// # Ok::<(), sound_forge_audio::ParseKeyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    tonic: u8,
    mode: Mode,
}

impl Key {
    /// The key on pitch class `tonic` (0 is C, 11 is B, taken modulo 12).
    pub fn new(tonic: u8, mode: Mode) -> Self {
        Self { tonic: tonic % 12, mode }
    }

    /// The pitch class of the tonic: 0 is C, 11 is B.
    pub fn tonic(self) -> u8 {
        self.tonic
    }

    /// Major or minor.
    pub fn mode(self) -> Mode {
        self.mode
    }

    /// The short, URL-safe name: `Am`, `C`, `Gbm`, `Bb`. It parses back.
    pub fn short(self) -> String {
        let suffix = if self.mode == Mode::Minor { "m" } else { "" };
        format!("{}{suffix}", FLAT_NAMES[usize::from(self.tonic)])
    }

    /// All 24 keys, major ones first.
    pub fn all() -> impl Iterator<Item = Self> {
        [Mode::Major, Mode::Minor]
            .into_iter()
            .flat_map(|mode| (0..12).map(move |tonic| Self::new(tonic, mode)))
    }
}

/// The long name: `A minor`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", NAMES[usize::from(self.tonic)], self.mode)
    }
}

/// Reads `Am`, `C`, `F#m`, `Bb`, and the long form `A minor`.
impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseKeyError { text: text.chars().take(20).collect() };
        let letter = text.chars().next().ok_or_else(error)?;
        let natural = match letter.to_ascii_uppercase() {
            'C' => 0,
            'D' => 2,
            'E' => 4,
            'F' => 5,
            'G' => 7,
            'A' => 9,
            'B' => 11,
            _ => return Err(error()),
        };
        let rest = &text[1..];
        let (shift, rest) = match rest.as_bytes().first() {
            Some(b'#') => (1, &rest[1..]),
            Some(b'b') => (11, &rest[1..]),
            _ => (0, rest),
        };
        let mode = match rest {
            "" | " major" | "maj" => Mode::Major,
            "m" | " minor" | "min" => Mode::Minor,
            _ => return Err(error()),
        };
        Ok(Self::new(natural + shift, mode))
    }
}

/// A text that names no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no key; write it like Am, C, F#m or Bb")]
pub struct ParseKeyError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        for (text, tonic, mode) in [
            ("Am", 9, Mode::Minor),
            ("C", 0, Mode::Major),
            ("F#m", 6, Mode::Minor),
            ("Bb", 10, Mode::Major),
            ("Cb", 11, Mode::Major),
            ("B#", 0, Mode::Major),
            ("bm", 11, Mode::Minor),
            ("A minor", 9, Mode::Minor),
            ("Eb major", 3, Mode::Major),
        ] {
            assert_eq!(text.parse(), Ok(Key::new(tonic, mode)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "H", "Amm", "A#bm", "éa", "A moll", "#"] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }

    #[test]
    fn both_names_parse_back() {
        for key in Key::all() {
            assert_eq!(key.to_string().parse(), Ok(key));
            assert_eq!(key.short().parse(), Ok(key));
        }
    }
}
