//! What every adapter must do.

use std::collections::HashMap;
use std::time::Duration;

use bennu_engines::{NatsServer, Proxy};
use bennu_pubsub::{ClusterOptions, PubSub};
use bennu_pubsub_nats::Nats;
use bennu_testkit::adapter_suite::Engine;

struct RealNats {
    server: NatsServer,
    links: HashMap<&'static str, Proxy>,
}

impl RealNats {
    async fn start() -> Self {
        let server = NatsServer::start().await.unwrap();
        let mut links = HashMap::new();
        for node in ["a", "b", "c"] {
            links.insert(node, Proxy::start(server.address()).await.unwrap());
        }
        RealNats { server, links }
    }
}

impl Engine for RealNats {
    fn join(&self, node: &str, options: ClusterOptions) -> PubSub {
        let nats = Nats::from_url(&self.links[node].url(&self.server.url())).unwrap();
        PubSub::cluster(nats.ping_interval(Duration::from_secs(1)), options).unwrap()
    }

    async fn stop(&self) {
        self.server.kill();
    }

    async fn start(&self) {
        self.server.restart().await.unwrap();
    }

    async fn stall(&self) {
        self.server.pause();
    }

    async fn go_on(&self) {
        self.server.resume();
    }

    fn cut(&self, node: &str) {
        self.links[node].cut();
    }

    fn heal(&self, node: &str) {
        self.links[node].heal();
    }

    async fn inject(&self, subject: &str, bytes: &[u8]) {
        let client = async_nats::connect(self.server.url()).await.unwrap();
        client.publish(subject.to_owned(), bytes.to_vec().into()).await.unwrap();
        client.flush().await.unwrap();
    }
}

bennu_testkit::adapter_suite!(RealNats::start());
