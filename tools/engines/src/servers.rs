//! The servers of one engine, which may be several, and a link to them for each node.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{NatsServer, Port, Process, Proxy, RedisServer};

/// The nodes that have a link.
const NODES: [&str; 3] = ["a", "b", "c"];

/// How long servers may take to find each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// What Redis keeps in a cluster.
const SLOTS: u32 = 16_384;

/// The servers of one engine, and a [`Proxy`] to them for each of the nodes `a`, `b` and `c`. Where there are three, each node has another one.
pub struct Servers<S> {
    servers: Vec<S>,
    links: HashMap<&'static str, Proxy>,
    /// How each server tells whether it knows the others; empty for one alone.
    checks: Vec<Check>,
    _ports: Vec<Port>,
}

struct Check {
    address: SocketAddr,
    question: &'static str,
    is_whole: fn(&str) -> bool,
}

impl<S: Deref<Target = Process>> Servers<S> {
    /// One server.
    ///
    /// # Errors
    ///
    /// No port can be listened on.
    pub async fn one(server: S) -> anyhow::Result<Self> {
        Self::new(vec![server], Vec::new(), Vec::new()).await
    }

    async fn new(servers: Vec<S>, checks: Vec<Check>, ports: Vec<Port>) -> anyhow::Result<Self> {
        let mut links = HashMap::new();
        for (node, server) in NODES.iter().zip(servers.iter().cycle()) {
            links.insert(*node, Proxy::start(server.address()).await?);
        }
        let servers = Servers { servers, links, checks, _ports: ports };
        servers.whole().await?;
        Ok(servers)
    }

    /// Waits until each of them knows all others, which takes a while after a restart of one.
    ///
    /// # Errors
    ///
    /// They do not within a minute.
    pub async fn whole(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for Check { address, question, is_whole } in &self.checks {
            let mut answer = ask(*address, question).await.unwrap_or_default();
            while !is_whole(&answer) {
                if Instant::now() > deadline {
                    bail!("the server at {address} does not know the others: {answer}");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                answer = ask(*address, question).await.unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Kills all of them.
    pub fn kill(&self) {
        self.servers.iter().for_each(|server| server.kill());
    }

    /// Starts all of them again, and waits until they know each other.
    ///
    /// # Errors
    ///
    /// As [`Process::restart`] and [`whole`](Self::whole).
    pub async fn restart(&self) -> anyhow::Result<()> {
        for server in &self.servers {
            server.restart().await?;
        }
        self.whole().await
    }

    /// Stops all of them with SIGSTOP.
    pub fn pause(&self) {
        self.servers.iter().for_each(|server| server.pause());
    }

    /// Lets all go on.
    pub fn resume(&self) {
        self.servers.iter().for_each(|server| server.resume());
    }

    /// A node's link to its server. Panics for any but `a`, `b` and `c`.
    #[must_use]
    pub fn link(&self, node: &str) -> &Proxy {
        &self.links[node]
    }
}

impl<S> Deref for Servers<S> {
    type Target = [S];

    fn deref(&self) -> &[S] {
        &self.servers
    }
}

impl Servers<RedisServer> {
    /// Three that are one Redis Cluster: masters without replicas, with a third of the slots each.
    ///
    /// # Errors
    ///
    /// It is not installed, or they do not find each other.
    pub async fn redis_cluster() -> anyhow::Result<Self> {
        let mut servers = Vec::new();
        let mut buses = Vec::new();
        for _ in NODES {
            let bus = Port::reserve()?;
            let number = bus.number();
            let settings = format!("cluster-enabled yes\ncluster-port {number}\ncluster-node-timeout 5000");
            servers.push(RedisServer::start_with(&settings).await?);
            buses.push(bus);
        }
        let first = (servers[0].address().port(), buses[0].number());
        for (number, server) in (0..).zip(&servers) {
            let [from, to] = [number, number + 1].map(|third| third * SLOTS / 3);
            let take = format!("CLUSTER ADDSLOTSRANGE {from} {}", to - 1);
            // Masters with the same epoch would argue about it.
            let age = format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1);
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", first.0, first.1);
            let others = if number == 0 { "PING".to_owned() } else { meet };
            ask(server.address(), &format!("{take}\r\n{age}\r\n{others}\r\nQUIT\r\n")).await?;
        }
        let is_whole = |answer: &str| {
            let trouble = ["disconnected", "fail", "handshake"];
            answer.contains("cluster_state:ok")
                && answer.matches(" connected").count() == NODES.len()
                && !trouble.iter().any(|trouble| nodes_of(answer).contains(trouble))
        };
        let question = "CLUSTER INFO\r\nCLUSTER NODES\r\nQUIT\r\n";
        let checks = servers.iter().map(|server| Check { address: server.address(), question, is_whole });
        let checks = checks.collect();
        Self::new(servers, checks, buses).await
    }
}

/// What `CLUSTER NODES` answers, behind the answer to `CLUSTER INFO`.
fn nodes_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n$").map_or("", |(_, nodes)| nodes)
}

impl Servers<NatsServer> {
    /// Three that know each other by routes.
    ///
    /// # Errors
    ///
    /// It is not installed, or they do not find each other.
    pub async fn nats_cluster() -> anyhow::Result<Self> {
        let mut routes = Vec::new();
        let mut monitors = Vec::new();
        for _ in NODES {
            routes.push(Port::reserve()?);
            monitors.push(Port::reserve()?);
        }
        let urls: Vec<String> = routes.iter().map(|port| format!("nats://{}", port.address())).collect();
        let mut servers = Vec::new();
        let mut checks = Vec::new();
        for (route, monitor) in routes.iter().zip(&monitors) {
            let others = urls.iter().filter(|url| !url.ends_with(&route.address().to_string()));
            let others: Vec<&str> = others.map(String::as_str).collect();
            let listen = route.address();
            let cluster = format!("cluster {{ name: test, listen: \"{listen}\", routes: {others:?} }}");
            let address = monitor.address();
            servers.push(NatsServer::start_with(&format!("{cluster}\nhttp: \"{address}\"")).await?);
            let is_whole: fn(&str) -> bool = |answer| answer.contains("\"num_routes\": 2");
            checks.push(Check { address, question: "GET /routez HTTP/1.0\r\n\r\n", is_whole });
        }
        routes.extend(monitors);
        Self::new(servers, checks, routes).await
    }
}

impl<S> fmt::Debug for Servers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Servers({})", self.servers.len())
    }
}

/// All that a server answers until it closes.
async fn ask(address: SocketAddr, question: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
