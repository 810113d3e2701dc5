//! What stands between the nodes of a test.

use bennu_engines::{NatsServer, Port, Process, Proxy, RedisServer};
use tokio::runtime::Runtime;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nats,
    Redis,
    /// Peers, which need no server.
    Zenoh,
}

impl Kind {
    /// Zenoh is among them in the long checks alone: its nodes do not always find each other in time (docs/deployment.md).
    pub(crate) fn all() -> Vec<Kind> {
        let zenoh = std::env::var_os("BENNU_TEST_ZENOH").map(|_| Kind::Zenoh);
        [Kind::Nats, Kind::Redis].into_iter().chain(zenoh).collect()
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
    /// Where the first node listens.
    Zenoh(Port),
}

impl Engine {
    pub(crate) fn start(kind: Kind) -> Engine {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let running = match kind {
            Kind::Nats => Running::Nats(runtime.block_on(NatsServer::start()).expect("nats-server")),
            Kind::Redis => Running::Redis(runtime.block_on(RedisServer::start()).expect("redis-server")),
            Kind::Zenoh => Running::Zenoh(Port::reserve().expect("a free port")),
        };
        Engine { running, runtime }
    }

    /// What `--pubsub` is.
    pub(crate) fn url(&self) -> String {
        match &self.running {
            Running::Nats(nats) => nats.url(),
            Running::Redis(redis) => redis.url(),
            Running::Zenoh(port) => format!("zenoh://{}", port.address()),
        }
    }

    /// A link to the engine that can be cut, and what `--pubsub` is over it.
    pub(crate) fn proxy(&self) -> (Proxy, String) {
        let proxy = self.runtime.block_on(Proxy::start(self.process().address())).expect("a free port");
        let url = proxy.url(&self.url());
        (proxy, url)
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
