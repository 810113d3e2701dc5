//! What the real binary does for a delivery and for an echo: its system calls and instructions, which do not
//! depend on how fast the machine is. The bounds are the regression gate.
//!
//! The server runs on one core under valgrind, which counts both, once for each load and once without any; the
//! differences are what a load takes. It is the build of the tests, with little optimisation: the figures
//! compare with each other, and not with a release build's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::client::{Client, V2, broadcast};
use crate::server::{Server, TMP, first_core};

/// Subscribers of the topic: more than are written to without a look at what came in meanwhile.
const SUBSCRIBERS: usize = 300;

const TOPIC: &str = "room:work";

/// What is written or read with.
const WRITES: &[&str] = &["write", "writev", "sendto", "sendmsg", "sendmmsg", "pwrite64"];
const READS: &[&str] = &["read", "readv", "recvfrom", "recvmsg", "recvmmsg", "pread64"];

/// Reads the clock, which is no system call except under valgrind; starting takes thousands of them, more or less.
const CLOCK: &str = "clock_gettime";

/// Instructions may be so many times those that are committed.
const MARGIN: f64 = 1.10;

const WHAT_TO_DO: &str = "\
the server does more than it may: see the rows marked with `!`.
To see where, run this before and after the change and keep the file that is named above the marked row:
`cg_diff BEFORE AFTER > DIFF; cg_annotate DIFF` lists the functions that take more instructions, and the file that ends
in `.trace` in place of `.counts` has the system calls in order, in lines that begin with `SYSCALL`.
If it is worth it, or if a new compiler is all that changed, put the figures above into LOADS in
tools/reference-server/tests/it/work.rs, and say why in that commit. What prints them:
`cargo test -p reference-server --test it work:: -- --nocapture`.";

/// Something that clients do, how often, and what the server may do for each time.
struct Load {
    name: &'static str,
    times: usize,
    run: fn(&mut [Client]),
    writes: f64,
    reads: f64,
    /// All system calls, but for looks at the clock.
    calls: f64,
    /// Of x86-64, without the margin.
    instructions: f64,
}

const LOADS: &[Load] = &[
    Load {
        name: "delivery, 1 message at a time",
        times: 300 * SUBSCRIBERS,
        run: |clients| (0..300).for_each(|_| shout(clients, 1)),
        writes: 1.02,
        reads: 0.02,
        calls: 1.05,
        instructions: 455.0,
    },
    Load {
        name: "delivery, 16 messages at a time",
        times: 100 * 16 * SUBSCRIBERS,
        run: |clients| (0..100).for_each(|_| shout(clients, 16)),
        writes: 0.07,
        reads: 0.01,
        calls: 0.08,
        instructions: 80.0,
    },
    Load {
        name: "echo",
        times: 5_000,
        run: |clients| (0..5_000).for_each(|number| echo(&mut clients[number % 10])),
        writes: 1.05,
        reads: 1.05,
        calls: 3.2,
        instructions: 12_000.0,
    },
];

#[test]
fn deliveries_and_echoes_take_no_more_work_than_is_committed() {
    let valgrind = Command::new("valgrind").arg("--version").output();
    assert!(valgrind.is_ok(), "valgrind is missing: install it, or let `./test.sh` do so");
    let nothing = Work::of("work-nothing", |_| {});
    let mut broken = 0;
    for (number, load) in LOADS.iter().enumerate() {
        let work = Work::of(&format!("work-{number}"), load.run);
        let each =
            |count: fn(&Work) -> u64| (count(&work) as f64 - count(&nothing) as f64) / load.times as f64;
        // Elsewhere the same work is another number of instructions.
        let most = if cfg!(target_arch = "x86_64") { load.instructions * MARGIN } else { f64::INFINITY };
        println!("{}: {}", load.name, work.counts.display());
        for (what, figure, most) in [
            ("writes", each(|work| work.writes), load.writes),
            ("reads", each(|work| work.reads), load.reads),
            ("system calls", each(|work| work.calls), load.calls),
            ("instructions", each(|work| work.instructions), most),
        ] {
            let mark = if figure <= most { ' ' } else { '!' };
            println!("{mark} {what:<12} {figure:>12.3} ≤{most:>12.3}");
            broken += usize::from(figure > most);
        }
    }
    assert!(broken == 0, "{WHAT_TO_DO}");
}

