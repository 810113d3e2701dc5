//! How a server ends.

use std::time::{Duration, Instant};

use bennu_server::DrainOptions;

use crate::peer::Peer;
use crate::running::{Running, Settings};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end_and_sockets_get_1012() {
    let mut server = Running::start(Settings::default()).await;
    let mut keep_alive = Peer::open(server.address).await;
    keep_alive.write(GET).await;
    assert_eq!(keep_alive.answer().await.body, "hello");
    let mut silent = Peer::open(server.address).await;
    let (mut idle, mut joined) =
        (Peer::connect(server.address).await, Peer::joined(server.address, "room:a").await);
    server.stop();
    assert_eq!((idle.closed().await, joined.closed().await), (1012, 1012));
    keep_alive.ended().await;
    silent.ended().await;
    drop((idle, joined));
    server.ended().await;
}

#[tokio::test]
async fn nobody_is_let_in_after_the_signal() {
    let mut server = Running::start(Settings::default()).await;
    let address = server.address;
    Peer::connect(address).await;
    server.stop();
    server.ended().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_hangs_and_a_client_that_reads_nothing_are_cut_off_at_the_deadline() {
    let drain = DrainOptions::default().deadline(Duration::from_secs(2));
    let mut server = Running::start(Settings { drain, ..Settings::default() }).await;
    let mut hanging = Peer::open(server.address).await;
    hanging.write("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut deaf = Peer::open_narrow(server.address).await.upgraded().await;
    deaf.join("room:a").await;
    let fill = "x".repeat(100_000);
    for _ in 0..100 {
        // Until its backlog is full; it never reads any of it.
        server.endpoint.broadcast("room:a", "fill", serde_json::json!({ "fill": fill })).unwrap();
    }
    let mut other = Peer::open(server.address).await;
    other.write(GET).await;
    other.answer().await;
    let began = Instant::now();
    server.stop();
    server.ended().await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(10), "{took:?}");
    hanging.ended().await;
}

#[tokio::test]
async fn readiness_is_a_route() {
    let server = Running::start(Settings::default()).await;
    let mut probe = Peer::open(server.address).await;
    for (ready, status) in [(true, 200), (false, 503), (true, 200)] {
        let _unready = (!ready).then(|| server.endpoint.unready());
        probe.write("GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(probe.answer().await.status, status);
    }
}

#[tokio::test]
async fn health_tells_of_the_link_between_the_nodes() {
    use bennu_pubsub::{ClusterOptions, PubSub};
    use bennu_server::Endpoint;
    use tower_service::Service as _;

    let hub = bennu_testkit::Hub::new();
    let options = |name: &str| ClusterOptions::new("a secret of the cluster").node(name);
    let node = PubSub::cluster(hub.adapter(), options("a")).unwrap();
    let other = PubSub::cluster(hub.adapter(), options("b")).unwrap();
    hub.up(&[&node, &other]).await;
    while node.nodes().is_empty() {
        tokio::task::yield_now().await;
    }
    let ask = async |pubsub: &PubSub| {
        let endpoint = Endpoint::builder(pubsub.clone()).build().unwrap();
        let mut app = axum::Router::new().route("/health", bennu_server_axum::health(&endpoint));
        let request = http::Request::get("/health").body(axum::body::Body::empty()).unwrap();
        let response = app.call(request).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["content-type"]),
            (http::StatusCode::OK, &http::HeaderValue::from_static("application/json"))
        );
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        serde_json::from_slice::<serde_json::Value>(&body).unwrap()
    };
    let up = ask(&node).await;
    assert_eq!(
        (&up["status"], &up["node"], &up["nodes"]),
        (&"ok".into(), &"a".into(), &serde_json::json!(["b"]))
    );
    assert_eq!((&up["link"]["engine"], &up["link"]["state"]), (&"hub".into(), &"up".into()));
    assert!(up["link"]["since_ms"].is_u64() && up["link"].get("reason").is_none());
    hub.stop();
    while !node.link().is_down() {
        tokio::task::yield_now().await;
    }
    let down = ask(&node).await;
    assert_eq!((&down["status"], &down["link"]["state"]), (&"degraded".into(), &"down".into()));
    assert!(down["link"]["reason"].is_string());
    let alone = ask(&PubSub::local()).await;
    assert_eq!((&alone["status"], &alone["link"]), (&"ok".into(), &serde_json::Value::Null));
}
