//! Nodes over zenoh, which have nobody between them: whichever of them goes, the others and those that come find each other.

use std::time::Duration;

use super::engine::{Engine, Kind};
use super::member::Member;
use super::nodes::{Cluster, quick};

/// After so long silence the others give a node up.
const TIMEOUT: Duration = Duration::from_millis(1_000);

const TOPIC: &str = "room:peers";

fn start(test: &str) -> Cluster {
    let engine = Engine::start(Kind::Zenoh);
    // One URL for all: the first listens there.
    let url = format!("{}?timeout_ms={}", engine.url(), TIMEOUT.as_millis());
    Cluster::start_at(engine, "clients", test, &quick(), &[url.clone(), url.clone(), url])
}

/// Kills nodes, starts them again, and waits until all hear all.
fn replace(cluster: &mut Cluster, members: &mut Vec<Member>, numbers: &[usize]) {
    for &number in numbers {
        cluster.nodes[number].server.signal("KILL");
        members.retain(|member| member.node != cluster.nodes[number].name);
    }
    for &number in numbers {
        cluster.relaunch(number);
    }
    for &number in numbers {
        let node = &cluster.nodes[number];
        members.push(Member::join(node, TOPIC, &format!("user-{}", node.name)));
    }
    cluster.meet(TOPIC, &members.iter().collect::<Vec<_>>());
}

#[test]
fn whichever_peers_are_killed_and_started_again_all_meet() {
    let mut cluster = start("peers-killed");
    let mut members = cluster.members(TOPIC);
    // The first listens at the address of the URL. Who listens there after it, nobody has said.
    for numbers in [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[2, 0]] {
        replace(&mut cluster, &mut members, numbers);
    }
}
