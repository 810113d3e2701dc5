//! The blocking face, against a scripted server that runs on a thread of its own.

use std::thread;
use std::time::Duration;

use bennu_client::blocking::{Channel, Error, Socket};
use bennu_client::{ChannelEnd, JoinError, PushError, RecvError, SocketConfig, SocketEnd, StartError};
use bennu_testkit::ScriptedServer;
use serde_json::{Value, json};

use crate::scene;

/// Plays a server's part beside a program without a runtime.
fn beside<F: Future<Output = ()>>(
    server: impl FnOnce(ScriptedServer) -> F + Send,
    program: impl FnOnce(SocketConfig),
) {
    let (scripted, config) = scene::server();
    thread::scope(|scope| {
        let part = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(server(scripted));
        });
        program(config);
        part.join().unwrap();
    });
}

#[test]
fn a_program_without_async_joins_pushes_and_receives() {
    let server = |server: ScriptedServer| async move {
        let connection = server.accept().await;
        connection.expect_join("room:1").await.reply_ok(json!({"n": 1}));
        connection.expect_push("room:1", "ask").await.reply_ok(json!(42));
        connection.push("room:1", "event", json!({}));
        connection.expect_push("room:1", "refused").await.reply_error(json!({"reason": "no"}));
        connection.expect_leave("room:1").await.reply_ok(json!({}));
        connection.expect_closed().await;
    };
    beside(server, |config| {
        let socket = Socket::start(config).unwrap();
        socket.connected().unwrap();
        let (response, channel) = socket.join("room:1", json!({})).unwrap();
        assert_eq!(response.parse::<Value>().unwrap(), json!({"n": 1}));
        assert_eq!(channel.joined().unwrap(), response);
        assert_eq!(channel.push("ask", json!({})).unwrap().parse::<Value>().unwrap(), json!(42));
        assert_eq!(channel.recv().unwrap().event.as_str(), "event");
        assert_eq!(channel.recv_timeout(Duration::from_millis(1)).unwrap(), None);
        let refused = channel.push("refused", json!({})).unwrap_err();
        assert!(matches!(refused, Error::Failed(PushError::Refused { .. })));
        let again = match socket.join("room:1", json!({})).unwrap_err() {
            Error::Failed(JoinError::AlreadyJoined { channel }) => Channel::from(channel),
            other => panic!("{other}"),
        };
        assert_eq!(again.handle().topic(), channel.handle().topic());
        channel.leave().unwrap();
        assert_eq!(channel.ended().unwrap(), ChannelEnd::Left);
        let ended = channel.recv_timeout(Duration::from_secs(1)).unwrap_err();
        assert_eq!(ended, Error::Failed(RecvError::Ended(ChannelEnd::Left)));
        socket.handle().stop();
        assert_eq!(socket.ended().unwrap(), SocketEnd::Stopped);
    });
}

#[test]
fn a_ping_tells_the_round_trip_and_a_dropped_socket_closes() {
    let server = |server: ScriptedServer| async move {
        let connection = server.accept().await;
        connection.expect_heartbeat().await.reply_ok(json!({}));
        connection.expect_closed().await;
    };
    beside(server, |config| {
        let socket = Socket::start(config).unwrap();
        socket.connected().unwrap();
        assert!(socket.ping().unwrap() < Duration::from_secs(5));
    });
}

#[test]
fn settings_that_cannot_be_used_are_refused() {
    let refused = Socket::start(SocketConfig::new("no url")).unwrap_err();
    assert!(matches!(refused, Error::Failed(StartError::Url(_))), "{refused}");
}

#[tokio::test]
async fn within_a_runtime_blocking_calls_refuse() {
    let (_, config) = scene::server();
    assert!(matches!(Socket::start(config), Err(Error::AsyncContext)));
    let (_server, connection, socket, channel) = scene::joined().await;
    let channel = Channel::from(channel);
    assert_eq!(channel.recv(), Err(Error::AsyncContext));
    assert_eq!(channel.recv_timeout(Duration::from_secs(1)), Err(Error::AsyncContext));
    assert_eq!(channel.push("event", json!({})), Err(Error::AsyncContext));
    assert_eq!(channel.leave(), Err(Error::AsyncContext));
    assert!(socket.channel("room:1").is_some(), "a leave that was refused does nothing");
    connection.expect_nothing(Duration::from_millis(10)).await;
}
