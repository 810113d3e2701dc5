//! What every adapter must do, over plain channels and over sharded ones.

use std::time::Duration;

use bennu_engines::{RedisServer, Servers};
use bennu_pubsub::{ClusterOptions, PubSub};
use bennu_pubsub_redis::Redis;
use bennu_testkit::adapter_suite::Engine;
use redis::Cmd;

/// Set to have plain channels on a Redis Cluster of three masters, as `./long-checks.sh engines` does.
const CLUSTERS: &str = "BENNU_TEST_CLUSTERS";

struct RealRedis {
    servers: Servers<RedisServer>,
    sharded: bool,
}

impl RealRedis {
    async fn start(sharded: bool) -> Self {
        let servers = match std::env::var_os(CLUSTERS) {
            Some(_) if !sharded => Servers::redis_cluster().await,
            _ => Servers::one(RedisServer::start().await.unwrap()).await,
        };
        RealRedis { servers: servers.unwrap(), sharded }
    }
}

impl Engine for RealRedis {
    fn join(&self, node: &str, options: ClusterOptions) -> PubSub {
        let redis = Redis::from_url(&self.servers.link(node).url(&self.servers[0].url())).unwrap();
        PubSub::cluster(redis.sharded(self.sharded).timeout(Duration::from_secs(2)), options).unwrap()
    }

    async fn stop(&self) {
        self.servers.kill();
    }

    async fn start(&self) {
        self.servers.restart().await.unwrap();
    }

    async fn stall(&self) {
        self.servers.pause();
    }

    async fn go_on(&self) {
        self.servers.resume();
    }

    fn cut(&self, node: &str) {
        self.servers.link(node).cut();
    }

    fn heal(&self, node: &str) {
        self.servers.link(node).heal();
    }

    async fn inject(&self, subject: &str, bytes: &[u8]) {
        let client = redis::Client::open(self.servers[0].url()).unwrap();
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
