//! Runs `bennu`.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

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

/// A program that goes on running, whose lines are read as they come.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

/// Lines of one stream, which a thread reads.
pub(crate) struct Lines(Receiver<String>);

/// What is waited for comes in milliseconds, or on a busy machine in seconds.
const PATIENCE: Duration = Duration::from_secs(20);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdin = child.stdin.take();
        let stdout = Lines::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Lines::of(child.stderr.take().expect("stderr is piped"));
        Running { child, stdin, stdout, stderr }
    }

    /// One more line on its standard input.
    pub(crate) fn says(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{line}").expect("the program reads");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the program runs");
    }

    /// Closes its standard input, and waits for the number that it ends with.
    pub(crate) fn code(&mut self) -> i32 {
        drop(self.stdin.take());
        let status = self.child.wait().expect("it ends");
        status.code().unwrap_or_else(|| panic!("it was ended by a signal: {status}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Lines {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    // Whoever does not read any more closes the stream.
                    return;
                }
            }
        });
        Lines(receiver)
    }

    /// The next line.
    #[track_caller]
    pub(crate) fn next(&self) -> String {
        self.0.recv_timeout(PATIENCE).expect("a line comes")
    }

    /// The next line that has this in it; those before it are passed over.
    #[track_caller]
    pub(crate) fn with(&self, text: &str) -> String {
        let mut passed = Vec::new();
        loop {
            match self.0.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => passed.push(line),
                Err(_) => panic!("no line with {text:?} among {passed:#?}"),
            }
        }
    }

    /// All lines up to the stream's end.
    pub(crate) fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.0.recv_timeout(PATIENCE).ok()).collect()
    }
}
