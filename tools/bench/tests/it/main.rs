//! The program against servers that are right, and against one that is not.

mod faults;
mod modes;
mod phoenix;
mod reports;
mod small;

use std::net::SocketAddr;
use std::process::{Command, Output};

/// Runs the program to its end.
fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bennu-bench")).args(arguments).output().expect("the program starts")
}

/// Runs a mode, given as on a command line, on a server.
fn run(mode: &str, address: SocketAddr, options: &[&str]) -> Output {
    let url = format!("ws://{address}");
    let mut arguments: Vec<&str> = mode.split(' ').collect();
    arguments.extend(["--url", &url]);
    arguments.extend(options);
    bench(&arguments)
}

/// What it said on both outputs.
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[track_caller]
fn assert_succeeds(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}
