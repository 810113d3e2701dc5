//! Seed 002, options: their defaults, and what each does. What is not here is shown by the test that docs/client.md names.

use std::future::IntoFuture as _;
use std::time::Duration;

use bennu_client::transport::WebSocket;
use bennu_client::{JoinError, PushError, Socket, SocketConfig, SocketStatus};
use bennu_protocol::Serializer;
use bennu_testkit::{ScriptedConnection, ScriptedServer, scripted};
use serde_json::json;
use tokio::time::Instant;

use crate::scene;

#[path = "../../examples/own_transport.rs"]
mod own_transport;

#[tokio::test(start_paused = true)]
async fn the_defaults_are_the_seeds() {
    let shown = format!("{:?}", SocketConfig::new(scene::URL));
    assert!(shown.contains("name: None"), "{shown}");
    assert!(shown.contains(&format!("transport: {:?}", WebSocket::default())), "{shown}");

    let (server, transport) = ScriptedServer::new();
    let config = SocketConfig::new(scene::URL).transport(transport);
    let socket = Socket::start(config.join_channel("kept")).unwrap();
    // auto_connect, url, vsn, params, headers
    let connection = server.accept().await;
    assert_eq!(connection.request().url, "ws://localhost/socket/websocket?vsn=2.0.0");
    assert!(connection.request().headers.is_empty() && connection.request().auth_token.is_none());
    // default_channel_params; join_channels has none but the one that the test put there
    let kept = connection.expect_join("kept").await;
    assert_eq!(*kept, json!({}));
    kept.reply_ok(json!({}));
    // the default channel: all goes to the owner
    connection.broadcast("kept", "event", json!({}));
    let owner = socket.channel("kept").unwrap();
    assert_eq!(owner.recv().await.unwrap().event.as_str(), "event");
    // the join's timeout
    let since = Instant::now();
    assert!(matches!(socket.join("room:1", json!({})).await, Err(JoinError::TimedOut)));
    assert_eq!(since.elapsed(), Duration::from_secs(5));
    connection.expect_join("room:1").await;
    connection.expect_leave("room:1").await;
    // the push's timeout
    let since = Instant::now();
    assert_eq!(owner.push("ask", json!({})).await, Err(PushError::TimedOut { was_sent: true }));
    assert_eq!(since.elapsed(), Duration::from_secs(5));
    connection.expect_push("kept", "ask").await;
    // heartbeat_interval
    let opened = socket.state().since;
    connection.within(Duration::from_secs(60)).expect_heartbeat().await.reply_ok(json!({}));
    assert_eq!(opened.elapsed(), Duration::from_secs(30));
    // reconnect?; the delay is the official client's, where the seed has a minute
    connection.drop_link();
    scripted::advance(Duration::from_millis(1)).await;
    assert!(matches!(socket.status(), SocketStatus::Reconnecting { attempt: 1, .. }));
    let since = Instant::now();
    server.accept().await;
    assert!(since.elapsed() <= Duration::from_millis(20));
}

async fn cut_after(connection: ScriptedConnection) -> Instant {
    connection.drop_link();
    scripted::advance(Duration::from_millis(1)).await;
    Instant::now() - Duration::from_millis(1)
}

