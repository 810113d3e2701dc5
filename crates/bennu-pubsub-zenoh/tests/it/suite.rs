//! What every adapter must do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bennu_engines::Proxy;
use bennu_pubsub::{ClusterOptions, PubSub};
use bennu_pubsub_zenoh::Zenoh;
use bennu_testkit::adapter_suite::Engine;
use zenoh::Wait;

use crate::meeting::free_address;

const NODES: [&str; 3] = ["a", "b", "c"];

/// Nodes that know each other's addresses, with a proxy between each two: there is nothing else that could fail.
struct Peers {
    addresses: HashMap<&'static str, SocketAddr>,
    /// From the node that comes later in the alphabet, which connects, to the other.
    links: HashMap<(&'static str, &'static str), Proxy>,
}

impl Peers {
    async fn start() -> Self {
        let addresses: HashMap<_, _> = NODES.iter().map(|&node| (node, free_address())).collect();
        let mut links = HashMap::new();
        for from in NODES {
            for to in NODES.into_iter().filter(|to| *to < from) {
                links.insert((from, to), Proxy::start(addresses[to]).await.unwrap());
            }
        }
        Peers { addresses, links }
    }

    fn links_of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Proxy> {
        self.links.iter().filter(move |((from, to), _)| *from == node || *to == node).map(|(_, link)| link)
    }
}

impl Engine for Peers {
    fn join(&self, node: &str, options: ClusterOptions) -> PubSub {
        let others = self.links.iter().filter(|((from, _), _)| *from == node);
        let zenoh = Zenoh::new(others.map(|(_, link)| link.address().to_string()))
            .listen(self.addresses[node].to_string())
            .gossip(false)
            .timeout(Duration::from_secs(2));
        PubSub::cluster(zenoh, options).unwrap()
    }

    async fn stop(&self) {
        self.links.values().for_each(Proxy::cut);
    }

    async fn start(&self) {
        self.links.values().for_each(Proxy::heal);
    }

    async fn stall(&self) {
        self.links.values().for_each(Proxy::freeze);
    }

    async fn go_on(&self) {
        self.links.values().for_each(Proxy::heal);
    }

    fn cut(&self, node: &str) {
        self.links_of(node).for_each(Proxy::cut);
    }

    fn heal(&self, node: &str) {
        self.links_of(node).for_each(Proxy::heal);
    }

    async fn inject(&self, subject: &str, bytes: &[u8]) {
        let mut config = zenoh::Config::default();
        let node = format!("[\"tcp/{}\"]", self.addresses["b"]);
        for (name, value) in
            [("mode", "\"client\""), ("connect/endpoints", &node), ("scouting/multicast/enabled", "false")]
        {
            config.insert_json5(name, value).unwrap();
        }
        let (key, bytes) = (subject.replace('.', "/"), bytes.to_vec());
        let stranger = move || {
            let session = zenoh::open(config).wait().unwrap();
            session.put(key, bytes).wait().unwrap();
            session.close().wait().unwrap();
        };
        tokio::task::spawn_blocking(stranger).await.unwrap();
    }
}

bennu_testkit::adapter_suite!(peers Peers::start());
