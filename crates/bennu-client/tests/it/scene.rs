//! What most tests begin with.

use bennu_client::{Backoff, Channel, Socket, SocketConfig};
use bennu_testkit::{ScriptedConnection, ScriptedServer};
use serde_json::json;

pub(crate) const URL: &str = "ws://localhost/socket/websocket";

/// A server, and the settings of a client that reaches it. Waits are the tables' own, without jitter.
pub(crate) fn server() -> (ScriptedServer, SocketConfig) {
    let (server, transport) = ScriptedServer::new();
    let config = SocketConfig::new(URL)
        .transport(transport)
        .reconnect_backoff(Backoff::reconnect().jitter(0))
        .rejoin_backoff(Backoff::rejoin().jitter(0));
    (server, config)
}

/// A socket that is connected.
pub(crate) async fn connected() -> (ScriptedServer, ScriptedConnection, Socket) {
    connected_with(|config| config).await
}

pub(crate) async fn connected_with(
    settings: impl FnOnce(SocketConfig) -> SocketConfig,
) -> (ScriptedServer, ScriptedConnection, Socket) {
    let (server, config) = server();
    let socket = Socket::start(settings(config)).unwrap();
    let connection = server.accept().await;
    socket.connected().await.unwrap();
    (server, connection, socket)
}

/// A channel on `room:1` that is joined.
pub(crate) async fn joined() -> (ScriptedServer, ScriptedConnection, Socket, Channel) {
    let (server, connection, socket) = connected().await;
    let channel = join(&connection, &socket, "room:1").await;
    (server, connection, socket, channel)
}

pub(crate) async fn join(connection: &ScriptedConnection, socket: &Socket, topic: &str) -> Channel {
    let channel = socket.channel_join(topic, json!({})).unwrap();
    connection.expect_join(topic).await.reply_ok(json!({}));
    channel.joined().await.unwrap();
    channel
}
