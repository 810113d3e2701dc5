//! What every adapter must do.

use std::time::Duration;

use bennu_engines::{NatsServer, Servers};
use bennu_pubsub::{ClusterOptions, PubSub};
use bennu_pubsub_nats::Nats;
use bennu_testkit::adapter_suite::Engine;

/// Set to have three servers with routes between them, as `./long-checks.sh engines` does.
const CLUSTERS: &str = "BENNU_TEST_CLUSTERS";

struct RealNats(Servers<NatsServer>);

impl RealNats {
    async fn start() -> Self {
        let servers = match std::env::var_os(CLUSTERS) {
            Some(_) => Servers::nats_cluster().await,
            None => Servers::one(NatsServer::start().await.unwrap()).await,
        };
        RealNats(servers.unwrap())
    }
}

impl Engine for RealNats {
    fn join(&self, node: &str, options: ClusterOptions) -> PubSub {
        let nats = Nats::from_url(&self.0.link(node).url(&self.0[0].url())).unwrap();
        PubSub::cluster(nats.ping_interval(Duration::from_secs(1)), options).unwrap()
    }

    async fn stop(&self) {
        self.0.kill();
    }

    async fn start(&self) {
        self.0.restart().await.unwrap();
    }

    async fn stall(&self) {
        self.0.pause();
    }

    async fn go_on(&self) {
        self.0.resume();
    }

    fn cut(&self, node: &str) {
        self.0.link(node).cut();
    }

    fn heal(&self, node: &str) {
        self.0.link(node).heal();
    }

    async fn inject(&self, subject: &str, bytes: &[u8]) {
        let client = async_nats::connect(self.0[0].url()).await.unwrap();
        client.publish(subject.to_owned(), bytes.to_vec().into()).await.unwrap();
        client.flush().await.unwrap();
    }
}

bennu_testkit::adapter_suite!(RealNats::start());
