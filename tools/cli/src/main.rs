//! `bennu`: listens, pushes, signs tokens, begins projects and examines deployments, from the command line.
//!
//! ```text
//! cargo install --path tools/cli
//! bennu --help
//! ```

mod doctor;
mod documents;
mod exit;
mod new;
mod options;
mod presence;
mod print;
mod push;
mod repl;
mod secret;
mod server;
mod session;
mod signals;
mod span;
mod tail;
mod token;

use std::process::ExitCode;

use clap::Parser as _;

use crate::exit::Exit;
use crate::options::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    options.color.apply();
    run(options.command).unwrap_or_else(|error| exit::report(&error)).into()
}

fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Tail(tail) => tail::run(&tail),
        Command::Push(push) => push::run(&push),
        Command::Presence(presence) => presence::run(&presence),
        Command::Repl(repl) => repl::run(&repl),
        Command::New(new) => new::run(&new),
        Command::Token(command) => token::run(command),
        Command::Completions(shell) => documents::completions(&shell),
        Command::Man(folder) => documents::man(&folder),
    }
}
