//! Nodes of a cluster, and what a test waits for.

use std::time::Duration;

use bennu_engines::RedisServer;
use bennu_pubsub::{ClusterOptions, LinkStatus, PubSub};
use bennu_pubsub_redis::Redis;
use redis::Cmd;
use tokio::time::timeout;

/// Longer than anything takes on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A node that is not connected yet.
pub(crate) fn node(name: &str, redis: Redis) -> PubSub {
    PubSub::cluster(redis, ClusterOptions::new("a secret that the nodes of a test share").node(name)).unwrap()
}

/// A node that is connected.
pub(crate) async fn connected(name: &str, url: &str) -> PubSub {
    let pubsub = node(name, Redis::from_url(url).unwrap());
    up(&pubsub).await;
    pubsub
}

pub(crate) async fn up(pubsub: &PubSub) {
    let mut changes = pubsub.link_changes().unwrap();
    let up = changes.wait_for(LinkStatus::is_up);
    timeout(PATIENCE, up).await.expect("the link is up").unwrap();
}

/// Waits until the link is down, other than at its beginning, and returns the reason.
pub(crate) async fn down(pubsub: &PubSub, reason: &str) -> String {
    let mut changes = pubsub.link_changes().unwrap();
    let is_down =
        |status: &LinkStatus| matches!(status, LinkStatus::Down { reason: now, .. } if now.contains(reason));
    let status = timeout(PATIENCE, changes.wait_for(is_down)).await;
    match &*status.unwrap_or_else(|_| panic!("{:?} is not: {reason}", pubsub.link())).unwrap() {
        LinkStatus::Down { reason, .. } => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Asks the server itself.
pub(crate) async fn ask<T: redis::FromRedisValue>(server: &RedisServer, command: &[&str]) -> T {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut asked = Cmd::new();
    command.iter().for_each(|part| {
        asked.arg(part);
    });
    asked.query_async(&mut connection).await.unwrap()
}
