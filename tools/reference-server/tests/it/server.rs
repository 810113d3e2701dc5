//! The real binary, started once per application and ended with the test process.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_reference-server");

/// Runs a program until standard input ends, and sends it the signals that are
/// named there. The other end of that pipe is ours, so the kernel closes it
/// however the test process ends, and a server never outlives its tests. Standard
/// output is the program's alone, and ends with it.
pub(crate) const UNTIL_STDIN_ENDS: &str = r#""$@" </dev/null & server=$!; exec >&-
while read -r signal; do kill -"$signal" $server; done; kill -KILL $server; wait $server"#;

/// A running server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    guard: Child,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts an application on a free loopback port.
    pub(crate) fn start(application: &str, options: &[&str]) -> Server {
        Server::start_with_log(application, options, application)
    }

    /// The same, with a name for its log: of several servers of one application.
    pub(crate) fn start_with_log(application: &str, options: &[&str], log_name: &str) -> Server {
        Server::start_under(&[], application, options, log_name)
    }

    /// The same, run by another program.
    pub(crate) fn start_under(
        runner: &[&str],
        application: &str,
        options: &[&str],
        log_name: &str,
    ) -> Server {
        Server::start_at("127.0.0.1:0", runner, application, options, log_name)
    }

    /// The same, at an address.
    pub(crate) fn start_at(
        listen: &str,
        runner: &[&str],
        application: &str,
        options: &[&str],
        log_name: &str,
    ) -> Server {
        let mut guard = Command::new("sh")
            .args(["-c", UNTIL_STDIN_ENDS, "sh"])
            .args(runner)
            .args([BINARY, application, "--listen", listen])
            .args(options)
            // Logs are read by tests.
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log(log_name))
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(guard.stdout.take().expect("stdout is piped"));
        stdout.read_line(&mut line).expect("the server's output is text");
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.trim_end().parse().ok());
        let address = address.unwrap_or_else(|| panic!("{application} said {line:?}; see its log in {TMP}"));
        Server { address, guard, stdout }
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        let guard = self.guard.id();
        let children = std::fs::read_to_string(format!("/proc/{guard}/task/{guard}/children"));
        let children = children.expect("the guard lives");
        children.trim().parse().unwrap_or_else(|_| panic!("one child of the guard, not {children:?}"))
    }

    /// Sends it a signal, by its name.
    pub(crate) fn signal(&mut self, name: &str) {
        let stdin = self.guard.stdin.as_mut().expect("the guard listens until it is dropped");
        writeln!(stdin, "{name}").expect("the guard listens");
    }

    /// Waits until it has ended by itself, and returns what it still said.
    pub(crate) fn ended(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("the server's output is text");
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().expect("the guard is our child");
    }
}

/// The `checklist` application that most tests share.
pub(crate) fn checklist() -> SocketAddr {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("checklist", &[])).address
}

/// The `clients` application that the npm clients share.
pub(crate) fn clients() -> SocketAddr {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("clients", &[])).address
}

/// A core that we may run on; a server that has only this one, by `taskset`, has one shard.
pub(crate) fn first_core() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    cores.and_then(|cores| cores.trim().split(['-', ',']).next()).expect("a core").to_owned()
}

/// Where logs and npm packages go.
pub(crate) const TMP: &str = env!("CARGO_TARGET_TMPDIR");

fn log(name: &str) -> Stdio {
    let path = Path::new(TMP).join(format!("{name}.log"));
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(&path);
    file.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display())).into()
}
