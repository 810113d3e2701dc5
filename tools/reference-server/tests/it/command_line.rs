//! How the binary starts and ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Client, V2};
use crate::server::BINARY;
use crate::wire::{Received, Wire};

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("the binary starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_cluster_needs_a_secret_an_engine_and_names() {
    const SECRET: &str = "twenty bytes and some";
    for (options, expected) in [
        (&["--pubsub", "nats://127.0.0.1"][..], "--pubsub needs --secret"),
        (&["--pubsub", "redis://127.0.0.1", "--secret", "short"], "20 bytes at least"),
        (&["--pubsub", "amqp://user:hunter2@127.0.0.1", "--secret", SECRET], "names no engine"),
        (&["--pubsub", "redis://ada:hunter2@127.0.0.1?unknown=1", "--secret", SECRET], "--pubsub"),
        (&["--pubsub", "redis://127.0.0.1", "--secret", SECRET, "--node", ""], "a node's name"),
    ] {
        let output = run(&[&["checklist", "--listen", "127.0.0.1:0"], options].concat());
        let said = stderr(&output);
        assert!(!output.status.success() && said.contains(expected), "{options:?}: {said}");
        assert!(!said.contains("hunter2"), "credentials are not shown: {said}");
    }
}

#[test]
fn help_describes_every_option() {
    let output = run(&["--help"]);
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let options = [
        "--listen",
        "--node",
        "--pubsub",
        "--secret",
        "--max-channels",
        "--presence-period",
        "--presence-down",
        "--presence-permdown",
        "--drain-window",
        "--strict-join-ref",
        "--tls-cert",
        "--tls-key",
    ];
    for name in options {
        let described = help.split_once(name).map(|(_, rest)| rest.lines().take(2).collect::<String>());
        let described = described.unwrap_or_else(|| panic!("{name} is missing in {help}"));
        assert!(described.split_whitespace().count() > 4, "{name} is not described: {described}");
    }
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound socket has an address").to_string();
    let output = run(&["checklist", "--listen", &address]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn check_073_a_drain_closes_with_1012_and_nothing_before() {
    let mut server = Running::start();
    let mut joined = Client::connect_to(server.address.parse().expect("an address"), V2);
    joined.join("1", "room:a");
    let started = Instant::now();
    server.terminate();
    assert_eq!(joined.wire.receive(), Received::Close(Some((1012, String::new()))));
    assert_eq!(joined.wire.receive(), Received::End);
    // The server waits for the client's end of the connection, as every client closes it.
    drop(joined);
    let status = server.child.wait().expect("the server is our child");
    assert!(status.success(), "{status}");
    assert!(started.elapsed() < Duration::from_secs(4), "it took {:?}", started.elapsed());
    assert_eq!(server.rest_of_stdout(), "", "standard output has one line");
}

#[test]
fn idle_connections_and_clients_that_hang_do_not_hold_up_the_end() {
    let mut server = Running::start();
    let address = server.address.parse().expect("an address");
    let mut idle = Wire::open(address);
    idle.write_request(address, "GET", "/health/ready", &[], "");
    assert_eq!(idle.read_response("GET").status, 200);
    let _silent = Wire::open(address);
    // Has joined, and neither reads nor closes.
    let mut hung = Client::connect_to(address, V2);
    hung.join("1", "room:a");
    let started = Instant::now();
    server.terminate();
    let status = server.child.wait().expect("the server is our child");
    assert!(status.success(), "{status}");
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
}

#[test]
fn connections_are_closed_over_the_drain_window() {
    let mut command = Command::new(BINARY);
    command.args(["checklist", "--listen", "127.0.0.1:0", "--drain-window", "2000"]);
    let mut server = Running::spawn(command);
    let address = server.address.parse().expect("an address");
    let clients: Vec<_> = (0..10).map(|_| Client::connect_to(address, V2)).collect();
    let started = Instant::now();
    server.terminate();
    let closings: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                assert_eq!(client.wire.receive(), Received::Close(Some((1012, String::new()))));
                started.elapsed()
            })
        })
        .collect();
    let mut times: Vec<_> =
        closings.into_iter().map(|closing| closing.join().expect("it is closed")).collect();
    times.sort_unstable();
    // One each 200 ms, the last at 1800 ms.
    assert!(times[9] >= Duration::from_millis(1_800), "{times:?}");
    assert!(times[4] >= Duration::from_millis(800) && times[0] < times[9] / 2, "{times:?}");
    assert!(server.child.wait().expect("the server is our child").success());
}

#[test]
fn attack_057_a_server_with_few_files_serves_on_and_ends_in_order() {
    let mut server = Running::start_with_files(64);
    let address = server.address.parse().expect("an address");
    let mut early = Client::connect_to(address, V2);
    early.join("1", "room:a");
    let flood: Vec<_> = (0..200).map(|_| Wire::open(address)).collect();
    early.push("2", "room:a", "echo", serde_json::json!({}));
    assert_eq!(early.receive()[1], "2");
    drop(flood);
    let mut late = Client::connect_to(address, V2);
    late.join("1", "room:a");
    server.terminate();
    assert_eq!(early.wire.receive(), Received::Close(Some((1012, String::new()))));
    assert_eq!(late.wire.receive(), Received::Close(Some((1012, String::new()))));
    drop((early, late));
    assert!(server.child.wait().expect("the server is our child").success());
}

/// The binary without a guard, so that its exit status can be seen.
struct Running {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    address: String,
}

impl Running {
    fn start() -> Running {
        let mut command = Command::new(BINARY);
        command.args(["checklist", "--listen", "127.0.0.1:0"]);
        Running::spawn(command)
    }

    /// With so few open files.
    fn start_with_files(files: u32) -> Running {
        let mut command = Command::new("sh");
        let limited = format!("ulimit -n {files}; exec \"$0\" checklist --listen 127.0.0.1:0");
        command.args(["-c", &limited, BINARY]);
        Running::spawn(command)
    }

    fn spawn(mut command: Command) -> Running {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the output is text");
        let address =
            line.trim_end().strip_prefix("listening on ").expect("it says where it listens").to_owned();
        Running { child, stdout, address }
    }

    fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(killed.expect("kill starts").success());
    }

    fn rest_of_stdout(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("the output is text");
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended already, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
