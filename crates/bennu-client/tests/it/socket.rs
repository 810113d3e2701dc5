//! Connecting, reconnecting, heartbeats, settings, ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bennu_client::transport::OpenError;
use bennu_client::{
    ChannelEnd, JoinError, Message, Params, Provider, ReconfigureError, Socket, SocketConfig, SocketEnd,
    SocketEnded, SocketStatus, StartError,
};
use serde_json::json;

use crate::scene::{URL, connected, connected_with, join, joined, server};

#[tokio::test(start_paused = true)]
async fn check_151_heartbeats_follow_the_interval_and_a_missing_reply_closes_with_1000() {
    let (server, connection, socket) = connected().await;
    for _ in 0..3 {
        let since = tokio::time::Instant::now();
        let beat = connection.within(Duration::from_secs(31)).expect_heartbeat().await;
        assert_eq!(since.elapsed().as_secs(), 30);
        assert_eq!(beat.join_ref(), None);
        beat.reply_ok(json!({}));
    }
    let missed = connection.within(Duration::from_secs(31)).expect_heartbeat().await;
    missed.ignore();
    let end = connection.within(Duration::from_secs(31)).expect_closed().await;
    assert_eq!((end.code, end.reason.as_str()), (1000, "heartbeat timeout"));
    let _connection = server.accept().await;
    socket.connected().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn check_152_the_code_of_a_close_decides_about_reconnecting() {
    for code in [1001, 1006, 1011, 1012] {
        let (server, connection, _socket) = connected().await;
        match code {
            1006 => connection.drop_link(),
            _ => connection.close(code, "bye"),
        }
        let since = tokio::time::Instant::now();
        server.accept().await;
        assert_eq!(since.elapsed().as_millis(), 10, "{code}");
    }
    let (server, connection, socket) = connected().await;
    connection.close(1000, "done");
    server.expect_no_connection(Duration::from_secs(60)).await;
    assert_eq!(socket.status(), SocketStatus::Disconnected);
    assert_eq!(socket.last_close().unwrap().reason, "done");

    let (server, connection, _socket) =
        connected_with(|config| config.reconnect_after_normal_close(true)).await;
    connection.close(1000, "done");
    server.accept().await;
}

#[tokio::test(start_paused = true)]
async fn check_152_reconnects_follow_the_table_which_starts_anew_after_an_open() {
    let (server, connection, _socket) = connected().await;
    connection.drop_link();
    for wait in [10, 50, 100, 150, 200, 250, 500, 1_000, 2_000, 5_000, 5_000] {
        let since = tokio::time::Instant::now();
        server.within(Duration::from_secs(6)).fail("unreachable").await;
        assert_eq!(since.elapsed().as_millis(), wait);
    }
    let connection = server.within(Duration::from_secs(6)).accept().await;
    connection.drop_link();
    let since = tokio::time::Instant::now();
    let _connection = server.accept().await;
    assert_eq!(since.elapsed().as_millis(), 10);
}

#[tokio::test(start_paused = true)]
async fn url_params_headers_and_token_are_those_of_each_connect() {
    let (server, config) = server();
    let count = Arc::new(AtomicU32::new(0));
    let tokens = Arc::clone(&count);
    let config = config
        .params(Provider::from_fn(|| Params::from([("user", "ada & co")])))
        .headers([("X-Page", "lobby"), ("X-Size", "2")])
        .header("X-Trace", "7")
        .auth_token(Provider::from_async(move || {
            let number = tokens.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(format!("token {number}"))
            }
        }));
    let _socket = Socket::start(config).unwrap();
    for number in 0..3 {
        let connection = server.accept().await;
        let request = connection.request();
        assert_eq!(request.url, format!("{URL}?user=ada%20%26%20co&vsn=2.0.0"));
        let headers = ["x-page", "x-size", "x-trace"].map(|name| connection.header(name));
        assert_eq!(headers, [Some("lobby"), Some("2"), Some("7")]);
        assert_eq!(request.auth_token.as_deref(), Some(&*format!("token {number}")));
        connection.drop_link();
    }
}

