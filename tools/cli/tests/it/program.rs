//! Runs `bennu`.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// What one run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn of(output: Output) -> Run {
        Run {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).expect("its output is text"),
            stderr: String::from_utf8(output.stderr).expect("its messages are text"),
        }
    }

    /// What it printed, if all went well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// What it complained of, if it ended with this number.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stderr
    }
}

/// A command without what the tests' own environment could say to it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bennu"));
    command.args(arguments);
    for name in ["BENNU_SECRET", "BENNU_TOKEN", "NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end, with nothing on standard input.
pub(crate) fn bennu(arguments: &[&str]) -> Run {
    run(&mut command(arguments), "")
}

/// Runs it to its end with this on standard input.
pub(crate) fn run(command: &mut Command, stdin: &str) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It may end without reading.
    let _ = child.stdin.take().expect("stdin is piped").write_all(stdin.as_bytes());
    Run::of(child.wait_with_output().expect("it ends"))
}
