//! How the program ends, as scripts see it.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// What the program's end says. A number keeps its meaning in all commands; `docs/cli.md` has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All is done.
    Done = 0,
    /// Something failed that has no number of its own.
    Failed = 1,
    /// The command line makes no sense; clap ends with it too.
    Usage = 2,
    /// There is no connection, and the server or the network said why.
    NotConnected = 3,
    /// The server refused a join.
    JoinRefused = 4,
    /// The server replied to a push with something else than `ok`.
    ErrorReply = 5,
    /// No answer came in time.
    TimedOut = 6,
    /// The connection ended before the reply to a push came: it may have been handled.
    Unconfirmed = 7,
    /// The server closed the channel.
    ChannelClosed = 8,
    /// A token that is not genuine.
    InvalidToken = 9,
    /// A token that was genuine once.
    ExpiredToken = 10,
    /// Ctrl-C, after leaving and closing.
    Interrupted = 130,
    /// SIGTERM, after leaving and closing.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error with the number that the program ends with.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
}

/// An error that ends the program with a number of its own.
pub(crate) fn failure(exit: Exit, message: impl Into<String>) -> anyhow::Error {
    Failure { exit, message: message.into() }.into()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Says what went wrong on standard error. Whoever stops reading, as `head` does, has had enough: that is no failure.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    if error.chain().any(is_broken_pipe) {
        return Exit::Done;
    }
    // Nothing is left to be done when standard error cannot be written either.
    let _ = writeln!(anstream::stderr(), "bennu: {error:#}");
    of(error)
}

/// The number of an error.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    failure.map_or(Exit::Failed, |failure| failure.exit)
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
