//! Where lines come from, an editor or a pipe, and where what is shown goes meanwhile.

use std::borrow::Cow;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Editor, ExternalPrinter, Helper};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::command::{Command, WORDS};
use super::terminal::Terminal;
use crate::session;

const PROMPT: &str = "> ";

/// What the user did.
pub(super) enum Input {
    Line(String),
    /// Ctrl-C in the editor: the line is given up.
    Interrupted,
    End,
    Failed(String),
}

/// Lines that a thread of its own reads, one for each that is asked for.
pub(super) struct Lines {
    ask: std_mpsc::Sender<()>,
    lines: mpsc::Receiver<Input>,
    topics: Topics,
    _terminal: Option<Terminal>,
}

/// What can be completed after a command that takes a topic.
type Topics = Arc<Mutex<Vec<String>>>;

impl Lines {
    /// An editor at a terminal; else standard input as it is.
    pub(super) fn open(history: Option<PathBuf>) -> anyhow::Result<(Self, Output)> {
        let (ask, asked) = std_mpsc::channel();
        let (answer, lines) = mpsc::channel(1);
        let topics = Topics::default();
        if !io::stdin().is_terminal() {
            thread::spawn(move || read_pipe(&asked, &answer));
            let output = print_elsewhere(|text| {
                // Who does not read any more is told nothing more; the lines go on being executed.
                let mut stdout = anstream::stdout().lock();
                let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
            });
            return Ok((Lines { ask, lines, topics, _terminal: None }, Output::Pipe(output)));
        }
        let terminal = Some(Terminal::remember());
        let mut editor = Editor::<Words, FileHistory>::new().context("the terminal cannot be used")?;
        editor.set_helper(Some(Words(Arc::clone(&topics))));
        if let Some(path) = &history {
            // The first time there is none.
            let _ = editor.load_history(path);
        }
        let mut printer = editor.create_external_printer().context("the terminal cannot be used")?;
        // Between two lines, the printer may wait until the next one is edited. If the terminal is gone, the next line says so.
        let output = print_elsewhere(move |text| drop(printer.print(text)));
        thread::spawn(move || edit(editor, history, &asked, &answer));
        Ok((Lines { ask, lines, topics, _terminal: terminal }, Output::Terminal(output)))
    }

    /// The next line.
    pub(super) async fn next(&mut self) -> Input {
        // Where the thread is gone, there is no line either.
        let _ = self.ask.send(());
        self.lines.recv().await.unwrap_or(Input::End)
    }

    pub(super) fn complete_topics(&self, topics: Vec<String>) {
        *self.topics.lock().unwrap_or_else(PoisonError::into_inner) = topics;
    }
}

fn read_pipe(asked: &std_mpsc::Receiver<()>, answer: &mpsc::Sender<Input>) {
    let mut lines = io::stdin().lock().lines();
    while asked.recv().is_ok() {
        let input = match lines.next() {
            Some(Ok(line)) => Input::Line(line),
            Some(Err(error)) => Input::Failed(error.to_string()),
            None => Input::End,
        };
        if answer.blocking_send(input).is_err() {
            return;
        }
    }
}

fn edit(
    mut editor: Editor<Words, FileHistory>,
    history: Option<PathBuf>,
    asked: &std_mpsc::Receiver<()>,
    answer: &mpsc::Sender<Input>,
) {
    while asked.recv().is_ok() {
        let input = match editor.readline(PROMPT) {
            Ok(line) => {
                remember(&mut editor, &line, history.as_ref());
                Input::Line(line)
            }
            Err(ReadlineError::Interrupted) => Input::Interrupted,
            Err(ReadlineError::Eof) => Input::End,
            Err(error) => Input::Failed(error.to_string()),
        };
        if answer.blocking_send(input).is_err() {
            return;
        }
    }
}

fn remember(editor: &mut Editor<Words, FileHistory>, line: &str, history: Option<&PathBuf>) {
    // A history that cannot be kept is no reason to end.
    let _ = editor.add_history_entry(line);
    if let Some(path) = history {
        let _ = editor.append_history(path);
    }
}

/// Completes commands, and topics behind them.
struct Words(Topics);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(candidates(line, at, &topics))
    }
}

