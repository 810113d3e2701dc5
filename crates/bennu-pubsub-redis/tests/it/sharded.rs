//! Sharded channels.

use bennu_engines::RedisServer;

use crate::account::{Account, Numbered};
use crate::nodes::{ask, connected, down, up};

#[tokio::test(flavor = "multi_thread")]
async fn sharded_channels_carry_everything_and_plain_ones_nothing() {
    let server = RedisServer::start().await.unwrap();
    let url = format!("{}?sharded=true", server.url());
    let (a, b) = (connected("a", &url).await, connected("b", &url).await);
    let mut there = b.subscribe("room");
    b.settle("room").await;
    for number in 1..=500 {
        a.broadcast("room", Numbered::new(number));
    }
    assert_eq!(Account::of(&mut there, 500).await.missed, 0);

    let plain: Vec<String> = ask(&server, &["PUBSUB", "CHANNELS"]).await;
    assert_eq!(plain, [""; 0]);
    let sharded: Vec<String> = ask(&server, &["PUBSUB", "SHARDCHANNELS", "bennu:*"]).await;
    assert!(sharded.len() >= 4, "{sharded:?}");

    server.restart().await.unwrap();
    down(&b, "").await;
    up(&a).await;
    up(&b).await;
    b.settle("room").await;
    a.broadcast("room", Numbered::new(501));
    assert_eq!(Account::of(&mut there, 1).await.numbers, [501]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_redis_cluster_says_to_use_plain_channels() {
    let server = RedisServer::start_with("cluster-enabled yes").await.unwrap();
    let sharded = format!("{}?sharded=true", server.url());
    let node = crate::nodes::node("a", bennu_pubsub_redis::Redis::from_url(&sharded).unwrap());
    let reason = down(&node, "Cluster").await;
    assert!(reason.contains("use plain ones"), "{reason}");
    // Plain ones work on any node of a cluster.
    let (a, b) = (connected("b", &server.url()).await, connected("c", &server.url()).await);
    let mut there = b.subscribe("room");
    b.settle("room").await;
    a.broadcast("room", Numbered::new(1));
    Account::of(&mut there, 1).await;
}