/// One message or several together, to all.
fn shout(clients: &mut [Client], count: usize) {
    let payload = json!({"t": "v".repeat(56)});
    let message = json!(["1", "2", TOPIC, "shout", payload]);
    clients[0].send_together(vec![message; count]);
    let expected = broadcast(TOPIC, "shout", payload);
    for client in clients {
        (0..count).for_each(|_| client.expect(expected.clone()));
    }
}

fn echo(client: &mut Client) {
    let payload = json!({"t": "v".repeat(56)});
    client.push("3", TOPIC, "echo", payload.clone());
    assert_eq!(client.receive()[4]["response"], payload);
}

/// What a server did in its life.
struct Work {
    writes: u64,
    reads: u64,
    calls: u64,
    instructions: u64,
    /// What it did where.
    counts: PathBuf,
}

impl Work {
    /// Runs a server to its end, with subscribers and this load.
    fn of(name: &str, load: impl FnOnce(&mut [Client])) -> Work {
        let (counts, trace) =
            (Path::new(TMP).join(format!("{name}.counts")), Path::new(TMP).join(format!("{name}.trace")));
        let options = [
            "--tool=cachegrind".to_owned(),
            "--cache-sim=no".to_owned(),
            format!("--cachegrind-out-file={}", counts.display()),
            "--trace-syscalls=yes".to_owned(),
            format!("--log-file={}", trace.display()),
        ];
        let core = first_core();
        let mut runner = vec!["taskset", "--cpu-list", &core, "valgrind"];
        runner.extend(options.iter().map(String::as_str));
        let mut server = Server::start_under(&runner, "bench", &[], name);
        let mut clients: Vec<Client> = (0..SUBSCRIBERS).map(|_| subscribe(&server)).collect();
        load(&mut clients);
        server.signal("TERM");
        server.ended();
        let text = |path: &Path| {
            let bytes = fs::read(path);
            let bytes =
                bytes.unwrap_or_else(|error| panic!("{}: {error}; see {TMP}/{name}.log", path.display()));
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let trace = text(&trace);
        let calls: Vec<&str> = trace.lines().filter_map(system_call).collect();
        let of = |names: &[&str]| calls.iter().filter(|call| names.contains(call)).count() as u64;
        let summary = text(&counts);
        let total = summary.lines().find_map(|line| line.strip_prefix("summary: "));
        Work {
            writes: of(WRITES),
            reads: of(READS),
            calls: calls.len() as u64 - of(&[CLOCK]),
            instructions: total.and_then(|total| total.trim().parse().ok()).expect("a total"),
            counts,
        }
    }
}

fn subscribe(server: &Server) -> Client {
    let mut client = Client::connect_to(server.address, V2);
    client.join("1", TOPIC);
    client
}

/// The name in `SYSCALL[12,3](44) sys_sendto ( 9, 0x52, 79 ) --> …`, a line for each.
fn system_call(line: &str) -> Option<&str> {
    let (_, rest) = line.strip_prefix("SYSCALL[")?.split_once(')')?;
    let name = rest.trim_start().strip_prefix("sys_")?;
    Some(name.split([' ', '(']).next().unwrap_or(name))
}

#[test]
fn system_calls_are_told_from_other_lines() {
    for (line, expected) in [
        ("SYSCALL[12,3](44) sys_sendto ( 9, 0x52, 79, 16384, 0x0, 0 ) --> [async] ... ", Some("sendto")),
        ("SYSCALL[12,3](20) sys_writev ( 9, 0x52, 2 ) --> [async] ... ", Some("writev")),
        ("SYSCALL[12,3](44) ... [async] --> Success(0x4f) ", None),
        ("==12== Cachegrind, a cache and branch-prediction profiler", None),
    ] {
        assert_eq!(system_call(line), expected, "{line}");
    }
}