fn candidates(line: &str, at: usize, topics: &[String]) -> (usize, Vec<String>) {
    let before = &line[..at];
    let start = before.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
    let (earlier, begun) = before.split_at(start);
    let known: Vec<&str> = match earlier.split_whitespace().collect::<Vec<_>>()[..] {
        [] => WORDS.to_vec(),
        [word] if Command::takes_topic(word) => topics.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let fitting = known.into_iter().filter(|word| word.starts_with(begun));
    (start, fitting.map(|word| format!("{word} ")).collect())
}

impl Helper for Words {}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Borrowed(prompt)
    }
}

impl Validator for Words {}

/// Where things are shown: at a terminal above the line that is being edited.
pub(super) enum Output {
    Terminal(std_mpsc::Sender<Shown>),
    Pipe(std_mpsc::Sender<Shown>),
}

/// What goes to the thread that prints.
pub(super) enum Shown {
    Text(String),
    /// Answered when all before it is printed.
    Mark(oneshot::Sender<()>),
}

/// So long the last words may take.
const LAST_WORDS: Duration = Duration::from_millis(300);

impl Output {
    /// Waits until all is printed, when no further line is edited.
    pub(super) async fn flush(&self) {
        match self {
            // What the editor has kept for its next line is lost with it.
            Output::Terminal(printer) => drop(timeout(LAST_WORDS, printed(printer)).await),
            Output::Pipe(printer) => printed(printer).await,
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Output::Terminal(_))
    }

    /// What the user asked for, or what came. Waits until whoever reads a pipe has room for it.
    pub(super) async fn line(&self, text: &str) {
        match self {
            Output::Terminal(printer) => above(printer, text),
            Output::Pipe(printer) => {
                // The thread ends after this.
                let _ = printer.send(Shown::Text(text.to_owned()));
                printed(printer).await;
            }
        }
    }

    /// Something about the connection.
    pub(super) fn note(&self, text: &str) {
        match self {
            Output::Terminal(printer) => {
                let style = anstyle::Style::new().dimmed();
                above(printer, &format!("{style}* {text}{style:#}"));
            }
            Output::Pipe(_) => session::say(text.to_owned()),
        }
    }

    /// A command that failed.
    pub(super) fn complain(&self, text: &str) {
        match self {
            Output::Terminal(printer) => {
                let style = anstyle::Style::new().fg_color(Some(anstyle::AnsiColor::Red.into()));
                above(printer, &format!("{style}{text}{style:#}"));
            }
            // As with `line`.
            Output::Pipe(_) => drop(writeln!(anstream::stderr(), "bennu: {text}")),
        }
    }
}

/// Prints in a thread of its own, as printing may have to wait, and heartbeats and signals must not wait with it.
/// What waits for a terminal is not bounded, as it is no more than somebody reads.
fn print_elsewhere(mut print: impl FnMut(String) + Send + 'static) -> std_mpsc::Sender<Shown> {
    let (sender, shown) = std_mpsc::channel();
    thread::spawn(move || {
        for it in shown {
            match it {
                Shown::Text(text) => print(text),
                // Who waited may have given up.
                Shown::Mark(done) => drop(done.send(())),
            }
        }
    });
    sender
}

/// Waits until all is printed that was sent so far.
async fn printed(printer: &std_mpsc::Sender<Shown>) {
    let (done, printed) = oneshot::channel();
    // Where the thread is gone, nothing is left to be waited for.
    let _ = printer.send(Shown::Mark(done));
    let _ = printed.await;
}

fn above(printer: &std_mpsc::Sender<Shown>, text: &str) {
    let text = match anstream::stdout().current_choice() {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        _ => text.to_owned(),
    };
    // The terminal is gone; the next line says so.
    let _ = printer.send(Shown::Text(format!("{text}\n")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_topics_are_completed() {
        let topics = ["room:1".to_owned(), "user:1".to_owned()];
        for (line, start, expected) in [
            ("", 0, WORDS.len()),
            ("pu", 0, 1),
            ("p", 0, 3),
            ("push ", 5, 2),
            ("push ro", 5, 1),
            ("push room:1 ", 12, 0),
            ("topics ", 7, 0),
        ] {
            let (at, found) = candidates(line, line.len(), &topics);
            assert_eq!((at, found.len()), (start, expected), "{line}: {found:?}");
        }
        assert_eq!(candidates("leave us", 8, &topics), (6, vec!["user:1 ".to_owned()]));
    }
}
