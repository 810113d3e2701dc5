//! What to synthesise: the `demo:` source and its canonical form.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::style::Style;
use crate::key::{Key, ParseKeyError};

/// The scheme that every demo source starts with.
const SCHEME: &str = "demo:";

/// A piece of demo music, as written in `demo:STYLE?bpm=128&key=Am&seed=7&seconds=60`.
///
/// Every part has a default, so `demo:` alone is a piece. Parameters:
///
/// | Name | Range | Default |
/// |---|---|---|
/// | `bpm` | 40 to 220, two decimals | by style |
/// | `key` | `Am`, `C`, `F#m` (or `F%23m`), `Bb` | by style |
/// | `seed` | any 64-bit number | 1 |
/// | `seconds` | 5 to 600, whole | 60 |
/// | `drift` | -20 to 20 percent of tempo from start to end | 0 |
///
/// Printing gives the canonical form: all parts in this order (`drift` only
/// when there is one). Equal specs print equal, and print equal to what they
/// parse from.
///
/// ```
/// use sound_forge_audio::synth::DemoSpec;
///
/// let spec: DemoSpec = "demo:techno?key=A%23m&bpm=130.0".parse()?;
/// assert_eq!(spec.to_string(), "demo:techno?bpm=130&key=Bbm&seed=1&seconds=60");
/// # Ok::<(), sound_forge_audio::synth::SpecError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DemoSpec {
    style: Style,
    bpm: f64,
    key: Key,
    seed: u64,
    seconds: u32,
    drift: f64,
}

impl DemoSpec {
    /// A minute in this style, with the style's own tempo and key.
    pub fn new(style: Style) -> Self {
        Self { style, bpm: style.default_bpm(), key: style.default_key(), seed: 1, seconds: 60, drift: 0.0 }
    }

    /// Reads a demo source.
    ///
    /// # Errors
    ///
    /// When the text is no demo source, or a part of it is unknown, given
    /// twice or out of its range.
    pub fn parse(source: &str) -> Result<Self, SpecError> {
        let rest = source.strip_prefix(SCHEME).ok_or(SpecError::Scheme)?;
        let (style, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut spec = Self::new(parse_style(style)?);
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if seen.contains(&name) {
                return Err(SpecError::Repeated(brief(name)));
            }
            seen.push(name);
            spec.set(name, &unescape(value))?;
        }
        Ok(spec)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), SpecError> {
        match name {
            "bpm" => self.bpm = number("bpm", value, 40.0, 220.0)?,
            "drift" => self.drift = number("drift", value, -20.0, 20.0)?,
            "key" => self.key = value.parse()?,
            "seed" => self.seed = value.parse().map_err(|_| SpecError::Seed(brief(value)))?,
            "seconds" => self.seconds = seconds(value)?,
            _ => return Err(SpecError::Parameter(brief(name))),
        }
        Ok(())
    }

    /// The style of music.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The mean tempo in beats per minute, 40 to 220.
    pub fn bpm(&self) -> f64 {
        self.bpm
    }

    /// The key.
    pub fn key(&self) -> Key {
        self.key
    }

    /// What all chance is drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The length in seconds, 5 to 600.
    pub fn seconds(&self) -> u32 {
        self.seconds
    }

    /// By how many percent of `bpm` the tempo rises from start to end.
    pub fn drift(&self) -> f64 {
        self.drift
    }
}

impl Default for DemoSpec {
    fn default() -> Self {
        Self::new(Style::House)
    }
}

impl FromStr for DemoSpec {
    type Err = SpecError;

    fn from_str(source: &str) -> Result<Self, Self::Err> {
        Self::parse(source)
    }
}

impl fmt::Display for DemoSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { style, bpm, key, seed, seconds, drift } = self;
        let key = key.short();
        write!(f, "{SCHEME}{style}?bpm={bpm}&key={key}&seed={seed}&seconds={seconds}")?;
        if *drift != 0.0 {
            write!(f, "&drift={drift}")?;
        }
        Ok(())
    }
}

