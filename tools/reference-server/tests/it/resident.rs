//! The memory that the kernel counts for the real binary, however it got it.

use std::fs;

use crate::client::{Client, V2};
use crate::server::{Server, first_core};

/// Connections that come before anything is counted, so that what is kept for all is there.
const BEFORE: usize = 200;

/// Connections that a figure is the mean of.
const CONNECTIONS: usize = 600;

/// Bytes per connection, joined to one channel, after a heartbeat. It has 950 to 1,100; with a buffer, a task or
/// a queue of its own it would have more than this, which is the most that it may have.
const MOST: u64 = 1_400;

#[test]
fn an_idle_connection_stays_small() {
    rlimit::increase_nofile_limit(10_000).expect("hard limits permit some thousand open files");
    let runner = ["taskset", "--cpu-list", &first_core()];
    let server = Server::start_under(&runner, "bench", &[], "resident");
    let mut clients: Vec<Client> = (0..BEFORE).map(|_| connect(&server)).collect();
    let before = resident(server.pid());
    clients.extend((0..CONNECTIONS).map(|_| connect(&server)));
    clients.iter_mut().for_each(Client::expect_alive);
    let each = resident(server.pid()).saturating_sub(before) / CONNECTIONS as u64;
    println!("{each} bytes of resident memory per connection, of {MOST}");
    assert!(
        each <= MOST,
        "a connection takes {each} bytes of resident memory, which is more than {MOST}. \
         `cargo test -p bennu-server-axum --test memory` tells what it allocates; if that is as before, \
         look for memory that is kept by other means: threads, arenas, files that are mapped."
    );
}

fn connect(server: &Server) -> Client {
    let mut client = Client::connect_to(server.address, V2);
    client.join("1", "room:lobby");
    client
}

/// In bytes.
fn resident(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the server runs");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    kibibytes.and_then(|number| number.parse::<u64>().ok()).expect("the kernel's format") * 1024
}