#[tokio::test(start_paused = true)]
async fn heartbeat_interval_sets_when_they_are_sent() {
    let (_server, connection, socket) =
        scene::connected_with(|config| config.heartbeat_interval(Duration::from_secs(3))).await;
    let opened = socket.state().since;
    connection.expect_heartbeat().await.reply_ok(json!({}));
    assert_eq!(opened.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn reconnect_interval_is_the_same_wait_each_time() {
    let (server, connection, _socket) =
        scene::connected_with(|config| config.reconnect_interval(Duration::from_secs(60))).await;
    let server = server.within(Duration::from_secs(100));
    let mut since = cut_after(connection).await;
    for _ in 0..3 {
        server.fail("no route").await;
        assert_eq!(since.elapsed(), Duration::from_secs(60));
        since = Instant::now();
    }
}

#[tokio::test(start_paused = true)]
async fn without_reconnect_a_socket_stays_disconnected() {
    let (server, connection, socket) = scene::connected_with(|config| config.reconnect(false)).await;
    cut_after(connection).await;
    assert_eq!(socket.status(), SocketStatus::Disconnected);
    server.expect_no_connection(Duration::from_secs(100)).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_normal_close_it_reconnects_only_when_asked_to() {
    let (server, connection, socket) = scene::connected().await;
    connection.close(1000, "");
    server.expect_no_connection(Duration::from_secs(100)).await;
    assert_eq!(socket.status(), SocketStatus::Disconnected);

    let (server, connection, socket) =
        scene::connected_with(|config| config.reconnect_after_normal_close(true)).await;
    connection.close(1000, "");
    let _connection = server.accept().await;
    socket.connected().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_auto_connect_it_waits_to_be_told() {
    let (server, config) = scene::server();
    let socket = Socket::start(config.auto_connect(false)).unwrap();
    server.expect_no_connection(Duration::from_secs(100)).await;
    assert!(!socket.is_connected());
    socket.connect().unwrap();
    let _connection = server.accept().await;
    socket.connected().await.unwrap();
    assert!(socket.is_connected());
}

#[tokio::test(start_paused = true)]
async fn version_1_joins_pushes_and_receives() {
    let (_server, connection, socket) = scene::connected_with(|config| config.vsn("1.0.0")).await;
    assert_eq!(
        (connection.serializer(), connection.param("vsn").as_deref()),
        (Serializer::V1, Some("1.0.0"))
    );
    let channel = scene::join(&connection, &socket, "room:1").await;
    let push = tokio::spawn(channel.push("ask", json!({"n": 1})).into_future());
    connection.expect_push("room:1", "ask").await.reply_ok(json!(2));
    assert_eq!(push.await.unwrap().unwrap().parse::<u8>().unwrap(), 2);
    connection.broadcast("room:1", "event", json!({}));
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "event");
}

#[tokio::test(start_paused = true)]
async fn timeout_holds_for_joins_and_pushes_that_set_none() {
    let (_server, connection, socket) =
        scene::connected_with(|config| config.timeout(Duration::from_secs(2))).await;
    let since = Instant::now();
    assert!(matches!(socket.join("room:1", json!({})).await, Err(JoinError::TimedOut)));
    assert_eq!(since.elapsed(), Duration::from_secs(2));
    let channel = scene::join(&connection.within(Duration::from_secs(1)), &socket, "room:2").await;
    let since = Instant::now();
    channel.push("ask", json!({})).await.unwrap_err();
    assert_eq!(since.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn rejoin_joins_anew_at_once() {
    let (_server, connection, _socket, channel) = scene::joined().await;
    channel.rejoin();
    connection.expect_leave("room:1").await;
    connection.expect_join("room:1").await.reply_ok(json!({"again": true}));
    let response: serde_json::Value = channel.joined().await.unwrap().parse().unwrap();
    assert_eq!(response, json!({"again": true}));
}

#[tokio::test(start_paused = true)]
async fn a_leave_under_way_is_in_the_state_with_its_start() {
    let (_server, connection, socket, channel) = scene::joined().await;
    let started = Instant::now();
    let leave = channel.leave();
    let left = connection.expect_leave("room:1").await;
    scripted::advance(Duration::from_secs(1)).await;
    let state = socket.state();
    assert!(state.channels.is_empty());
    assert_eq!((state.pushes[0].event.as_str(), state.pushes[0].started), ("phx_leave", started));
    left.reply_ok(json!({}));
    leave.await.unwrap();
    assert!(socket.state().pushes.is_empty());
}

#[tokio::test]
async fn a_transport_of_the_public_trait_alone_carries_a_socket() {
    let (joined, reply) = own_transport::echoes().await.unwrap();
    assert_eq!((joined, reply), (json!({"user": "ada"}), json!({"body": "hello"})));
}
