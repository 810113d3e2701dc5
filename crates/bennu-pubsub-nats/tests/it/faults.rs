//! Engines and links that are not well.

use std::time::Duration;

use bennu_engines::{NatsServer, Proxy};
use bennu_pubsub::CrossingError;
use tokio::time::{Instant, sleep};

use crate::nodes::{account, down, meet, next, node_at, up};

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_a_nats_that_restarts_under_traffic_leaves_no_message_uncounted() {
    let server = NatsServer::start().await.unwrap();
    let (a, b) = (node_at("a", &server.url()), node_at("b", &server.url()));
    meet(&a, &b).await;
    let (mut here, mut there) = (a.subscribe("room"), b.subscribe("room"));
    b.settle("room").await;
    a.broadcast("room", 0_u32);
    assert_eq!((next(&mut here).await, next(&mut there).await), (Ok(0), Ok(0)));
    let mut sent = 1;
    for _ in 0..2 {
        for pace in 0..300 {
            if pace == 100 {
                server.kill();
            }
            if pace == 200 {
                server.restart().await.unwrap();
            }
            a.broadcast("room", sent);
            assert_eq!(here.try_recv().unwrap().unwrap().get(), Some(&sent), "local delivery goes on");
            sent += 1;
            sleep(Duration::from_millis(2)).await;
        }
        up(&a).await;
        up(&b).await;
    }
    account(&mut there, 1, sent).await;
    b.settle("room").await;
    a.broadcast("room", sent);
    assert_eq!(next(&mut there).await, Ok(sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_a_nats_that_stalls_is_given_up_and_found_again() {
    let server = NatsServer::start().await.unwrap();
    let (a, b) = (node_at("a", &server.url()), node_at("b", &server.url()));
    meet(&a, &b).await;
    let mut there = b.subscribe("room");
    b.settle("room").await;
    a.broadcast("room", 0_u32);
    assert_eq!(next(&mut there).await, Ok(0));

    server.pause();
    down(&a, "the connection was lost").await;
    for number in 1..1_000_u32 {
        a.broadcast("room", number);
    }
    down(&a, "timed out").await;
    server.resume();
    up(&a).await;
    up(&b).await;
    account(&mut there, 1, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_a_link_that_breaks_at_once_is_not_tried_without_pause() {
    let server = NatsServer::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let node = node_at("a", &proxy.url(&server.url()));
    up(&node).await;
    proxy.cut();
    down(&node, "").await;
    let (before, since) = (proxy.accepted(), Instant::now());
    sleep(Duration::from_secs(3)).await;
    // 50 to 100 ms, then up to twice as long each time: no more than 7 in 3 s.
    let tried = proxy.accepted() - before;
    assert!((1..=7 * (1 + since.elapsed().as_secs() as usize / 4)).contains(&tried), "{tried} attempts");
    proxy.heal();
    up(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_all_subscriptions_are_there_again_after_a_restart() {
    let server = NatsServer::start().await.unwrap();
    let (a, b) = (node_at("a", &server.url()), node_at("b", &server.url()));
    meet(&a, &b).await;
    let topics: Vec<String> = (0..2_000).map(|number| format!("room:{number}")).collect();
    let mut subscriptions: Vec<_> = topics.iter().map(|topic| b.subscribe(topic)).collect();
    server.kill();
    down(&a, "").await;
    down(&b, "").await;
    server.restart().await.unwrap();
    up(&a).await;
    up(&b).await;
    for topic in &topics {
        assert!(b.is_settled(topic), "up means that all of them are there");
        a.broadcast(topic, 7_u32);
    }
    for subscription in &mut subscriptions {
        assert_eq!(next(subscription).await, Ok(7));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_limit_of_a_payload_is_the_limit() {
    let server = NatsServer::start_with("max_payload: 4096").await.unwrap();
    let (a, b) = (node_at("a", &server.url()), node_at("b", &server.url()));
    meet(&a, &b).await;
    let refused = a.broadcast("room", "x".repeat(5_000));
    assert!(matches!(
        refused.crossing(),
        Err(CrossingError::TooLarge { size: 5_000.., limit: 4_000..4_096 })
    ));
    assert_eq!(a.broadcast("room", "x".repeat(3_900)).crossing(), Ok(()));
    meet(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_listens_to_everything_is_in_nobodys_way() {
    let server = NatsServer::start().await.unwrap();
    let watcher = async_nats::connect(server.url()).await.unwrap();
    let _everything = watcher.subscribe(">").await.unwrap();
    watcher.flush().await.unwrap();
    let (a, b) = (node_at("a", &server.url()), node_at("b", &server.url()));
    meet(&a, &b).await;
}
