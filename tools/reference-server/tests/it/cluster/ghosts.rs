//! Check 137 and the faults of a cluster: afterwards all nodes list exactly the living, and no client was sent a leave of
//! what it never saw.

use std::time::{Duration, Instant};

use bennu_engines::Proxy;
use serde_json::json;

use super::engine::{Engine, Kind};
use super::member::Member;
use super::nodes::{Cluster, DOWN, PERIOD, PERMDOWN, presence_options, quick};

pub(crate) const ALL: [&str; 3] = ["user-a", "user-b", "user-c"];

/// All clients see exactly these users, and so does one that joins now at each node.
#[track_caller]
pub(crate) fn expect_living(cluster: &Cluster, topic: &str, members: &[&Member], users: &[&str]) {
    for member in members {
        member.wait_for_users(users);
        member.expect_no_fault();
    }
    let expected = members[0].present();
    for member in members {
        assert_eq!(member.present(), expected, "{} sees the same as {}", member.node, members[0].node);
    }
    for member in members {
        let node = cluster.nodes.iter().find(|node| node.name == member.node).expect("its node");
        let newcomer = Member::join(node, topic, "user-new");
        let mut state = newcomer.present();
        state.remove("user-new");
        assert_eq!(state, expected, "the state that {} sends", node.name);
        drop(newcomer);
    }
    for member in members {
        member.wait_for_users(users);
    }
}

#[test]
fn check_137_a_track_is_a_diff_on_the_other_node_within_two_periods() {
    let period = Duration::from_secs(2);
    let options = presence_options(period, 20 * period, 100 * period);
    for kind in Kind::all() {
        let cluster = Cluster::start(kind, &format!("137-{}", kind.name()), &options);
        let members = cluster.members("room:137");
        members.iter().for_each(|member| member.wait_for_users(&ALL));
        let began = Instant::now();
        let newcomer = Member::join(&cluster.nodes[0], "room:137", "user-new");
        for member in &members {
            let at = member
                .wait("the diff", |seen| seen.changes.iter().find(|c| c.key == "user-new").map(|c| c.at));
            assert!(at - began < 2 * period, "{}: {:?} at {}", kind.name(), at - began, member.node);
        }
        let references = newcomer.present().remove("user-new");
        for member in &members {
            assert_eq!(member.present().remove("user-new"), references, "the same phx_ref everywhere");
            member.expect_no_fault();
        }
    }
}

#[test]
fn check_137_a_node_that_stands_still_or_dies_leaves_and_comes_back_with_its_refs() {
    let mut cluster = Cluster::start(Kind::Nats, "frozen", &quick());
    let mut members = cluster.members("room:137");
    members.iter().for_each(|member| member.wait_for_users(&ALL));
    let frozen = members.pop().expect("three members");
    let others: Vec<&Member> = members.iter().collect();
    let references = others[0].present()["user-c"].clone();
    // Before and after it is forgotten.
    for (name, stands_still) in [("down", DOWN), ("permdown", PERMDOWN + 5 * PERIOD)] {
        let stopped = Instant::now();
        cluster.nodes[2].server.signal("STOP");
        for member in &others {
            member.wait_for_users(&ALL[..2]);
            assert!(stopped.elapsed() >= DOWN / 2, "{name}: it left after {:?}", stopped.elapsed());
        }
        std::thread::sleep(stands_still.saturating_sub(stopped.elapsed()));
        cluster.nodes[2].server.signal("CONT");
        for member in &others {
            member.wait_for_users(&ALL);
            assert_eq!(member.present()["user-c"], references, "{name}: the same phx_refs");
        }
        let all: Vec<&Member> = others.iter().copied().chain([&frozen]).collect();
        expect_living(&cluster, "room:137", &all, &ALL);
    }
    let killed = Instant::now();
    cluster.nodes[2].server.signal("KILL");
    for member in &others {
        member.wait_for_users(&ALL[..2]);
        assert!(killed.elapsed() >= DOWN / 2, "it left after {:?}", killed.elapsed());
    }
    expect_living(&cluster, "room:137", &others, &ALL[..2]);
    // Another life of the same name.
    cluster.relaunch(2);
    let back = Member::join(&cluster.nodes[2], "room:137", "user-c");
    let all: Vec<&Member> = others.iter().copied().chain([&back]).collect();
    expect_living(&cluster, "room:137", &all, &ALL);
    assert_ne!(back.present()["user-c"], references, "another life has other refs");
}

