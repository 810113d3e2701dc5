//! TLS, both ways.

use std::fs;

use bennu_engines::{Certificates, NatsServer};
use tempfile::TempDir;

use crate::nodes::{down, meet, node_at};

/// A server that shows its certificate, and wants one.
async fn server(certificates: &Certificates) -> NatsServer {
    let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| certificates.file(name));
    let tls = format!("cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}, verify: true");
    NatsServer::start_with(&format!("tls {{ {tls} }}")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_a_certificate_of_the_authority_meet() {
    let certificates = Certificates::new().unwrap();
    let server = server(&certificates).await;
    let url = format!("{}?{}", server.url().replace("nats://", "tls://"), certificates.of_client());
    meet(&node_at("a", &url), &node_at("b", &url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_trusted_is_told_and_so_is_a_node_without_certificate() {
    let certificates = Certificates::new().unwrap();
    let server = server(&certificates).await;
    let untrusting = node_at("a", &format!("{}?ca={}", server.url(), certificates.file("stranger.pem")));
    down(&untrusting, "invalid peer certificate").await;
    let nameless = node_at("b", &format!("{}?ca={}", server.url(), certificates.file("ca.pem")));
    // The server closes: with its reason, or before it could be read.
    down(&nameless, "").await;
    assert!(nameless.link().is_down());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_not_believed_where_tls_is_required() {
    let server = NatsServer::start().await.unwrap();
    let password = server.url().replace("nats://", "tls://ada:secret@");
    let node = node_at("a", &password);
    let reason = down(&node, &server.address().to_string()).await;
    assert!(!reason.contains("secret"), "{reason}");
    assert!(node.link().is_down());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_certificate_is_told_by_its_name() {
    let server = NatsServer::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, "not a certificate").unwrap();
    let node = node_at("a", &format!("{}?ca={}", server.url(), file.display()));
    down(&node, &format!("{} cannot be used", file.display())).await;
}
