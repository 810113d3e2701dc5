//! What every adapter must do, over plain channels and over sharded ones.

use std::collections::HashMap;
use std::time::Duration;

use bennu_engines::{Proxy, RedisServer};
use bennu_pubsub::{ClusterOptions, PubSub};
use bennu_pubsub_redis::Redis;
use bennu_testkit::adapter_suite::Engine;
use redis::Cmd;

struct RealRedis {
    server: RedisServer,
    links: HashMap<&'static str, Proxy>,
    sharded: bool,
}

impl RealRedis {
    async fn start(sharded: bool) -> Self {
        let server = RedisServer::start().await.unwrap();
        let mut links = HashMap::new();
        for node in ["a", "b", "c"] {
            links.insert(node, Proxy::start(server.address()).await.unwrap());
        }
        RealRedis { server, links, sharded }
    }
}

impl Engine for RealRedis {
    fn join(&self, node: &str, options: ClusterOptions) -> PubSub {
        let redis = Redis::from_url(&self.links[node].url(&self.server.url())).unwrap();
        PubSub::cluster(redis.sharded(self.sharded).timeout(Duration::from_secs(2)), options).unwrap()
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
        let client = redis::Client::open(self.server.url()).unwrap();
        let mut stranger = client.get_multiplexed_async_connection().await.unwrap();
        let command = if self.sharded { "SPUBLISH" } else { "PUBLISH" };
        let mut publish = Cmd::new();
        publish.arg(command).arg(subject.replace('.', ":")).arg(bytes);
        publish.exec_async(&mut stranger).await.unwrap();
    }
}

mod plain {
    bennu_testkit::adapter_suite!(super::RealRedis::start(false));
}

mod sharded {
    bennu_testkit::adapter_suite!(super::RealRedis::start(true));
}
