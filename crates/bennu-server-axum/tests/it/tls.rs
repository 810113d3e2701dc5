//! The server over TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bennu_server::{DrainOptions, SocketOptions};
use bennu_server_axum::ServerLimits;
use bennu_server_axum::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use bennu_server_axum::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::peer::Peer;
use crate::running::{Running, rooms};

/// A server with a certificate of its own, and who trusts it.
struct Secured {
    server: Running,
    certificate: CertificateDer<'static>,
}

impl Secured {
    async fn start(limits: ServerLimits) -> Secured {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let endpoint = rooms(SocketOptions::default());
        let change = |server: bennu_server_axum::Server| server.limits(limits).tls(config);
        let server = Running::serve_as(endpoint, DrainOptions::default(), change).await;
        Secured { server, certificate }
    }

    fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// A client that offers these protocols.
    async fn open(&self, protocols: &[&[u8]]) -> Peer<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let tcp = TcpStream::connect(self.address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        Peer::on(TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap())
    }
}

#[tokio::test]
async fn a_socket_over_tls_joins_and_echoes() {
    let secured = Secured::start(ServerLimits::default()).await;
    let mut peer = secured.open(&[]).await.upgraded().await;
    peer.join("room:a").await;
    peer.expect_echo("room:a").await;
    // More than a record holds, and than the session buffers.
    let long = "x".repeat(60_000);
    for round in 0..20 {
        peer.send(json!(["1", round.to_string(), "room:a", "echo", { "long": long }])).await;
    }
    for round in 0..20 {
        let reply = peer.recv().await;
        assert_eq!((&reply[1], &reply[4]["response"]["long"]), (&json!(round.to_string()), &json!(long)));
    }
}

#[tokio::test]
async fn broadcasts_over_tls_arrive_in_order_at_everyone() {
    let secured = Secured::start(ServerLimits::default()).await;
    let mut peers = Vec::new();
    for _ in 0..5 {
        let mut peer = secured.open(&[]).await.upgraded().await;
        peer.join("room:a").await;
        peers.push(peer);
    }
    for count in 0..100 {
        secured.server.endpoint.broadcast("room:a", "count", json!({ "count": count })).unwrap();
    }
    for peer in &mut peers {
        for count in 0..100 {
            assert_eq!(peer.recv().await[4]["count"], count);
        }
    }
}

#[tokio::test]
async fn requests_over_tls_are_answered_and_watched_as_any() {
    let secured = Secured::start(ServerLimits::default()).await;
    let mut peer = secured.open(&[]).await;
    peer.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(peer.answer().await.body, "hello");
    peer.write("GET /long HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(peer.answer().await.body.len(), 16 << 20);
    // Two ways to read where the body ends.
    peer.write("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    assert_eq!(peer.try_answer().await.map(|answer| answer.status), Some(400));
}

#[tokio::test]
async fn what_is_offered_is_http_1_1_alone() {
    let secured = Secured::start(ServerLimits::default()).await;
    let peer = secured.open(&[b"h2", b"http/1.1"]).await;
    assert_eq!(peer.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn who_does_not_shake_hands_in_time_is_disconnected() {
    let limits = ServerLimits::default().header_timeout(Duration::from_millis(200));
    let secured = Secured::start(limits).await;
    Peer::open(secured.address()).await.ended().await;
}

#[tokio::test]
async fn who_speaks_plain_http_gets_an_alert_and_no_answer() {
    let secured = Secured::start(ServerLimits::default()).await;
    let mut peer = Peer::open(secured.address()).await;
    peer.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(peer.try_answer().await.is_none());
}

#[tokio::test]
async fn sockets_over_tls_get_1012_and_handshakes_do_not_hold_up_the_end() {
    let mut secured = Secured::start(ServerLimits::default()).await;
    let _silent = Peer::open(secured.address()).await;
    let mut peer = secured.open(&[]).await.upgraded().await;
    peer.join("room:a").await;
    secured.server.stop();
    assert_eq!(peer.closed().await, 1012);
    drop(peer);
    secured.server.ended().await;
}
