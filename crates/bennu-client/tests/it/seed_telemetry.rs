//! Seed 002, telemetry: groups, actions, handlers and emitters.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bennu_client::telemetry::{
    self, AlreadyAttached, ChannelAction, Group, Groups, MessageAction, SocketAction, SocketId, StateOf,
    TelemetryEvent,
};
use bennu_protocol::Payload;

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
        .with_writer(move || writer.clone())
        .finish();
    let socket = SocketId::generate();
    let secret = Payload::json(&"hunter2").unwrap();
    tracing::subscriber::with_default(subscriber, || {
        telemetry::attach_debug_handler();
        telemetry::attach_debug_handler();
        emit_all(socket, &secret);
        telemetry::detach_debug_handler();
        telemetry::detach_debug_handler();
        emit_all(socket, &secret);
    });
    let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    assert_eq!(log.lines().count(), 18, "each event is one line: {log}");
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
