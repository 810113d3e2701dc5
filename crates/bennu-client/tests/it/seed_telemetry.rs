//! Seed 002, telemetry: groups, actions, handlers and emitters.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bennu_client::telemetry::{
    self, AlreadyAttached, ChannelAction, Group, Groups, MessageAction, SocketAction, SocketId, StateOf,
    TelemetryEvent,
};
use bennu_client::{Socket, SocketEnd, SocketStatus};
use bennu_protocol::Payload;
use bennu_testkit::scripted;
use serde_json::json;

use crate::scene;

/// Keeps what is told of one socket; the process may have others.
fn keep(id: &str, groups: impl Into<Groups>, socket: SocketId) -> Arc<Mutex<Vec<TelemetryEvent>>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeping = Arc::clone(&kept);
    let keep = move |event: &TelemetryEvent| {
        if event.socket() == socket {
            keeping.lock().unwrap().push(event.clone());
        }
    };
    telemetry::attach(id, groups, keep).unwrap();
    kept
}

fn names(events: &[TelemetryEvent]) -> Vec<(&'static str, &'static str)> {
    events.iter().map(|event| (event.group().as_str(), event.action())).collect()
}

fn emit_all(socket: SocketId, response: &Payload) {
    let url = "ws://user:word@localhost:4000/socket/websocket?token=secret";
    telemetry::socket_connecting(socket, url);
    telemetry::socket_connected(socket, url);
    telemetry::socket_connection_duration(socket, url, Duration::from_millis(5));
    telemetry::socket_disconnected(socket, url, "1006");
    telemetry::socket_connection_error(socket, url, "refused");
    telemetry::reconnecting(socket, url, 3);
    telemetry::heartbeat_sent(socket, url);
    telemetry::socket_status_changed(socket, url, "connecting", "connected");
    telemetry::channel_joined(socket, "room:1", response);
    telemetry::channel_join_error(socket, "room:1", "timeout");
    telemetry::channel_join_duration(socket, "room:1", Duration::from_millis(6));
    telemetry::channel_left(socket, "room:1", "left");
    telemetry::channel_leave_duration(socket, "room:1", Duration::from_millis(7));
    telemetry::channel_status_changed(socket, "room:1", "joining", "joined");
    telemetry::message_sent(socket, "room:1", "new", response);
    telemetry::message_received(socket, "room:1", "new", response);
}

#[test]
fn each_emitter_tells_its_group_and_action() {
    let socket = SocketId::generate();
    let kept = keep("each_emitter", Groups::ALL, socket);
    let before = SystemTime::now();
    emit_all(socket, &Payload::empty());
    assert!(telemetry::detach("each_emitter"));
    telemetry::socket_connecting(socket, "after the handler was detached");

    let kept = kept.lock().unwrap();
    let expected = [
        ("socket", "connecting"),
        ("socket", "connected"),
        ("socket", "connection_duration"),
        ("socket", "disconnected"),
        ("socket", "connection_error"),
        ("socket", "reconnecting"),
        ("socket", "heartbeat"),
        ("socket", "status_changed"),
        ("state", "socket"),
        ("channel", "joined"),
        ("channel", "join_error"),
        ("channel", "join_duration"),
        ("channel", "left"),
        ("channel", "leave_duration"),
        ("channel", "status_changed"),
        ("state", "channel"),
        ("message", "sent"),
        ("message", "received"),
    ];
    assert_eq!(names(&kept), expected);
    assert!(kept.iter().all(|event| event.timestamp() >= before));
}