#[tokio::test(start_paused = true)]
async fn why_a_connect_failed_can_be_asked_for_until_one_succeeds() {
    let (server, config) = server();
    let socket = Socket::start(config).unwrap();
    server.refuse(403, "go away").await;
    let mut statuses = socket.statuses();
    while !matches!(statuses.next().await.unwrap(), SocketStatus::Reconnecting { attempt: 1, .. }) {}
    let Some(OpenError::Refused { status, body, .. }) = socket.last_error() else { panic!("it was refused") };
    assert_eq!((status, &body[..]), (403, &b"go away"[..]));
    let _connection = server.accept().await;
    socket.connected().await.unwrap();
    assert_eq!(socket.last_error(), None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_a_connect_is_given_up() {
    let (server, config) = server();
    let socket = Socket::start(config.connect_timeout(Duration::from_secs(3))).unwrap();
    server.ignore().await;
    let since = tokio::time::Instant::now();
    let _connection = server.accept().await;
    assert_eq!(since.elapsed().as_millis(), 3_010);
    socket.connected().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_to_be_had_is_a_failed_attempt() {
    let (server, config) = server();
    let tries = Arc::new(AtomicU32::new(0));
    let socket =
        Socket::start(config.auth_token(Provider::from_fn(
            move || match tries.fetch_add(1, Ordering::Relaxed) {
                0 => panic!("a provider of the test panics"),
                _ => "t".to_owned(),
            },
        )))
        .unwrap();
    let connection = server.accept().await;
    assert_eq!(connection.request().auth_token.as_deref(), Some("t"));
    assert_eq!(server.attempts(), 1, "the first attempt never reached the transport");
    socket.connected().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_socket_ends_when_it_is_stopped_or_its_last_handle_is_dropped() {
    let (_server, connection, socket, channel) = joined().await;
    let clone = socket.clone();
    socket.stop();
    assert_eq!(connection.expect_closed().await.code, 1000);
    assert_eq!(clone.ended().await, SocketEnd::Stopped);
    assert_eq!(clone.connect(), Err(SocketEnded(SocketEnd::Stopped)));
    assert!(matches!(clone.join("x", json!({})).await, Err(JoinError::SocketEnded(_))));
    assert!(matches!(channel.recv().await, Err(bennu_client::RecvError::Ended(_))));

    let (_server, connection, socket) = connected().await;
    drop(socket);
    assert_eq!(connection.expect_closed().await.code, 1000);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_driver_is_observable_however_it_ends() {
    let (server, config) = server();
    let (socket, driver) = Socket::with_driver(config).unwrap();
    let running = tokio::spawn(driver.run());
    let connection = server.accept().await;
    let channel = join(&connection, &socket, "room:1").await;
    let push = tokio::spawn(channel.push("sent", json!({})).into_future());
    connection.expect_push("room:1", "sent").await.ignore();
    running.abort();
    assert_eq!(socket.ended().await, SocketEnd::Aborted);
    assert_eq!(push.await.unwrap(), Err(bennu_client::PushError::Unconfirmed));
    assert_eq!(channel.ended().await, ChannelEnd::SocketEnded(SocketEnd::Aborted));

    let (_server, config) = crate::scene::server();
    let (socket, driver) = Socket::with_driver(config.auto_connect(false)).unwrap();
    socket.stop();
    assert_eq!(driver.run().await, SocketEnd::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_name_finds_its_socket_and_is_free_again_when_it_has_ended() {
    let (_server, config) = server();
    let named = config.name("of this test");
    let socket = Socket::start(named.clone()).unwrap();
    assert_eq!(Socket::find("of this test").unwrap().id(), socket.id());
    assert!(matches!(Socket::start(named.clone()), Err(StartError::NameTaken(_))));
    socket.stop();
    socket.ended().await;
    assert!(Socket::find("of this test").is_none());
    Socket::start(named).unwrap();
}

#[tokio::test(start_paused = true)]
async fn settings_that_concern_the_connection_make_it_anew_and_others_do_not() {
    let (server, connection, socket, channel) = joined().await;
    socket.reconfigure(|config| config.timeout(Duration::from_secs(1))).unwrap();
    server.expect_no_connection(Duration::from_secs(5)).await;
    let push = tokio::spawn(channel.push("x", json!({})).into_future());
    let since = tokio::time::Instant::now();
    connection.expect_push("room:1", "x").await.ignore();
    push.await.unwrap().unwrap_err();
    assert_eq!(since.elapsed().as_secs(), 1);

    socket.reconfigure(|config| config.param("token", "new")).unwrap();
    assert_eq!(connection.expect_closed().await.code, 1000);
    let connection = server.accept().await;
    assert_eq!(connection.param("token").as_deref(), Some("new"));
    connection.expect_join("room:1").await.reply_ok(json!({}));
    channel.joined().await.unwrap();

    assert!(matches!(socket.reconfigure(|config| config.url("gopher://x")), Err(ReconfigureError::Url(_))));
    assert!(matches!(socket.reconfigure(|config| config.vsn("3.0.0")), Err(ReconfigureError::Version(_))));
    assert!(matches!(socket.reconfigure(|config| config.name("y")), Err(ReconfigureError::Name)));
    assert!(socket.is_connected());
}

#[test]
fn what_cannot_start_says_why() {
    assert!(matches!(Socket::start(SocketConfig::new(URL)), Err(StartError::NoRuntime)));
    assert!(matches!(Socket::with_driver(SocketConfig::new("nonsense")), Err(StartError::Url(_))));
    let (_server, config) = server();
    assert!(matches!(Socket::with_driver(config.vsn("3.0.0")), Err(StartError::Version(_))));
}

#[tokio::test(start_paused = true)]
async fn topics_of_the_settings_are_joined_at_every_connect() {
    let (server, config) = server();
    let config = config
        .join_channel("room:1")
        .join_channel_with("room:2", bennu_protocol::Payload::json(&json!({"own": 1})).unwrap())
        .default_channel_params(bennu_protocol::Payload::json(&json!({"default": 1})).unwrap());
    let socket = Socket::start(config).unwrap();
    let connection = server.accept().await;
    let first = connection.expect_join("room:1").await;
    assert_eq!(first["default"], 1);
    first.reply_ok(json!({}));
    assert_eq!(connection.expect_join("room:2").await["own"], 1);
    connection.broadcast("room:1", "hello", json!({}));
    let channel = socket.channel("room:1").unwrap();
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "hello");

    channel.leave().await.unwrap_err();
    connection.drop_link();
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    connection.expect_join("room:2").await.reply_ok(json!({}));
    drop((channel, socket));
    assert_eq!(connection.expect_closed().await.code, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_disconnected_stays_so_and_connects_again_when_it_is_told() {
    let (server, connection, socket, channel) = joined().await;
    socket.disconnect_with(4000, "a break");
    let end = connection.expect_closed().await;
    assert_eq!((end.code, end.reason.as_str()), (4000, "a break"));
    server.expect_no_connection(Duration::from_secs(60)).await;
    socket.connect().unwrap();
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    channel.joined().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_settings_are_in_the_state() {
    let (_server, _connection, socket) = connected_with(|config| {
        config
            .name("of the settings")
            .param("user", "ada")
            .header("x-trace", "7")
            .reconnect(false)
            .join_channel("room:1")
            .reconnect_interval(Duration::from_secs(60))
    })
    .await;
    let settings = socket.state().settings;
    assert_eq!((settings.url.as_str(), settings.vsn.as_str()), (URL, "2.0.0"));
    assert_eq!(settings.name.as_deref(), Some("of the settings"));
    assert_eq!(settings.params.as_ref().unwrap().to_query(), "user=ada");
    assert_eq!(settings.headers, [("x-trace".to_owned(), "7".to_owned())]);
    assert_eq!(settings.join_channels, ["room:1"]);
    assert_eq!(settings.reconnect_backoff.longest(1), Duration::from_secs(60));
    assert!(!settings.reconnect && settings.auto_connect);
    let shown = format!("{settings:?}");
    assert!(!shown.contains("ada") && !shown.contains('7'), "{shown}");
}

#[test]
fn long_poll_fallback_is_the_transport_that_falls_back() {
    let (_server, config) = server();
    let config = config.long_poll_fallback(Duration::from_millis(700));
    let (socket, _driver) = Socket::with_driver(config).unwrap();
    let transport = format!("{:?}", socket.state().settings.transport);
    assert!(transport.starts_with("Fallback") && transport.contains("700ms"), "{transport}");
}

#[tokio::test(start_paused = true)]
async fn a_plain_disconnect_closes_with_1000() {
    let (server, connection, socket, _channel) = joined().await;
    socket.disconnect();
    let end = connection.expect_closed().await;
    assert_eq!((end.code, end.reason.as_str()), (1000, ""));
    server.expect_no_connection(Duration::from_secs(60)).await;
    assert_eq!(socket.status(), SocketStatus::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn channel_leave_tells_the_server_and_waits_for_nothing() {
    let (_server, connection, socket, channel) = joined().await;
    socket.channel_leave(&channel);
    assert!(socket.channel("room:1").is_none());
    assert_eq!(channel.ended().await, ChannelEnd::Left);
    connection.expect_leave("room:1").await;
}

#[tokio::test(start_paused = true)]
async fn the_statuses_of_a_socket_are_a_stream_that_ends_with_it() {
    let (server, config) = server();
    let socket = Socket::start(config).unwrap();
    let mut statuses = socket.statuses();
    let mut seen = vec![statuses.next().await.unwrap().as_str()];
    seen.push(statuses.next().await.unwrap().as_str());
    let connection = server.accept().await;
    seen.push(statuses.next().await.unwrap().as_str());
    connection.drop_link();
    seen.push(statuses.next().await.unwrap().as_str());
    seen.push(statuses.next().await.unwrap().as_str());
    let _connection = server.accept().await;
    seen.push(statuses.next().await.unwrap().as_str());
    socket.stop();
    while let Some(status) = statuses.next().await {
        seen.push(status.as_str());
    }
    seen.retain(|status| *status != "disconnecting");
    assert_eq!(
        seen,
        ["disconnected", "connecting", "connected", "reconnecting", "connecting", "connected", "ended"]
    );
}

#[tokio::test(start_paused = true)]
async fn while_it_reconnects_the_state_says_when_and_what_waits() {
    let (_server, connection, socket, channel) = joined().await;
    let mut statuses = socket.statuses();
    connection.drop_link();
    let at = loop {
        if let SocketStatus::Reconnecting { attempt: 1, at } = statuses.next().await.unwrap() {
            break at;
        }
    };
    let held = channel.push_async("note", json!({})).unwrap();
    socket.push(Message::push("room:9", "shout", json!({"n": 1})).unwrap()).unwrap();
    let state = socket.state();
    assert!(state.is_reconnecting());
    assert_eq!(at - state.since, Duration::from_millis(10));
    assert_eq!(state.pushes.len(), 1);
    assert_eq!((state.pushes[0].event.as_str(), state.pushes[0].was_sent), ("shout", false));
    assert_eq!(state.channels["room:1"].pushes[0].event.as_str(), "note");
    assert_eq!(state.buffered_pushes, 2);
    let bytes = "room:1note{}".len() + r#"room:9shout{"n":1}"#.len();
    assert_eq!(state.buffered_bytes, bytes);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn state_shows_everything_and_holds_what_the_application_puts_there() {
    let (_server, connection, socket, channel) = joined().await;
    let push = tokio::spawn(channel.push("slow", json!({})).into_future());
    connection.expect_push("room:1", "slow").await.ignore();
    assert_eq!(socket.put_state("theme", "dark"), None);
    let state = socket.state();
    assert_eq!(state.status, SocketStatus::Connected);
    assert!(state.connect_started.is_some());
    assert!(!state.is_reconnecting());
    assert!(state.last_ref >= 2);
    assert_eq!(state.custom["theme"], "dark");
    let room = &state.channels["room:1"];
    assert_eq!(room.status.as_str(), "joined");
    assert_eq!(room.params.as_ref().unwrap().as_json().unwrap(), b"{}");
    assert!(room.join_ref.is_some());
    assert_eq!(room.pushes[0].event.as_str(), "slow");
    assert!(room.pushes[0].was_sent);
    assert_eq!(socket.get_state("theme").unwrap(), "dark");
    assert_eq!(channel.state().unwrap().topic.as_str(), "room:1");
    channel.on("hooked", |_: &bennu_protocol::Payload| {});
    assert_eq!(socket.state().channels["room:1"].hooks, ["hooked"]);
    assert_eq!(channel.state().unwrap().hooks, ["hooked"]);
    push.abort();
}