#[test]
fn attack_048_a_node_that_is_killed_and_started_again_at_once_leaves_no_ghost() {
    for kind in Kind::all() {
        let mut cluster = Cluster::start(kind, &format!("killed-{}", kind.name()), &quick());
        let mut members = cluster.members("room:killed");
        members.iter().for_each(|member| member.wait_for_users(&ALL));
        cluster.nodes[2].server.signal("KILL");
        drop(members.pop());
        cluster.relaunch(2);
        let back = Member::join(&cluster.nodes[2], "room:killed", "user-back");
        members.push(back);
        let all: Vec<&Member> = members.iter().collect();
        expect_living(&cluster, "room:killed", &all, &["user-a", "user-b", "user-back"]);
    }
}

#[test]
fn a_node_that_is_told_to_end_leaves_at_once() {
    // So long that only a goodbye can explain it.
    let minute = Duration::from_secs(60);
    let options = presence_options(PERIOD, minute, 2 * minute);
    for kind in Kind::all() {
        let mut cluster = Cluster::start(kind, &format!("ended-{}", kind.name()), &options);
        let mut members = cluster.members("room:ended");
        members.iter().for_each(|member| member.wait_for_users(&ALL));
        cluster.nodes[2].server.signal("TERM");
        drop(members.pop());
        assert_eq!(cluster.nodes[2].server.ended(), "");
        let others: Vec<&Member> = members.iter().collect();
        expect_living(&cluster, "room:ended", &others, &ALL[..2]);
    }
}

#[test]
fn attack_048_a_partition_that_heals_ends_with_the_same_list_on_all_sides() {
    for kind in Kind::all() {
        for is_cut in [true, false] {
            let engine = Engine::start(kind);
            let (links, urls) = engine.parted();
            let how = if is_cut { "cut" } else { "silent" };
            let test = format!("partition-{}-{how}", kind.name());
            let cluster = Cluster::start_at(engine, "clients", &test, &quick(), &urls);
            let members = cluster.members("room:parted");
            members.iter().for_each(|member| member.wait_for_users(&ALL));
            let before = members[0].present();
            links.iter().for_each(if is_cut { Proxy::cut } else { Proxy::freeze });
            members[0].wait_for_users(&ALL[..2]);
            members[1].wait_for_users(&ALL[..2]);
            members[2].wait_for_users(&ALL[2..]);
            // What comes and goes on one side meanwhile.
            let (come, gone) = (
                Member::join(&cluster.nodes[0], "room:parted", "user-come"),
                Member::join(&cluster.nodes[2], "room:parted", "user-gone"),
            );
            drop(gone);
            links.iter().for_each(Proxy::heal);
            let all: Vec<&Member> = members.iter().collect();
            let users = ["user-a", "user-b", "user-c", "user-come"];
            expect_living(&cluster, "room:parted", &all, &users);
            let mut after = members[2].present();
            assert_eq!(after.remove("user-come"), come.present().remove("user-come"));
            assert_eq!(after, before, "{}, {how}: the same phx_refs", kind.name());
            for member in [&members[0], &members[1]] {
                assert_eq!(member.changes_of("user-gone"), [], "nobody here saw it come");
            }
        }
    }
}

#[test]
fn attack_049_an_engine_that_is_killed_and_started_again_leaves_no_ghost() {
    for kind in [Kind::Nats, Kind::Redis] {
        let cluster = Cluster::start(kind, &format!("engine-{}", kind.name()), &quick());
        let members = cluster.members("room:engine");
        let all: Vec<&Member> = members.iter().collect();
        members.iter().for_each(|member| member.wait_for_users(&ALL));
        let before = members[0].present();
        cluster.engine.kill();
        // Each is alone, and serves on.
        for (member, user) in members.iter().zip(ALL) {
            member.wait_for_users(&[user]);
        }
        for node in &cluster.nodes {
            let (status, health) = node.health();
            assert_eq!((status, &health["status"]), (200, &json!("degraded")), "{health}");
        }
        let gone = Member::join(&cluster.nodes[1], "room:engine", "user-gone");
        drop(gone);
        cluster.engine.restart();
        expect_living(&cluster, "room:engine", &all, &ALL);
        assert_eq!(members[0].present(), before, "{}: the same phx_refs", kind.name());
        for node in &cluster.nodes {
            assert_eq!(node.health().1["status"], "ok");
            assert_eq!(node.metric("bennu_pubsub_link_up"), 1);
        }
    }
}
