//! An external tool, such as yt-dlp or spotdl, that the owner has configured.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::queue::{Failure, Progress, Stopped, WorkError};

/// A command with places for `{url}`, `{folder}` and `{quality}`.
///
/// It is split at blanks and run as it is: there is no shell, and a value stays one argument
/// whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTemplate {
    program: String,
    arguments: Vec<String>,
}

/// Why a text is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// It is empty.
    #[error("the command is empty")]
    Empty,
    /// The tool would not learn what to fetch.
    #[error("the command has no place for {{url}}")]
    NoUrl,
    /// The tool would not learn where to put it.
    #[error("the command has no place for {{folder}}")]
    NoFolder,
}

/// What stands for the places of a command.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// What to fetch.
    pub url: &'a str,
    /// Where to put it.
    pub folder: &'a Path,
    /// How good it should be.
    pub quality: &'a str,
}

/// A tool may take so long.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Of a tool's complaint so many lines are kept, each cut to so many characters.
const KEPT_LINES: usize = 12;
const KEPT_CHARS: usize = 500;

impl FromStr for CommandTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut words = text.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or(TemplateError::Empty)?;
        let arguments: Vec<String> = words.collect();
        let has = |place| arguments.iter().any(|argument| argument.contains(place));
        if !has("{url}") {
            return Err(TemplateError::NoUrl);
        }
        if !has("{folder}") {
            return Err(TemplateError::NoFolder);
        }
        Ok(Self { program, arguments })
    }
}

impl CommandTemplate {
    /// Runs the tool, and finds the one file it left in the folder.
    ///
    /// # Errors
    ///
    /// The tool's own words when it fails.
    pub async fn fetch(&self, places: Places<'_>, progress: &Progress) -> Result<PathBuf, WorkError> {
        let mut child = self.spawn(places)?;
        let group = Group::of(&child);
        let run = self.run(&mut child, progress);
        let (status, complaint) = tokio::select! {
            run = tokio::time::timeout(TIMEOUT, run) => match run {
                Ok(run) => run.map_err(|error| failed(self.io_failure(&error)))?,
                Err(_) => {
                    let reason = format!("{}: still not done after 30 minutes", self.name());
                    return Err(failed(Failure::transient(reason)));
                }
            },
            () = progress.stopped() => return Err(Stopped.into()),
        };
        group.disarm();
        if !status.success() {
            return Err(failed(Failure::transient(self.complaint(status, &complaint))));
        }
        only_file(places.folder)
            .map_err(|reason| failed(Failure::permanent(format!("{}: {reason}", self.name()))))
    }

    fn spawn(&self, places: Places<'_>) -> Result<Child, WorkError> {
        let mut command = Command::new(&self.program);
        command.args(self.arguments.iter().map(|argument| places.fill(argument)));
        command.current_dir(places.folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command.spawn().map_err(|error| failed(self.io_failure(&error)))
    }

    async fn run(
        &self,
        child: &mut Child,
        progress: &Progress,
    ) -> std::io::Result<(ExitStatus, Vec<String>)> {
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let on_line = |line: &str| {
            if let Some(fraction) = percent_in(line) {
                // Being told to stop is noticed by the caller's select.
                let _ = progress.report(fraction, &format!("{}: {}", self.name(), cut(line)));
            }
        };
        let (_, complaint) = tokio::join!(last_lines(out, on_line), last_lines(err, on_line));
        Ok((child.wait().await?, complaint))
    }

    fn complaint(&self, status: ExitStatus, lines: &[String]) -> String {
        let text = lines.join("\n");
        let name = self.name();
        if text.is_empty() {
            return format!("{name}: ended with {status} and said nothing");
        }
        if text.starts_with(&format!("{name}:")) { text } else { format!("{name}: {text}") }
    }

    fn io_failure(&self, error: &std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::NotFound => Failure::permanent(format!(
                "{}: the program was not found; install it or change --download-command",
                self.name()
            )),
            _ => Failure::of_io(&format!("{} could not be run", self.name()), error),
        }
    }

    fn name(&self) -> &str {
        Path::new(&self.program).file_name().and_then(|name| name.to_str()).unwrap_or(&self.program)
    }
}

impl Places<'_> {
    fn fill(&self, argument: &str) -> String {
        // The URL goes in last: what it holds is not filled in again.
        argument
            .replace("{folder}", &self.folder.to_string_lossy())
            .replace("{quality}", self.quality)
            .replace("{url}", self.url)
    }
}

/// Kills the tool with all its helpers, unless it ended by itself.
struct Group(Option<u32>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id())
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = self.0.and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
            // The group may be gone by now, which is what is wanted.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

fn failed(failure: Failure) -> WorkError {
    WorkError::Failed(failure)
}

async fn last_lines(stream: Option<impl AsyncRead + Unpin>, on_line: impl Fn(&str)) -> Vec<String> {
    let mut kept = std::collections::VecDeque::new();
    let Some(stream) = stream else { return Vec::new() };
    let mut pieces = BufReader::new(stream).split(b'\n');
    // A stream that breaks ends like one that is over; the exit status tells the rest.
    while let Ok(Some(piece)) = pieces.next_segment().await {
        let text = String::from_utf8_lossy(&piece);
        let line = text.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        on_line(line);
        kept.push_back(cut(line));
        if kept.len() > KEPT_LINES {
            kept.pop_front();
        }
    }
    kept.into()
}

fn cut(line: &str) -> String {
    line.chars().take(KEPT_CHARS).collect()
}

/// The fraction that a line such as `[download]  42.5% of 3MiB` tells.
fn percent_in(line: &str) -> Option<f64> {
    let before = &line[..line.find('%')?];
    let digits = before.rsplit(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let percent: f64 = digits.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

fn only_file(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .collect();
    match files.as_slice() {
        [file] => Ok(file.clone()),
        [] => Err("ended well but left no file".to_owned()),
        several => Err(format!("left {} files where one was expected", several.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_needs_its_places() {
        for (text, error) in [
            ("", Some(TemplateError::Empty)),
            ("yt-dlp {url}", Some(TemplateError::NoFolder)),
            ("yt-dlp -o {folder}/x", Some(TemplateError::NoUrl)),
            ("yt-dlp -o {folder}/x {url}", None),
        ] {
            assert_eq!(text.parse::<CommandTemplate>().err(), error, "{text}");
        }
    }

    #[test]
    fn a_value_stays_one_argument_and_is_not_filled_in_again() {
        let places = Places { url: "https://x/{folder} ;rm", folder: Path::new("/data"), quality: "best" };
        assert_eq!(places.fill("{url}"), "https://x/{folder} ;rm");
        assert_eq!(places.fill("{folder}/a-{quality}"), "/data/a-best");
    }

    #[test]
    fn percents_are_found_in_a_line() {
        for (line, fraction) in [
            ("[download]  42.5% of 3MiB", Some(0.425)),
            ("100%", Some(1.0)),
            ("%", None),
            ("no", None),
            ("250%", None),
        ] {
            assert_eq!(percent_in(line), fraction, "{line}");
        }
    }
}
