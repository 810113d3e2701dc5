//! The transports, end to end.

use std::future::IntoFuture as _;
use std::time::Duration;

use bennu_client::transport::{Connector, Fallback, LongPoll, Proxy, Transport, WebSocket};
use bennu_client::{Channel, Socket, SocketConfig};
use serde_json::{Value, json};

use super::link::Link;
use super::{assert_echoes, config, joined, server, url, within_patience};
use crate::certificate::{certificate, path};
use crate::server::{Server, checklist};

/// What the server knows of the connection of a channel.
async fn info(channel: &Channel) -> Value {
    channel.push("info", json!({})).await.unwrap().parse().unwrap()
}

/// WebSockets that reach nothing.
fn broken() -> WebSocket {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::all(format!("http://{closed}")).unwrap();
    WebSocket::new().connector(Connector::new().proxy(proxy))
}

#[tokio::test]
async fn the_same_program_runs_over_each_transport_and_version() {
    let fallen = Fallback::new(broken(), LongPoll::new());
    let working = Fallback::default();
    let with =
        |transport: &dyn Fn(SocketConfig) -> SocketConfig| transport(config(url(checklist(), "/socket")));
    for (name, config, transport) in [
        ("websocket", with(&|config| config), "websocket"),
        ("long polling", with(&|config| config.transport(LongPoll::new())), "longpoll"),
        (
            "long polling, the token in a header",
            with(&|config| config.transport(LongPoll::new().header_token_only())),
            "longpoll",
        ),
        ("fallen back", with(&|config| config.transport(fallen.clone())), "longpoll"),
        ("not fallen back", with(&|config| config.transport(working.clone())), "websocket"),
    ] {
        for vsn in ["2.0.0", "1.0.0"] {
            let config = config.clone().vsn(vsn).param("uid", "of a b").param("nested", "x");
            let socket = Socket::start(config).unwrap();
            let channel = joined(&socket, &format!("room:{}", name.replace(' ', "-"))).await;
            let info = info(&channel).await;
            assert_eq!((&info["transport"], &info["vsn"]), (&json!(transport), &json!(vsn)), "{name}");
            assert_eq!(info["params"]["uid"], "of a b", "{name}: {info}");
            let (first, second) = tokio::join!(
                channel.push("echo", json!({"n": 1})).into_future(),
                channel.push("push", json!({"n": 2})).timeout(Duration::from_millis(200)).into_future(),
            );
            assert_eq!(first.unwrap().parse::<Value>().unwrap(), json!({"n": 1}), "{name}");
            assert!(second.is_err(), "it answers with a push of its own");
            let pushed = within_patience(channel.recv()).await.unwrap();
            assert_eq!(pushed.event.as_str(), "pushed", "{name}");
            within_patience(channel.leave().into_future()).await.unwrap();
        }
    }
    assert!(fallen.has_fallen_back() && !working.has_fallen_back());
    assert!(!fallen.needs_heartbeats());
}

#[tokio::test]
async fn a_long_poll_session_that_is_gone_is_made_anew() {
    let first = server("longpoll", &[]).await;
    let link = Link::to(first.address).await;
    let socket = Socket::start(config(link.url("/socket")).transport(LongPoll::new())).unwrap();
    let channel = joined(&socket, "room:1").await;
    assert_echoes(&channel, &json!(1)).await;
    let second = server("longpoll-back", &[]).await;
    link.lead_to(second.address);
    drop(first);
    assert_echoes(&channel, &json!(2)).await;
}

#[tokio::test]
async fn bytes_travel_over_websockets_and_towards_the_server_over_long_polls() {
    for long_polls in [false, true] {
        let config = config(url(checklist(), "/socket"));
        let config = if long_polls { config.transport(LongPoll::new()) } else { config };
        let socket = Socket::start(config).unwrap();
        let channel = joined(&socket, "room:bytes").await;
        let bytes = bennu::Payload::binary(vec![0, 255, 1]);
        match long_polls {
            false => assert_eq!(channel.push("echo", bytes.clone()).await.unwrap(), bytes),
            // It is answered whatever was sent, and the answer is text.
            true => drop(channel.push("ok", bytes).await.unwrap()),
        }
    }
}

#[tokio::test]
async fn long_messages_are_compressed_both_ways_when_both_want_it() {
    let config = config(url(checklist(), "/idle/1")).transport(WebSocket::new().compression(true));
    let socket = Socket::start(config.heartbeat_interval(Duration::from_millis(100))).unwrap();
    let channel = joined(&socket, "room:compressed").await;
    let long = json!("compressed ".repeat(10_000));
    assert_echoes(&channel, &long).await;
    assert_echoes(&channel, &json!("short")).await;
}

#[tokio::test]
async fn a_server_with_a_certificate_is_reached_by_both_transports() {
    let (chain, key) = certificate("rust-client");
    let connector = Connector::new().root_certificates_pem(std::fs::read(&chain).unwrap()).unwrap();
    let start = move || {
        let options = ["--tls-cert", path(&chain), "--tls-key", path(&key)];
        Server::start_with_log("checklist", &options, "rust-client-tls")
    };
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    let url = format!("wss://{}/socket", server.address);
    let websocket = config(url.clone()).transport(WebSocket::new().connector(connector.clone()));
    let longpoll = config(url).transport(LongPoll::new().connector(connector));
    for config in [websocket, longpoll] {
        let socket = Socket::start(config).unwrap();
        let channel = joined(&socket, "room:tls").await;
        assert_echoes(&channel, &json!("x".repeat(100_000))).await;
    }
}
