//! Faults of the engine and of the way to it under traffic, with an account of every message: what one node sent, another delivered or
//! counted as missed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bennu_engines::Proxy;
use serde_json::json;

use super::engine::{Engine, Kind};
use super::member::{Member, Seen};
use super::nodes::{Cluster, Node, presence_options};
use crate::server::TMP;

/// What is said of one fault: enough for some of it before, some during and some after.
const MESSAGES: u64 = 500;
const INTERVAL: Duration = Duration::from_millis(5);

/// When the fault comes, and how long it lasts.
const BEFORE: Duration = Duration::from_millis(500);
const DURING: Duration = Duration::from_millis(1_000);

/// Until the books are closed: the end of a stream is known to be lost 3 s after a beacon told of it.
const BOUND: Duration = Duration::from_secs(40);

/// Presence on the same engine would be counted too, so it is silent for a month.
pub(crate) fn silent_presence() -> Vec<String> {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    presence_options(days(100), days(300), days(1_000))
}

#[test]
fn attack_049_each_message_over_nats_is_delivered_or_counted_as_missed() {
    faults_of_the_engine(Kind::Nats);
}

#[test]
fn attack_049_each_message_over_redis_is_delivered_or_counted_as_missed() {
    faults_of_the_engine(Kind::Redis);
}

#[test]
fn each_message_over_zenoh_is_delivered_or_counted_as_missed() {
    let cluster = Cluster::start(Kind::Zenoh, "account-zenoh", &silent_presence());
    let mut books = Books::open(&cluster, "room:account");
    books.keep(&cluster, "nothing", || (), || ());
    // There is no engine to be killed: what can fail is a peer. One that stands still keeps its connections, and others go on.
    let peer = cluster.nodes[0].server.pid();
    books.keep(&cluster, "a peer that stood still", || signal(peer, "STOP"), || signal(peer, "CONT"));
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill starts").success(), "the node lives");
}

fn faults_of_the_engine(kind: Kind) {
    let engine = Engine::start(kind);
    // The way of the first node alone is bad.
    let (link, url) = engine.proxy();
    let urls = [url, engine.url(), engine.url()];
    let test = format!("account-{}", kind.name());
    let cluster = Cluster::start_at(engine, "clients", &test, &silent_presence(), &urls);
    let link: &Proxy = &link;
    let engine = &cluster.engine;
    let mut books = Books::open(&cluster, "room:account");
    books.keep(&cluster, "nothing", || (), || ());
    books.keep(&cluster, "an engine that was killed", || engine.kill(), || engine.restart());
    books.keep(
        &cluster,
        "an engine that stood still",
        || engine.process().pause(),
        || engine.process().resume(),
    );
    books.keep(&cluster, "a link that was cut", || link.cut(), || link.heal());
    books.keep(&cluster, "a link that was silent", || link.freeze(), || link.heal());
}

/// Who sent how much to whom, and what became of it.
struct Books {
    members: Vec<Member>,
    sent: u64,
}

impl Books {
    fn open(cluster: &Cluster, topic: &str) -> Books {
        Books { members: cluster.members(topic), sent: 0 }
    }

    /// Each node sends numbered messages while something happens and ends; then all of them have to be accounted for.
    fn keep(&mut self, cluster: &Cluster, fault: &str, begin: impl FnOnce(), end: impl FnOnce()) {
        let first = self.sent;
        self.sent += MESSAGES;
        let members = &self.members;
        thread::scope(|scope| {
            let traffic = scope.spawn(move || {
                for number in first..first + MESSAGES {
                    for member in members {
                        member.push("shout", "shout", json!({"from": member.node, "number": number}));
                    }
                    thread::sleep(INTERVAL);
                }
            });
            thread::sleep(BEFORE);
            begin();
            thread::sleep(DURING);
            end();
            traffic.join().expect("the traffic goes on whatever happens");
        });
        let deadline = Instant::now() + BOUND;
        while let Err(open) = self.balance(cluster) {
            assert!(Instant::now() < deadline, "{fault}: {open}");
            thread::sleep(Duration::from_millis(100));
        }
        let by_all: Vec<u64> = cluster.nodes.iter().map(missed).collect();
        assert!(fault != "nothing" || by_all.iter().all(|missed| *missed == 0), "{by_all:?}");
    }

    /// What each got and what its node says it missed is what the others sent, for each two of them.
    ///
    /// Presence speaks on the same engine, at the least when a link is there again, and what is lost of that is missed too. It is told
    /// apart by its subject: the one of our topic is the same on all nodes, and it balances all books at once.
    fn balance(&self, cluster: &Cluster) -> Result<(), String> {
        let told: Vec<Vec<Missed>> = cluster.nodes.iter().map(Missed::of).collect();
        for (node, told) in cluster.nodes.iter().zip(&told) {
            let (counted, told) = (missed(node), told.iter().map(|missed| missed.count).sum::<u64>());
            if told > counted {
                return Err(format!("{} tells of {told} and counts {counted}", node.name));
            }
        }
        let mut subjects: BTreeSet<&str> = told.iter().flatten().map(|missed| &*missed.subject).collect();
        subjects.insert("nothing was missed");
        let mut open = Vec::new();
        for subject in subjects {
            let sums =
                self.members.iter().zip(&told).map(|(receiver, told)| self.sums(receiver, told, subject));
            let sums: Vec<u64> = sums.flatten().collect();
            if sums.iter().all(|sum| *sum == self.sent) {
                return Ok(());
            }
            open.push(format!("{subject}: {sums:?}"));
        }
        Err(format!("of {} each: {open:?}", self.sent))
    }

    /// What one got of each other, and missed on a subject.
    fn sums(&self, receiver: &Member, told: &[Missed], subject: &str) -> Vec<u64> {
        let of_node = |sender: &Member| {
            let delivered = receiver.look(|seen| numbers(seen, sender.node));
            let is_ordered = delivered.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(is_ordered, "{} got those of {} out of order, or twice", receiver.node, sender.node);
            let missed = told.iter().filter(|missed| missed.subject == subject && missed.from == sender.node);
            delivered.len() as u64 + missed.map(|missed| missed.count).sum::<u64>()
        };
        self.members.iter().map(of_node).collect()
    }
}

/// What a node has told, once, that it missed.
struct Missed {
    from: String,
    subject: String,
    count: u64,
}

impl Missed {
    fn of(node: &Node) -> Vec<Missed> {
        let log =
            fs::read_to_string(Path::new(TMP).join(format!("{}.log", node.log))).expect("the node's log");
        let lines = log.lines().filter(|line| line.contains("messages of another node did not arrive"));
        lines.filter_map(Missed::parse).collect()
    }

    /// From `… node=Some(NodeName("b")) missed=3 subject=Bucket(7)`.
    fn parse(line: &str) -> Option<Missed> {
        let (_, rest) = line.split_once("NodeName(\"")?;
        let (from, rest) = rest.split_once('"')?;
        let (_, rest) = rest.split_once("missed=")?;
        let (count, subject) = rest.split_once(" subject=")?;
        Some(Missed { from: from.to_owned(), subject: subject.to_owned(), count: count.parse().ok()? })
    }
}

/// The numbers of the messages of a node, as they came.
fn numbers(seen: &Seen, from: &str) -> Vec<u64> {
    let shouts = seen.messages.iter().filter(|message| message[3] == "shout" && message[4]["from"] == from);
    shouts.map(|shout| shout[4]["number"].as_u64().expect("a number")).collect()
}

/// What a node counts of all others.
fn missed(node: &Node) -> u64 {
    node.metric("bennu_pubsub_missed_messages_total")
}