/// Why a text is no demo source.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// It does not start with `demo:`.
    #[error("a demo source starts with \"demo:\"")]
    Scheme,
    /// There is no such style.
    #[error("unknown demo style {0:?}; there are {styles}", styles = Style::names())]
    Style(String),
    /// There is no such parameter.
    #[error("unknown demo parameter {0:?}; there are bpm, key, seed, seconds, drift")]
    Parameter(String),
    /// A parameter is given twice.
    #[error("demo parameter {0:?} is given twice")]
    Repeated(String),
    /// A number is missing or outside its range.
    #[error("{name} must be a number from {min} to {max}, not {value:?}")]
    Range {
        /// The parameter.
        name: &'static str,
        /// The smallest value allowed.
        min: i32,
        /// The largest value allowed.
        max: i32,
        /// What was given.
        value: String,
    },
    /// The seed is no whole number.
    #[error("seed must be a whole number below 2^64, not {0:?}")]
    Seed(String),
    /// The key is none.
    #[error(transparent)]
    Key(#[from] ParseKeyError),
}

fn parse_style(name: &str) -> Result<Style, SpecError> {
    if name.is_empty() {
        return Ok(DemoSpec::default().style);
    }
    Style::ALL
        .into_iter()
        .find(|style| style.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| SpecError::Style(brief(name)))
}

/// A number within a range, to two decimals so that it prints short.
fn number(name: &'static str, value: &str, min: f64, max: f64) -> Result<f64, SpecError> {
    match value.parse::<f64>() {
        // Adding zero turns a negative zero into a plain one.
        Ok(number) if (min..=max).contains(&number) => Ok((number * 100.0).round() / 100.0 + 0.0),
        _ => Err(SpecError::Range { name, min: min as i32, max: max as i32, value: brief(value) }),
    }
}

fn seconds(value: &str) -> Result<u32, SpecError> {
    let (min, max) = (5, 600);
    match value.parse::<u32>() {
        Ok(seconds) if (5..=600).contains(&seconds) => Ok(seconds),
        _ => Err(SpecError::Range { name: "seconds", min, max, value: brief(value) }),
    }
}

/// The start of a text, short enough for an error message.
fn brief(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Undoes percent-encoding of ASCII; anything else stays as it is.
fn unescape(value: &str) -> String {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        match after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if byte.is_ascii() => {
                text.push(char::from(byte));
                rest = &after[2..];
            }
            _ => {
                text.push('%');
                rest = after;
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        for (source, canonical) in [
            ("demo:", "demo:house?bpm=124&key=Am&seed=1&seconds=60"),
            ("demo:?", "demo:house?bpm=124&key=Am&seed=1&seconds=60"),
            ("demo:HOUSE?seconds=60&bpm=124.001", "demo:house?bpm=124&key=Am&seed=1&seconds=60"),
            ("demo:dnb?key=F%23m&seed=07", "demo:dnb?bpm=174&key=Gbm&seed=7&seconds=60"),
            ("demo:waltz?drift=-3.5&key=C", "demo:waltz?bpm=138&key=C&seed=1&seconds=60&drift=-3.5"),
            ("demo:waltz?drift=-0&key=C", "demo:waltz?bpm=138&key=C&seed=1&seconds=60"),
        ] {
            let spec = DemoSpec::parse(source).unwrap();
            assert_eq!(spec.to_string(), canonical, "{source}");
            assert_eq!(DemoSpec::parse(canonical).unwrap(), spec, "{source}");
        }
    }

    #[test]
    fn wrong_parts_are_named() {
        for (source, message) in [
            ("house", "starts with"),
            ("demo:polka", "unknown demo style \"polka\"; there are house, techno"),
            ("demo:house?tempo=3", "unknown demo parameter \"tempo\""),
            ("demo:house?bpm=120&bpm=120", "given twice"),
            ("demo:house?bpm=39", "bpm must be a number from 40 to 220, not \"39\""),
            ("demo:house?bpm=NaN", "bpm must be"),
            ("demo:house?bpm", "bpm must be"),
            ("demo:house?seconds=601", "seconds must be a number from 5 to 600"),
            ("demo:house?seconds=7.5", "seconds must be"),
            ("demo:house?key=H", "\"H\" is no key"),
            ("demo:house?seed=-1", "seed must be"),
            ("demo:house?drift=21", "drift must be"),
        ] {
            let error = DemoSpec::parse(source).unwrap_err().to_string();
            assert!(error.contains(message), "{source}: {error}");
        }
    }
}
