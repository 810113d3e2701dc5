//! Puts load on a server and tells what it costs; see the README.

mod bench;
mod client;
mod compare;
mod crowd;
mod document;
mod echoes;
mod fault;
mod figures;
mod ledger;
mod link;
mod member;
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
mod suite;
mod target;
mod tls;
mod topics;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::bench::Bench;
use crate::fault::Fault;
use crate::figures::Figures;
use crate::mode::{Mode, Parts};
use crate::options::{Command, Options};
use crate::report::Report;
use crate::suite::Suite;

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
        Some(Command::Member(membership)) => membership.run(),
        Some(Command::Suite(suite)) => run_suite(&suite),
        None => match options.compare.as_deref() {
            Some([a, b]) => compare::show(&mut std::io::stdout(), &report::read(a)?, &report::read(b)?),
            Some(_) | None => unreachable!("the parser asks for a command, or for two files"),
        },
    }
}

/// All runs of a mode.
fn measure(mode: &Mode) -> anyhow::Result<()> {
    let Parts { name, load, parameters, common } = mode.parts();
    if let Some(cpus) = &common.client_cpu {
        server::pin_client(&server::cpus(cpus)?)?;
    }
    let mut all: Vec<Figures> = Vec::new();
    for run in common.first_run..common.first_run + common.runs {
        let mut bench = Bench::start(load.purpose(), load.topics(), common)?;
        let figures = load.measure(&mut bench)?;
        drop(bench);
        let report = Report::new(name, parameters.clone(), common, run, &figures)?;
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

/// All runs of a file. One that fails does not keep the others from running, but from success.
fn run_suite(suite: &Suite) -> anyhow::Result<()> {
    let lines = suite.command_lines()?;
    // All are read before the first runs, so that a mistake does not show after an hour.
    let parse = |line: &Vec<String>| Options::try_parse_from(line).with_context(|| line.join(" "));
    let parsed = lines.iter().map(parse).collect::<anyhow::Result<Vec<_>>>()?;
    let (count, mut failed) = (parsed.len(), None);
    for (number, options) in parsed.into_iter().enumerate() {
        if let Err(error) = run(options) {
            writeln!(std::io::stderr(), "bennu-bench: run {} of {count}: {error:#}", number + 1)?;
            failed = Some(error.context("the last run that failed"));
        }
    }
    failed.map_or(Ok(()), Err)
}
