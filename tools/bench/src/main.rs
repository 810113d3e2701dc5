//! Puts load on a server and tells what it costs; see the README.

mod bench;
mod client;
mod compare;
mod document;
mod echoes;
mod fault;
mod figures;
mod ledger;
mod link;
mod mode;
mod options;
mod payload;
mod phase;
mod proc;
mod protocol;
mod publishing;
mod report;
mod sends;
mod server;
mod target;
mod tls;
mod topics;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::bench::Bench;
use crate::fault::Fault;
use crate::figures::Figures;
use crate::mode::Mode;
use crate::options::{Command, Options};
use crate::report::Report;

/// The exit status when the server is to blame.
const SERVER_FAULT: u8 = 3;

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = std::io::stderr();
            // Nobody may be listening.
            let _unheard = writeln!(stderr, "bennu-bench: {error:#}");
            match error.downcast_ref::<Fault>() {
                Some(fault) if fault.is_the_servers() => ExitCode::from(SERVER_FAULT),
                Some(_) | None => ExitCode::FAILURE,
            }
        }
    }
}

fn run(options: Options) -> anyhow::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    match options.command {
        Some(Command::Mode(mode)) => measure(&mode),
        Some(Command::Report(document)) => document.write(),
        None => match options.compare.as_deref() {
            Some([a, b]) => compare::show(&mut std::io::stdout(), &report::read(a)?, &report::read(b)?),
            Some(_) | None => unreachable!("the parser asks for a command, or for two files"),
        },
    }
}

/// All runs of a mode.
fn measure(mode: &Mode) -> anyhow::Result<()> {
    let (name, load, common) = mode.parts();
    if let Some(cpus) = &common.client_cpu {
        server::pin_client(&server::cpus(cpus)?)?;
    }
    let mut all: Vec<Figures> = Vec::new();
    for run in common.first_run..common.first_run + common.runs {
        let mut bench = Bench::start(load, common)?;
        let figures = load.measure(&mut bench)?;
        drop(bench);
        let report = Report::new(name, load.parameters(), common, run, &figures)?;
        report.show(&mut std::io::stdout())?;
        if let Some(path) = &common.json {
            report.append(path)?;
        }
        all.push(figures);
    }
    if let [_, _, ..] = *all {
        report::show_medians(&mut std::io::stdout(), &all)?;
    }
    Ok(())
}
