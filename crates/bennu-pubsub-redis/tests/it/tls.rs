//! TLS, both ways.

use std::path::Path;

use bennu_engines::{Certificates, RedisServer};
use bennu_pubsub_redis::Redis;

use crate::account::{Account, Numbered};
use crate::nodes::{connected, down, node};

/// A server that shows its certificate, and wants one. Returns its address too, as the beginning of a URL.
async fn server(certificates: &Certificates) -> (RedisServer, String) {
    let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| certificates.file(name));
    let configuration = format!(
        "port 0\ntls-port {{port}}\ntls-cert-file {certificate}\ntls-key-file {key}\ntls-ca-cert-file {ca}"
    );
    let server = RedisServer::start_with(&configuration).await.unwrap();
    let address = server.url().replace("redis://", "rediss://");
    (server, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_a_certificate_of_the_authority_meet() {
    let certificates = Certificates::new().unwrap();
    let (_server, address) = server(&certificates).await;
    let url = format!("{address}?{}", certificates.of_client());
    let (a, b) = (connected("a", &url).await, connected("b", &url).await);
    let mut there = b.subscribe("room");
    b.settle("room").await;
    a.broadcast("room", Numbered::new(1));
    Account::of(&mut there, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_or_a_node_that_is_not_trusted_is_told() {
    let certificates = Certificates::new().unwrap();
    let (_server, address) = server(&certificates).await;
    let other = certificates.file("stranger.pem");
    let untrusting = node("a", Redis::from_url(&format!("{address}?ca={other}")).unwrap());
    let reason = down(&untrusting, "TLS").await;
    assert!(reason.contains("invalid peer certificate"), "{reason}");

    let ca = certificates.file("ca.pem");
    let nameless = node("b", Redis::from_url(&format!("{address}?ca={ca}")).unwrap());
    down(&nameless, "ertificate").await;
}

#[test]
fn a_key_of_another_certificate_is_refused_at_once() {
    let certificates = Certificates::new().unwrap();
    let file = |name| certificates.file(name);
    let redis = Redis::new("127.0.0.1", 6379).tls_with_ca(Path::new(&file("ca.pem"))).unwrap();
    let refused = redis.client_certificate(Path::new(&file("client.pem")), Path::new(&file("stranger.key")));
    assert!(refused.unwrap_err().to_string().starts_with("the client's certificate is refused"));
}
