//! Three `reference-server` processes on one engine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bennu_engines::Port;
use serde_json::{Value, json};

use super::engine::{Engine, Kind};
use super::member::Member;
use crate::client::admin;
use crate::server::Server;
use crate::wire;

/// How many nodes a cluster has.
pub(crate) const NODES: usize = 3;

/// The secret of all clusters: their engines keep them apart.
const SECRET: &str = "three nodes that know each other";

/// Presence that finds out quickly. An idle node is heard every six periods, so there is time for two and more until it
/// counts as down, on a machine that has other things to do.
pub(crate) const PERIOD: Duration = Duration::from_millis(200);
pub(crate) const DOWN: Duration = Duration::from_millis(3_000);
pub(crate) const PERMDOWN: Duration = Duration::from_millis(6_000);

/// Options of nodes whose presence has these periods.
pub(crate) fn presence_options(period: Duration, down: Duration, permdown: Duration) -> Vec<String> {
    [("period", period), ("down", down), ("permdown", permdown)]
        .iter()
        .flat_map(|(name, time)| [format!("--presence-{name}"), time.as_millis().to_string()])
        .collect()
}

/// Presence that finds out quickly.
pub(crate) fn quick() -> Vec<String> {
    presence_options(PERIOD, DOWN, PERMDOWN)
}

/// The nodes `a`, `b` and `c`.
pub(crate) struct Cluster {
    // Before the engine, so that they end before it does.
    pub(crate) nodes: Vec<Node>,
    pub(crate) engine: Engine,
    application: &'static str,
    test: String,
    options: Vec<String>,
    urls: Vec<String>,
    /// What runs the last of them; nothing runs the others.
    runner: Vec<String>,
    /// Where each listens, also while it is down.
    ports: Vec<Port>,
}

/// One of them.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
    /// Where its log is.
    pub(crate) log: String,
}

impl Cluster {
    /// Starts the application `clients` on each node.
    pub(crate) fn start(kind: Kind, test: &str, options: &[String]) -> Cluster {
        Cluster::start_on(Engine::start(kind), "clients", test, options)
    }

    pub(crate) fn start_on(
        engine: Engine,
        application: &'static str,
        test: &str,
        options: &[String],
    ) -> Cluster {
        let urls: Vec<String> = (0..NODES).map(|_| engine.url()).collect();
        Cluster::start_at(engine, application, test, options, &urls)
    }

    /// The same, with the last node run by another program.
    pub(crate) fn start_under(
        engine: Engine,
        test: &str,
        options: &[String],
        runner: Vec<String>,
    ) -> Cluster {
        let urls: Vec<String> = (0..NODES).map(|_| engine.url()).collect();
        Cluster::launch_all(engine, "clients", test, options, (&urls, runner))
    }

    /// The same, with the URL of each node.
    pub(crate) fn start_at(
        engine: Engine,
        application: &'static str,
        test: &str,
        options: &[String],
        urls: &[String],
    ) -> Cluster {
        Cluster::launch_all(engine, application, test, options, (urls, Vec::new()))
    }

    fn launch_all(
        engine: Engine,
        application: &'static str,
        test: &str,
        options: &[String],
        (urls, runner): (&[String], Vec<String>),
    ) -> Cluster {
        let (test, options) = (test.to_owned(), options.to_vec());
        let urls = urls.to_vec();
        let ports = urls.iter().map(|_| Port::reserve().expect("a free port")).collect();
        let mut cluster =
            Cluster { nodes: Vec::new(), engine, application, test, options, urls, runner, ports };
        cluster.nodes = (0..cluster.urls.len()).map(|number| cluster.launch(number)).collect();
        cluster
    }

    /// Starts a node again, once it has ended.
    pub(crate) fn relaunch(&mut self, number: usize) {
        self.nodes[number].server.ended();
        self.nodes[number] = self.launch(number);
    }

    fn launch(&self, number: usize) -> Node {
        let name = ["a", "b", "c"][number];
        let log = format!("cluster-{}-{name}", self.test);
        let listen = self.ports[number].address().to_string();
        let mut options = vec!["--node", name, "--pubsub", &self.urls[number], "--secret", SECRET];
        options.extend(self.options.iter().map(String::as_str));
        let runner: Vec<&str> = self.runner.iter().map(String::as_str).collect();
        let runner = if number + 1 == self.ports.len() { &*runner } else { &[] };
        let server = Server::start_at(&listen, runner, self.application, &options, &log);
        Node { name, server, log }
    }

    /// A user `user-NODE` in a topic at each node, once all nodes hear each other there.
    pub(crate) fn members(&self, topic: &str) -> Vec<Member> {
        let join = |node: &Node| Member::join(node, topic, &format!("user-{}", node.name));
        let members: Vec<Member> = self.nodes.iter().map(join).collect();
        let all: Vec<&Member> = members.iter().collect();
        self.meet(topic, &all);
        members
    }

    /// Waits until each node's broadcasts reach each member, which may be at any node.
    pub(crate) fn meet(&self, topic: &str, members: &[&Member]) {
        // What was heard before says nothing of now.
        static METS: AtomicU64 = AtomicU64::new(0);
        let met = METS.fetch_add(1, Ordering::Relaxed);
        for node in &self.nodes {
            let payload = json!({"from": node.name, "met": met});
            for member in members {
                let heard = |probe: &Value| probe[3] == "probe" && probe[4] == payload;
                member.wait_asking(
                    &format!("the node {} is heard at {}", node.name, member.node),
                    || node.broadcast(topic, "probe", payload.clone()),
                    |seen| seen.messages.iter().any(heard).then_some(()),
                );
            }
        }
    }
}

impl Node {
    /// Broadcasts from outside any channel.
    pub(crate) fn broadcast(&self, topic: &str, event: &str, payload: Value) {
        let body = json!({"topic": topic, "event": event, "payload": payload});
        assert!(admin(self.server.address, "/admin/broadcast", body), "{} broadcasts", self.name);
    }

    /// The value of a metric, all labels together; 0 when there is none.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let body = wire::get(self.server.address, "/metrics").body;
        let lines = body.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        values.sum()
    }

    /// What `/health` answers.
    pub(crate) fn health(&self) -> (u16, Value) {
        let response = wire::get(self.server.address, "/health");
        (response.status, serde_json::from_str(&response.body).unwrap_or(Value::Null))
    }
}
