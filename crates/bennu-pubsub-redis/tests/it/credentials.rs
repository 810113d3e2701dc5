//! Who may in, and what is told when one may not.

use bennu_engines::RedisServer;
use bennu_pubsub::PubSub;
use bennu_pubsub_redis::Redis;

use crate::account::{Account, Numbered};
use crate::nodes::{connected, down, node, up};

fn with(server: &RedisServer, credentials: &str) -> String {
    server.url().replace("redis://", &format!("redis://{credentials}@"))
}

async fn crosses(a: &PubSub, b: &PubSub) {
    let mut there = b.subscribe("room");
    b.settle("room").await;
    a.broadcast("room", Numbered::new(1));
    Account::of(&mut there, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_or_a_user_lets_a_node_in() {
    let server =
        RedisServer::start_with("requirepass hunter2\nuser bennu on >s:e/c@ret +@all &* ~*").await.unwrap();
    let a = connected("a", &with(&server, ":hunter2")).await;
    let b = connected("b", &with(&server, "bennu:s%3Ae%2Fc%40ret")).await;
    crosses(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_a_wrong_password_of_redis_is_told_without_showing_it_and_tried_again() {
    let server = RedisServer::start_with("requirepass hunter2").await.unwrap();
    let node = node("a", Redis::from_url(&with(&server, ":hunter3")).unwrap());
    let reason = down(&node, "credentials").await;
    assert!(reason.starts_with("the server refuses the credentials: WRONGPASS"), "{reason}");
    assert!(!reason.contains("hunter"), "{reason}");

    // Whoever runs the server corrects it there: no node has to be started again.
    let client = redis::Client::open(with(&server, ":hunter2")).unwrap();
    let mut admin = client.get_multiplexed_async_connection().await.unwrap();
    let mut correct = redis::cmd("CONFIG");
    correct.arg("SET").arg("requirepass").arg("hunter3").exec_async(&mut admin).await.unwrap();
    up(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_where_one_is_needed_is_told() {
    let server = RedisServer::start_with("requirepass hunter2").await.unwrap();
    let node = node("a", Redis::from_url(&server.url()).unwrap());
    let reason = down(&node, "credentials").await;
    assert!(reason.contains("NOAUTH"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_may_not_publish_or_subscribe_is_told() {
    let server =
        RedisServer::start_with("user mute on >secret +@all -publish &* ~*\nuser deaf on >secret +@all ~*")
            .await
            .unwrap();
    for user in ["mute", "deaf"] {
        let node = node(user, Redis::from_url(&with(&server, &format!("{user}:secret"))).unwrap());
        let reason = down(&node, "permit").await;
        assert!(reason.starts_with("the server does not permit it"), "{reason}");
    }
}
