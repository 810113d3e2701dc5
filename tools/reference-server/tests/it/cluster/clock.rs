//! A wall clock that jumps, by Debian's faketime, while the monotonic clock goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::engine::{Engine, Kind};
use super::ghosts::{ALL, expect_living};
use super::member::Member;
use super::nodes::{Cluster, DOWN, PERIOD, quick};
use crate::client::{Client, V2};
use crate::server::TMP;

/// Where Debian puts the library on each architecture.
const LIBRARIES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

const DAY: i64 = 86_400;

#[test]
fn a_clock_that_jumps_takes_nobody_away_and_leaves_no_ghost() {
    let clock = Clock::new("cluster-clock");
    clock.jump(0);
    let engine = Engine::start(Kind::Nats);
    let mut cluster = Cluster::start_under(engine, "clock", &quick(), clock.runner());
    let mut members = cluster.members("room:clock");
    members.iter().for_each(|member| member.wait_for_users(&ALL));
    for days in [30, -30] {
        clock.jump(days);
        assert!((days - 1..=days + 1).contains(&days_ahead(&cluster)), "the clock of the node has jumped");
        // Long enough for whoever believes it to take somebody for dead.
        std::thread::sleep(DOWN + 5 * PERIOD);
        let all: Vec<&Member> = members.iter().collect();
        expect_living(&cluster, "room:clock", &all, &ALL);
        for (member, user) in members.iter().flat_map(|member| ALL.map(|user| (member, user))) {
            let left = member.changes_of(user).iter().any(|change| !change.is_join);
            assert!(!left, "{user} never left at {}", member.node);
        }
    }
    // It dies, and its next life seems to begin before the one that others know.
    cluster.nodes[2].server.signal("KILL");
    drop(members.pop());
    cluster.relaunch(2);
    members.push(Member::join(&cluster.nodes[2], "room:clock", "user-back"));
    let all: Vec<&Member> = members.iter().collect();
    expect_living(&cluster, "room:clock", &all, &["user-a", "user-b", "user-back"]);
}

/// By how many days the clock of the last node differs from ours, as a meta shows it.
fn days_ahead(cluster: &Cluster) -> i64 {
    let mut client = Client::connect_to(cluster.nodes[2].server.address, V2);
    client.send(json!(["1", "1", "room:elsewhere", "phx_join", {"user": "clock"}]));
    client.receive();
    let state = client.receive();
    let there = state[4]["clock"]["metas"][0]["online_at"].as_i64().expect("seconds");
    let here = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs();
    (there - i64::try_from(here).expect("it is not that late")).div_euclid(DAY)
}

/// The wall clock of a process.
struct Clock {
    offset: PathBuf,
}

impl Clock {
    fn new(name: &str) -> Clock {
        Clock { offset: Path::new(TMP).join(name) }
    }

    /// What runs a program by this clock.
    fn runner(&self) -> Vec<String> {
        let folders = fs::read_dir(LIBRARIES).expect("Linux").flatten().map(|entry| entry.path());
        let library = folders.map(|folder| folder.join(LIBRARY)).find(|library| library.is_file());
        let library = library.expect("faketime is needed for this test: apt-get install faketime");
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.offset.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ]
    }

    fn jump(&self, days: i64) {
        let new = self.offset.with_extension("new");
        fs::write(&new, format!("{days:+}d\n")).expect("the folder is ours");
        // At once: the process reads it all the time.
        fs::rename(&new, &self.offset).expect("the folder is ours");
    }
}
