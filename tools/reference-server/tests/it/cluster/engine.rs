//! What stands between the nodes of a test.

use bennu_engines::{NatsServer, Port, Process, Proxy, RedisServer};
use tokio::runtime::Runtime;

use super::nodes::NODES;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nats,
    Redis,
    /// Peers, which need no server.
    Zenoh,
}

impl Kind {
    pub(crate) fn all() -> [Kind; 3] {
        [Kind::Nats, Kind::Redis, Kind::Zenoh]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Nats => "nats",
            Kind::Redis => "redis",
            Kind::Zenoh => "zenoh",
        }
    }
}

/// An engine that runs, with the runtime that its proxies need.
pub(crate) struct Engine {
    running: Running,
    pub(crate) runtime: Runtime,
}

enum Running {
    Nats(NatsServer),
    Redis(RedisServer),
    /// Where the nodes listen: all of them at the first, or each at one.
    Zenoh([Port; NODES]),
}

impl Engine {
    pub(crate) fn start(kind: Kind) -> Engine {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let running = match kind {
            Kind::Nats => Running::Nats(runtime.block_on(NatsServer::start()).expect("nats-server")),
            Kind::Redis => Running::Redis(runtime.block_on(RedisServer::start()).expect("redis-server")),
            Kind::Zenoh => Running::Zenoh(std::array::from_fn(|_| Port::reserve().expect("a free port"))),
        };
        Engine { running, runtime }
    }

    /// What `--pubsub` is.
    pub(crate) fn url(&self) -> String {
        match &self.running {
            Running::Nats(nats) => nats.url(),
            Running::Redis(redis) => redis.url(),
            Running::Zenoh([first, ..]) => format!("zenoh://{}", first.address()),
        }
    }

    /// A link to the engine that can be cut, and what `--pubsub` is over it.
    pub(crate) fn proxy(&self) -> (Proxy, String) {
        let proxy = self.runtime.block_on(Proxy::start(self.process().address())).expect("a free port");
        let url = proxy.url(&self.url());
        (proxy, url)
    }

    /// What `--pubsub` is for each node when the last can be parted from the others, and the links to be cut for that.
    pub(crate) fn parted(&self) -> (Vec<Proxy>, [String; NODES]) {
        let Running::Zenoh(ports) = &self.running else {
            let (link, url) = self.proxy();
            return (vec![link], [self.url(), self.url(), url]);
        };
        let [a, b, c] = ports.each_ref().map(Port::address);
        let links = [a, b].map(|peer| self.runtime.block_on(Proxy::start(peer)).expect("a free port"));
        let [to_a, to_b] = links.each_ref().map(Proxy::address);
        // Those whom nodes tell each other of would be reached by other ways.
        let url = |others: String, own| format!("zenoh://{others}?listen={own}&gossip=false&timeout_ms=2000");
        let urls = [url(String::new(), a), url(a.to_string(), b), url(format!("{to_a},{to_b}"), c)];
        (Vec::from(links), urls)
    }

    pub(crate) fn kill(&self) {
        self.process().kill();
    }

    pub(crate) fn restart(&self) {
        self.runtime.block_on(self.process().restart()).expect("the engine starts again");
    }

    pub(crate) fn process(&self) -> &Process {
        match &self.running {
            Running::Nats(nats) => nats,
            Running::Redis(redis) => redis,
            Running::Zenoh(_) => panic!("zenoh has no server"),
        }
    }
}
