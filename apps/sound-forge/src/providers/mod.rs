//! Where audio comes from.
//!
//! A URL becomes a [`Source`] before any job is made: what can be known to be wrong by then is
//! refused at once. The download stage then fetches the source into its own folder.

pub mod command;
pub mod demo;
pub mod file;
pub mod http;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

pub use command::CommandTemplate;
pub use http::{AddressPolicy, PublicOnly};

/// The part of a download's progress that fetching takes; checking the audio takes the rest.
pub(crate) const FETCH_SHARE: f64 = 0.8;

/// Where the audio of a download comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "lowercase")]
pub enum Source {
    /// The built-in synthesiser.
    Demo {
        /// The canonical `demo:` URL.
        url: String,
    },
    /// A file below the import folder.
    File {
        /// Where it really lies.
        path: PathBuf,
    },
    /// A file on the web.
    Http {
        /// The canonical URL.
        url: String,
    },
    /// Something that the configured tool fetches.
    Command {
        /// The canonical URL.
        url: String,
        /// What the tool's `{quality}` stands for.
        quality: String,
    },
    /// A file that was sent to the studio.
    Upload {
        /// Its name below `uploads/`.
        name: String,
    },
}

/// A URL that somebody wants downloaded, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it comes from.
    pub source: Source,
    /// Equal for all spellings of the same thing.
    pub canonical_url: String,
    /// What to call the track.
    pub title: String,
}

/// Why a URL cannot be downloaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It is no URL at all.
    #[error("is not a URL: {0}")]
    NotAUrl(#[from] url::ParseError),
    /// Nothing here understands its scheme.
    #[error("has the scheme {0:?}; use http, https, file or demo")]
    Scheme(String),
    /// It holds a user name or password.
    #[error("must not contain a user name or password")]
    Credentials,
    /// It is no piece the synthesiser can play.
    #[error(transparent)]
    Demo(#[from] sound_forge_audio::synth::SpecError),
    /// It is no file the studio may read.
    #[error(transparent)]
    File(#[from] file::FileError),
    /// It leads to an address the studio does not connect to.
    #[error(transparent)]
    Address(#[from] http::RefusedAddress),
    /// It needs a tool that is not configured.
    #[error(
        "needs a download tool, and none is configured: set --download-command, for example to 'yt-dlp -x -o {{folder}}/audio.%(ext)s {{url}}'"
    )]
    NoCommand,
    /// The quality is not one word.
    #[error("is no quality: use a word of letters, digits and dashes, such as best or 320k")]
    Quality,
}

/// The providers of one studio.
#[derive(Debug)]
pub struct Providers {
    /// Files below this folder may be imported.
    pub import_dir: Option<PathBuf>,
    /// The tool for pages that hold no audio themselves.
    pub command: Option<CommandTemplate>,
    /// Hosts whose URLs go to the tool.
    pub command_hosts: Vec<String>,
    /// Reads from the web.
    pub http: http::Fetcher,
    /// No source may be larger, in bytes.
    pub max_bytes: u64,
}

impl Providers {
    /// Understands a URL, or says what is wrong with it.
    ///
    /// # Errors
    ///
    /// [`SourceError`] for everything that can be known to fail without connecting anywhere.
    pub fn understand(&self, text: &str, quality: Option<&str>) -> Result<Wanted, SourceError> {
        let text = text.trim();
        let quality = check_quality(quality.unwrap_or("best"))?;
        if text.to_ascii_lowercase().starts_with("demo:") {
            return demo::understand(text);
        }
        let url = Url::parse(text)?;
        match url.scheme() {
            "file" => Ok(file::understand(&url, self.import_dir.as_deref())?),
            "http" | "https" if self.is_for_command(&url) => self.for_command(url, quality),
            "http" | "https" => self.http.understand(url),
            other => Err(SourceError::Scheme(other.to_owned())),
        }
    }

    fn is_for_command(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        self.command_hosts.iter().any(|known| host == known || host.ends_with(&format!(".{known}")))
    }

    fn for_command(&self, url: Url, quality: &str) -> Result<Wanted, SourceError> {
        if self.command.is_none() {
            return Err(SourceError::NoCommand);
        }
        let wanted = self.http.understand(url)?;
        let source = Source::Command { url: wanted.canonical_url.clone(), quality: quality.to_owned() };
        Ok(Wanted { source, ..wanted })
    }
}

/// It becomes part of a tool's arguments, so it must not look like an option or a path.
fn check_quality(quality: &str) -> Result<&str, SourceError> {
    let is_word = (1..=16).contains(&quality.len())
        && !quality.starts_with('-')
        && quality.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if is_word { Ok(quality) } else { Err(SourceError::Quality) }
}

/// A title for people, from a file name or the end of a URL. Never used as a path.
pub fn title_of(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let stem = if stem.is_empty() { name } else { stem };
    let visible: String = stem.chars().filter(|c| !c.is_control()).take(200).collect();
    let title = visible.trim();
    if title.is_empty() { "Untitled".to_owned() } else { title.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_display_text_and_never_paths() {
        for (name, title) in [
            ("Song.flac", "Song"),
            ("../../etc/passwd", "passwd"),
            ("C:\\music\\a.b.mp3", "a.b"),
            (".mp3", ".mp3"),
            ("a\u{0}\nb.wav", "ab"),
            ("", "Untitled"),
            ("   .wav", "Untitled"),
        ] {
            assert_eq!(title_of(name), title, "{name:?}");
        }
    }

    #[test]
    fn a_quality_is_one_word() {
        for (quality, good) in [("best", true), ("320k", true), ("", false), ("-o/x", false), ("a b", false)]
        {
            assert_eq!(check_quality(quality).is_ok(), good, "{quality:?}");
        }
    }
}
