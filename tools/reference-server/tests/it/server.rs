//! The real binary, started once per application and ended with the test process.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_reference-server");

/// Runs a program until standard input ends. The other end of that pipe is
/// ours, so the kernel closes it however the test process ends, and a server
/// never outlives its tests.
const UNTIL_STDIN_ENDS: &str =
    r#""$@" </dev/null & server=$!; cat >/dev/null; kill -KILL $server; wait $server"#;

/// A running server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    guard: Child,
}

impl Server {
    /// Starts an application on a free loopback port.
    pub(crate) fn start(application: &str, options: &[&str]) -> Server {
        let mut guard = Command::new("sh")
            .args(["-c", UNTIL_STDIN_ENDS, "sh", BINARY, application, "--listen", "127.0.0.1:0"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log(application))
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let stdout = guard.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server's output is text");
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.trim_end().parse().ok());
        let address = address.unwrap_or_else(|| panic!("{application} said {line:?}; see its log in {TMP}"));
        Server { address, guard }
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

/// Where logs and npm packages go.
pub(crate) const TMP: &str = env!("CARGO_TARGET_TMPDIR");

fn log(application: &str) -> Stdio {
    let path = Path::new(TMP).join(format!("{application}.log"));
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(&path);
    file.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display())).into()
}
