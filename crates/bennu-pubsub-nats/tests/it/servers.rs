//! Several servers.

use bennu_engines::NatsServer;

use crate::nodes::{down, meet, node_at, up};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_to_the_server_that_is_there() {
    let (one, two) = (NatsServer::start().await.unwrap(), NatsServer::start().await.unwrap());
    two.kill();
    let url = format!("nats://{},{}", one.address(), two.address());
    let (a, b) = (node_at("a", &url), node_at("b", &url));
    meet(&a, &b).await;
    one.kill();
    let reason = down(&a, "").await;
    assert!(
        [one.address(), two.address()].iter().any(|server| reason.starts_with(&server.to_string())),
        "{reason}"
    );
    two.restart().await.unwrap();
    meet(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_be_there_before_its_server() {
    let server = NatsServer::start().await.unwrap();
    server.kill();
    let node = node_at("a", &server.url());
    let reason = down(&node, "refused").await;
    assert!(reason.starts_with(&server.address().to_string()), "{reason}");
    server.restart().await.unwrap();
    up(&node).await;
}
