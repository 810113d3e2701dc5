//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

use crate::doctor::Doctor;
use crate::documents::{Folder, Shell};
use crate::new::New;
use crate::presence::Presence;
use crate::push::Push;
use crate::repl::Repl;
use crate::tail::Tail;
use crate::token::TokenCommand;

/// Phoenix Channels from the command line: listen, push, see who is there, sign tokens, begin a project, examine a deployment.
#[derive(Debug, Parser)]
#[command(name = "bennu", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Whether to colour: `auto` colours on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Colouring,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print events of topics as they come
    Tail(Tail),
    /// Push an event, and print the reply
    Push(Push),
    /// Show who is there, and who comes and goes
    Presence(Presence),
    /// Join, push and listen, line by line
    Repl(Repl),
    /// Write a small working project: a server with a channel and its tests
    New(New),
    /// Examine a deployment, and say what is wrong and what to do about it
    Doctor(Doctor),
    /// Sign, verify and look into tokens as Phoenix.Token makes them
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print a script that completes commands and options in a shell
    Completions(Shell),
    /// Write the man pages
    Man(Folder),
}

/// When to colour.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Colouring {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Into pipes and files too.
    Always,
    /// Never.
    Never,
}

impl Colouring {
    /// For everything that is written from now on.
    pub(crate) fn apply(self) {
        match self {
            Colouring::Auto => anstream::ColorChoice::Auto,
            Colouring::Always => anstream::ColorChoice::Always,
            Colouring::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Options;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Options::command().debug_assert();
    }
}
