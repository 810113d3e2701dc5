//! A Phoenix client that sends and expects single frames.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::checklist;
use crate::wire::{self, Received, Wire};

/// The WebSocket path of the first mount, speaking version 2.
pub(crate) const V2: &str = "/socket/websocket?vsn=2.0.0";
/// The same, speaking version 1.
pub(crate) const V1: &str = "/socket/websocket?vsn=1.0.0";

/// How long "no frame" is watched for.
const SILENCE: Duration = Duration::from_millis(300);

/// One WebSocket connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) wire: Wire,
}

impl Client {
    /// Connects to `path` of a server.
    pub(crate) fn connect_to(address: SocketAddr, path: &str) -> Client {
        let (response, wire) = wire::upgrade(address, path, &[]);
        assert_eq!(response.status, 101, "{path} should be upgraded, got {response:?}");
        Client { wire }
    }

    /// Connects to `path` of the shared checklist server.
    pub(crate) fn connect(path: &str) -> Client {
        Client::connect_to(checklist(), path)
    }

    /// Connects with version 2 and joins `topic` with `"1"` as ref and join ref.
    pub(crate) fn joined(topic: &str) -> Client {
        let mut client = Client::connect(V2);
        client.join("1", topic);
        client
    }

    /// Joins `topic` with `join` as ref and join ref and expects the plain ok reply.
    pub(crate) fn join(&mut self, join: &str, topic: &str) {
        self.send(json!([join, join, topic, "phx_join", {}]));
        self.expect(ok(join, join, topic, json!({})));
    }

    /// Sends a push of the channel joined with `"1"`.
    pub(crate) fn push(&mut self, reference: &str, topic: &str, event: &str, payload: Value) {
        self.send(json!(["1", reference, topic, event, payload]));
    }

    pub(crate) fn send(&mut self, message: Value) {
        self.send_text(&message.to_string());
    }

    /// Sends several messages with one write, so that the server has all of them at once.
    pub(crate) fn send_together(&mut self, messages: impl IntoIterator<Item = Value>) {
        let frames = messages.into_iter().map(|message| message.to_string());
        let bytes: Vec<u8> = frames.flat_map(|text| wire::frame(true, wire::TEXT, text.as_bytes())).collect();
        self.wire.write(&bytes);
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.wire.send(wire::TEXT, text.as_bytes());
    }

    pub(crate) fn send_binary(&mut self, payload: &[u8]) {
        self.wire.send(wire::BINARY, payload);
    }

    /// The next frame, which must be a text frame of JSON.
    pub(crate) fn receive(&mut self) -> Value {
        match self.wire.receive() {
            Received::Text(text) => serde_json::from_str(&text).expect("text frames are JSON"),
            other => panic!("expected a text frame, got {other:?}"),
        }
    }

    pub(crate) fn receive_binary(&mut self) -> Vec<u8> {
        match self.wire.receive() {
            Received::Binary(bytes) => bytes,
            other => panic!("expected a binary frame, got {other:?}"),
        }
    }

    /// The next frame must be this JSON, numbers and strings told apart.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: Value) {
        assert_eq!(self.receive(), expected);
    }

    /// Nothing may come for a while.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        let received = self.wire.receive_within(SILENCE);
        assert_eq!(received, None, "there should be no frame");
    }

    /// The connection must close with `code`, without a reason, and TCP must end with it.
    #[track_caller]
    pub(crate) fn expect_close(&mut self, code: u16) {
        assert_eq!(self.wire.receive(), Received::Close(Some((code, String::new()))));
        assert_eq!(self.wire.receive(), Received::End);
    }

    /// The connection answers a heartbeat, and has nothing to say before it.
    #[track_caller]
    pub(crate) fn expect_alive(&mut self) {
        self.send(json!([null, "alive", "phoenix", "heartbeat", {}]));
        self.expect(ok(Value::Null, "alive", "phoenix", json!({})));
    }

    /// `echo` on `topic` is answered, so its channel lives.
    #[track_caller]
    pub(crate) fn expect_echo(&mut self, topic: &str) {
        self.push("echo", topic, "echo", json!({"n": 1}));
        self.expect(ok("1", "echo", topic, json!({"n": 1})));
    }

    /// An event on `topic` is answered as on a topic never joined.
    #[track_caller]
    pub(crate) fn expect_not_joined(&mut self, topic: &str) {
        self.push("gone", topic, "echo", json!({}));
        self.expect(unmatched("gone", topic));
    }
}

/// An ok reply of version 2.
pub(crate) fn ok(
    join_ref: impl Into<Value>,
    reference: impl Into<Value>,
    topic: &str,
    response: Value,
) -> Value {
    reply(join_ref, reference, topic, "ok", response)
}

/// An error reply of version 2.
pub(crate) fn error(
    join_ref: impl Into<Value>,
    reference: impl Into<Value>,
    topic: &str,
    response: Value,
) -> Value {
    reply(join_ref, reference, topic, "error", response)
}

pub(crate) fn reply(
    join_ref: impl Into<Value>,
    reference: impl Into<Value>,
    topic: impl Into<Value>,
    status: &str,
    response: Value,
) -> Value {
    let (join_ref, reference, topic) = (join_ref.into(), reference.into(), topic.into());
    json!([join_ref, reference, topic, "phx_reply", {"status": status, "response": response}])
}

/// The reply for a topic that nothing is joined to.
pub(crate) fn unmatched(reference: impl Into<Value>, topic: impl Into<Value>) -> Value {
    reply(Value::Null, reference, topic, "error", json!({"reason": "unmatched topic"}))
}

/// What the end of a channel joined with `join` looks like.
pub(crate) fn closed(join: &str, topic: &str) -> Value {
    json!([join, join, topic, "phx_close", {}])
}

/// What the crash of a channel joined with `join` looks like.
pub(crate) fn crashed(join: &str, topic: &str) -> Value {
    json!([join, join, topic, "phx_error", {"reason": "channel_crash"}])
}

/// A broadcast of version 2.
pub(crate) fn broadcast(topic: &str, event: &str, payload: Value) -> Value {
    json!([null, null, topic, event, payload])
}

/// Posts to one of the server's own admin endpoints, and tells whether it was done.
pub(crate) fn admin(address: SocketAddr, path: &str, body: Value) -> bool {
    let headers = [("Content-Type", "application/json")];
    let status = wire::request(address, "POST", path, &headers, &body.to_string()).status;
    assert!((200..500).contains(&status), "{path} answered {status}");
    status < 300
}