#[test]
fn what_is_measured_and_told_besides_is_typed() {
    let socket = SocketId::generate();
    let kept = keep("typed", Groups::ALL, socket);
    emit_all(socket, &Payload::empty());
    telemetry::detach("typed");
    for event in kept.lock().unwrap().iter() {
        match event {
            TelemetryEvent::Socket(event) => {
                assert_eq!(event.url, "ws://localhost:4000/socket/websocket");
                match &event.action {
                    SocketAction::Disconnected { reason } => assert_eq!(reason, "1006"),
                    SocketAction::ConnectionError { error } => assert_eq!(error, "refused"),
                    SocketAction::ConnectionDuration { duration } => assert_eq!(duration.as_millis(), 5),
                    SocketAction::Reconnecting { attempt } => assert_eq!(*attempt, 3),
                    SocketAction::StatusChanged { old, new } => {
                        assert_eq!((*old, *new), ("connecting", "connected"));
                    }
                    SocketAction::Connecting | SocketAction::Connected | SocketAction::Heartbeat => {}
                    other => panic!("{other:?}"),
                }
            }
            TelemetryEvent::Channel(event) => {
                assert_eq!(event.topic.as_str(), "room:1");
                match &event.action {
                    ChannelAction::Joined { response } => assert_eq!(*response, Payload::empty()),
                    ChannelAction::JoinError { error } => assert_eq!(error, "timeout"),
                    ChannelAction::JoinDuration { duration } => assert_eq!(duration.as_millis(), 6),
                    ChannelAction::Left { reason } => assert_eq!(reason, "left"),
                    ChannelAction::LeaveDuration { duration } => assert_eq!(duration.as_millis(), 7),
                    ChannelAction::StatusChanged { old, new } => {
                        assert_eq!((*old, *new), ("joining", "joined"));
                    }
                    other => panic!("{other:?}"),
                }
            }
            TelemetryEvent::Message(event) => {
                assert_eq!((event.topic.as_str(), event.event.as_str()), ("room:1", "new"));
                assert_eq!(event.payload, Payload::empty());
            }
            TelemetryEvent::State(event) => match &event.of {
                StateOf::Socket => assert_eq!((event.old, event.new), ("connecting", "connected")),
                StateOf::Channel(topic) => {
                    assert_eq!((topic.as_str(), event.old, event.new), ("room:1", "joining", "joined"));
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_handler_hears_the_groups_it_is_attached_to_and_no_others() {
    let socket = SocketId::generate();
    let kept = keep("two_groups", [Group::Message, Group::State], socket);
    assert!(telemetry::is_listened_to(Group::Message) && telemetry::is_listened_to(Group::State));
    emit_all(socket, &Payload::empty());
    telemetry::detach("two_groups");
    let groups = [("state", "socket"), ("state", "channel"), ("message", "sent"), ("message", "received")];
    assert_eq!(names(&kept.lock().unwrap()), groups);
}

#[test]
fn an_id_that_is_attached_already_is_an_error() {
    telemetry::attach("twice", Group::Socket, |_| ()).unwrap();
    let refused = telemetry::attach("twice", Group::Message, |_| ()).unwrap_err();
    assert_eq!(refused, AlreadyAttached("twice".to_owned()));
    assert!(telemetry::detach("twice"));
    assert!(!telemetry::detach("twice"), "there is none any more");
    telemetry::attach("twice", Group::Socket, |_| ()).unwrap();
    telemetry::detach("twice");
}

#[test]
fn a_handler_that_panics_is_detached_and_the_others_hear_on() {
    let socket = SocketId::generate();
    let panicking = move |event: &TelemetryEvent| assert!(event.socket() != socket, "a bug in a handler");
    telemetry::attach("panicking", Group::Socket, panicking).unwrap();
    let kept = keep("beside_panicking", Group::Socket, socket);
    telemetry::socket_connecting(socket, "ws://h");
    telemetry::socket_connected(socket, "ws://h");
    assert_eq!(names(&kept.lock().unwrap()), [("socket", "connecting"), ("socket", "connected")]);
    assert!(!telemetry::detach("panicking"), "it was detached when it panicked");
    telemetry::detach("beside_panicking");
}

#[test]
fn the_generic_emitters_tell_what_they_are_given() {
    let socket = SocketId::generate();
    let kept = keep("generic", Groups::ALL, socket);
    telemetry::socket_event(socket, "ws://h", SocketAction::Heartbeat);
    telemetry::channel_event(socket, "t", ChannelAction::Left { reason: "left".to_owned() });
    telemetry::message_event(socket, "t", "e", &Payload::empty(), MessageAction::Sent);
    telemetry::state_change_event(socket, StateOf::Socket, "connected", "disconnected");
    let first = kept.lock().unwrap()[0].clone();
    telemetry::emit_event(&first);
    telemetry::detach("generic");
    let kept = kept.lock().unwrap();
    let expected = [
        ("socket", "heartbeat"),
        ("channel", "left"),
        ("message", "sent"),
        ("state", "socket"),
        ("socket", "heartbeat"),
    ];
    assert_eq!(names(&kept), expected);
    assert_eq!(kept[4], first);
}

#[test]
fn the_debug_handler_logs_what_happens_without_payloads_or_secrets() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Log(Arc::clone(&log));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: other threads have no subscriber, and tracing may then take this thread to have none either.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let socket = SocketId::generate();
    let secret = Payload::json(&"hunter2").unwrap();
    telemetry::attach_debug_handler();
    telemetry::attach_debug_handler();
    emit_all(socket, &secret);
    telemetry::detach_debug_handler();
    telemetry::detach_debug_handler();
    emit_all(socket, &secret);
    let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    let own = format!("{socket:?},");
    let log: Vec<&str> = log.lines().filter(|line| line.contains(&own)).collect();
    assert_eq!(log.len(), 18, "each event is one line: {log:#?}");
    let log = log.join("\n");
    assert!(log.contains("connection_error") && log.contains("room:1"), "{log}");
    for secret in ["hunter2", "secret", "word@"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[derive(Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is told, in a line.
fn line(event: &TelemetryEvent) -> String {
    match event {
        TelemetryEvent::Socket(socket) => match &socket.action {
            SocketAction::Disconnected { reason } => format!("socket disconnected {reason:?}"),
            SocketAction::ConnectionError { error } => format!("socket connection_error {error:?}"),
            SocketAction::ConnectionDuration { duration } => {
                format!("socket connection_duration {duration:?}")
            }
            SocketAction::Reconnecting { attempt } => format!("socket reconnecting {attempt}"),
            SocketAction::StatusChanged { old, new } => format!("socket status_changed {old} {new}"),
            action => format!("socket {}", action.as_str()),
        },
        TelemetryEvent::Channel(channel) => {
            let topic = &channel.topic;
            match &channel.action {
                ChannelAction::Joined { response } => {
                    format!("{topic} joined {}", response.parse::<serde_json::Value>().unwrap())
                }
                ChannelAction::JoinError { error } => format!("{topic} join_error {error:?}"),
                ChannelAction::JoinDuration { duration } => format!("{topic} join_duration {duration:?}"),
                ChannelAction::Left { reason } => format!("{topic} left {reason:?}"),
                ChannelAction::LeaveDuration { duration } => format!("{topic} leave_duration {duration:?}"),
                ChannelAction::StatusChanged { old, new } => format!("{topic} status_changed {old} {new}"),
                action => format!("{topic} {}", action.as_str()),
            }
        }
        TelemetryEvent::Message(message) => {
            format!("{} {} {}", message.topic, message.action.as_str(), message.event)
        }
        TelemetryEvent::State(state) => format!("state {} {} {}", state.of.as_str(), state.old, state.new),
        other => panic!("{other:?}"),
    }
}

/// Takes what was told since the last time.
fn told(kept: &Mutex<Vec<TelemetryEvent>>) -> Vec<String> {
    std::mem::take(&mut *kept.lock().unwrap()).iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_tells_exactly_this() {
    let (server, config) = scene::server();
    let socket =
        Socket::start(config.auto_connect(false).reconnect_interval(Duration::from_secs(7))).unwrap();
    let kept = keep("session", Groups::ALL, socket.id());
    socket.connect().unwrap();
    scripted::advance(Duration::from_millis(20)).await;
    let connection = server.accept().await;
    socket.connected().await.unwrap();
    assert_eq!(
        told(&kept),
        [
            "socket status_changed disconnected connecting",
            "state socket disconnected connecting",
            "socket connecting",
            "socket connected",
            "socket connection_duration 20ms",
            "socket status_changed connecting connected",
            "state socket connecting connected",
        ]
    );

    let channel = socket.channel_join("room:1", json!({})).unwrap();
    let join = connection.expect_join("room:1").await;
    scripted::advance(Duration::from_millis(30)).await;
    join.reply_ok(json!({"n": 1}));
    channel.joined().await.unwrap();
    assert_eq!(
        told(&kept),
        [
            "room:1 status_changed left joining",
            "state channel left joining",
            "room:1 sent phx_join",
            "room:1 received phx_reply",
            r#"room:1 joined {"n":1}"#,
            "room:1 join_duration 30ms",
            "room:1 status_changed joining joined",
            "state channel joining joined",
        ]
    );

    let refused = socket.channel_join("room:2", json!({})).unwrap();
    connection.expect_join("room:2").await.reply_error(json!({"reason": "secret"}));
    refused.joined().await.unwrap_err();
    assert_eq!(
        told(&kept),
        [
            "room:2 status_changed left joining",
            "state channel left joining",
            "room:2 sent phx_join",
            "room:2 received phx_reply",
            r#"room:2 join_error "the server refused the join with Error""#,
            "room:2 status_changed joining errored",
            "state channel joining errored",
        ]
    );
    drop(refused);
    scripted::advance(Duration::from_millis(1)).await;
    assert_eq!(
        told(&kept),
        [
            "room:2 status_changed errored leaving",
            "state channel errored leaving",
            r#"room:2 left "left""#,
            "room:2 status_changed leaving left",
            "state channel leaving left",
        ]
    );

    drop(channel.push_async("new_msg", json!({})).unwrap());
    connection.expect_push("room:1", "new_msg").await;
    connection.broadcast("room:1", "news", json!({}));
    channel.recv().await.unwrap();
    assert_eq!(told(&kept), ["room:1 sent new_msg", "room:1 received news"]);

    connection.within(Duration::from_secs(40)).expect_heartbeat().await.reply_ok(json!({}));
    scripted::advance(Duration::from_millis(1)).await;
    assert_eq!(told(&kept), ["socket heartbeat"]);

    let leave = channel.leave();
    let left = connection.expect_leave("room:1").await;
    scripted::advance(Duration::from_millis(40)).await;
    left.reply_ok(json!({}));
    leave.await.unwrap();
    assert_eq!(
        told(&kept),
        [
            "room:1 status_changed joined leaving",
            "state channel joined leaving",
            r#"room:1 left "left""#,
            "room:1 status_changed leaving left",
            "state channel leaving left",
            "room:1 sent phx_leave",
            "room:1 received phx_reply",
            "room:1 leave_duration 40ms",
        ]
    );

    connection.close(1012, "restart");
    server.within(Duration::from_secs(10)).fail("no route").await;
    assert_eq!(
        told(&kept),
        [
            r#"socket disconnected "1012 restart""#,
            "socket status_changed connected reconnecting",
            "state socket connected reconnecting",
            "socket reconnecting 1",
            "socket status_changed reconnecting connecting",
            "state socket reconnecting connecting",
            "socket connecting",
        ]
    );
    let connection = server.within(Duration::from_secs(10)).accept().await;
    socket.connected().await.unwrap();
    assert_eq!(
        told(&kept),
        [
            r#"socket connection_error "no route""#,
            "socket status_changed connecting reconnecting",
            "state socket connecting reconnecting",
            "socket reconnecting 2",
            "socket status_changed reconnecting connecting",
            "state socket reconnecting connecting",
            "socket connecting",
            "socket connected",
            "socket connection_duration 0ns",
            "socket status_changed connecting connected",
            "state socket connecting connected",
        ]
    );

    socket.stop();
    connection.expect_closed().await;
    socket.ended().await;
    assert_eq!(
        told(&kept),
        [
            "socket status_changed connected disconnecting",
            "state socket connected disconnecting",
            r#"socket disconnected "1000""#,
            "socket status_changed disconnecting disconnected",
            "state socket disconnecting disconnected",
        ]
    );
    assert_eq!(socket.status(), SocketStatus::Ended(SocketEnd::Stopped));
    telemetry::detach("session");
}

#[tokio::test(start_paused = true)]
async fn a_panicking_handler_does_not_end_the_socket() {
    let (_server, connection, socket) = scene::connected().await;
    let id = socket.id();
    let panicking = move |event: &TelemetryEvent| assert!(event.socket() != id, "a bug in a handler");
    telemetry::attach("panics_in_a_socket", Groups::ALL, panicking).unwrap();
    let channel = scene::join(&connection, &socket, "room:1").await;
    assert!(!telemetry::detach("panics_in_a_socket"), "it was detached");
    connection.broadcast("room:1", "news", json!({}));
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "news");
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_look_at_the_socket() {
    let (_server, connection, socket) = scene::connected().await;
    let (id, looking) = (socket.id(), socket.clone());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = Arc::clone(&seen);
    let look = move |event: &TelemetryEvent| {
        if event.socket() == id {
            see.lock().unwrap().push(looking.state().channels.len());
        }
    };
    telemetry::attach("looks", [Group::Message, Group::State, Group::Channel], look).unwrap();
    let channel = scene::join(&connection, &socket, "room:1").await;
    connection.broadcast("room:1", "news", json!({}));
    channel.recv().await.unwrap();
    telemetry::detach("looks");
    assert!(seen.lock().unwrap().len() >= 6 && seen.lock().unwrap().iter().all(|channels| *channels == 1));
}
