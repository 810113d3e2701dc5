//! Section 18.6: long polling.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{Client, admin, broadcast, error, ok, unmatched};
use crate::server::checklist;
use crate::wire::{self, Response, Wire};

/// The long polling of the first mount, speaking version 2.
pub(crate) const V2: &str = "/socket/longpoll?vsn=2.0.0";

/// How long a poll of the application waits.
const WINDOW: Duration = Duration::from_secs(1);

pub(crate) const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");

/// One session. Every request is on a TCP connection of its own.
struct Poller {
    address: SocketAddr,
    path: String,
    token: String,
}

impl Poller {
    fn open(path: &str) -> Poller {
        Poller::open_with(path, &[])
    }

    fn open_with(path: &str, headers: &[(&str, &str)]) -> Poller {
        let address = checklist();
        let opened = body(&wire::request(address, "GET", path, headers, ""));
        assert_eq!(opened["status"], 410, "{opened}");
        Poller { address, path: path.to_owned(), token: token(&opened) }
    }

    fn joined(topic: &str) -> Poller {
        let poller = Poller::open(V2);
        poller.join(topic);
        poller
    }

    fn join(&self, topic: &str) {
        assert_eq!(self.post(&[json!(["1", "1", topic, "phx_join", {}])]), 200);
        self.expect(&[ok("1", "1", topic, json!({}))]);
    }

    fn path(&self) -> String {
        format!("{}&token={}", self.path, self.token)
    }

    /// The whole answer to a poll.
    fn get(&self) -> Value {
        body(&wire::get(self.address, &self.path()))
    }

    fn post(&self, messages: &[Value]) -> u64 {
        let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
        self.post_body(&lines.join("\n"))
    }

    fn post_body(&self, lines: &str) -> u64 {
        let answer = body(&wire::request(self.address, "POST", &self.path(), &[NDJSON], lines));
        answer["status"].as_u64().expect("a status")
    }

    /// The next poll must bring these messages and no others.
    #[track_caller]
    fn expect(&self, expected: &[Value]) {
        let answer = self.get();
        assert_eq!((&answer["status"], &answer["token"]), (&json!(200), &json!(self.token)), "{answer}");
        assert_eq!(messages(&answer), expected);
    }

    /// The session must have ended: a poll gets a new one.
    #[track_caller]
    fn expect_gone(&self) {
        let answer = self.get();
        assert_eq!((&answer["status"], &answer["messages"]), (&json!(410), &json!([])), "{answer}");
        assert_ne!(answer["token"], self.token);
    }
}

pub(crate) fn body(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    serde_json::from_str(&response.body).expect("the body is JSON")
}

pub(crate) fn token(answer: &Value) -> String {
    answer["token"].as_str().expect("a token").to_owned()
}

pub(crate) fn messages(answer: &Value) -> Vec<Value> {
    let messages = answer["messages"].as_array().expect("messages").iter();
    let text = messages.map(|message| message.as_str().expect("a message is a string"));
    text.map(|text| serde_json::from_str(text).expect("a message is JSON")).collect()
}

#[test]
fn check_116_a_get_without_a_token_opens_a_session() {
    let response = wire::get(checklist(), V2);
    let answer = body(&response);
    assert_eq!((&answer["status"], &answer["messages"]), (&json!(410), &json!([])));
    assert!(!token(&answer).is_empty());
    for (header, expected) in [
        ("cache-control", "no-store"),
        ("access-control-allow-origin", "*"),
        ("content-type", "application/json; charset=utf-8"),
    ] {
        assert_eq!(response.header(header), Some(expected), "{header}");
    }
}

#[test]
fn check_117_the_token_may_be_a_header_or_a_parameter() {
    let poller = Poller::open(V2);
    let header = ("X-Phoenix-Longpoll-Token", poller.token.as_str());
    let join = json!(["1", "1", "room:c117", "phx_join", {}]).to_string();
    let joined = wire::request(poller.address, "POST", V2, &[NDJSON, header], &join);
    assert_eq!(body(&joined), json!({"status": 200}));
    let polled = body(&wire::request(poller.address, "GET", V2, &[header], ""));
    assert_eq!((&polled["status"], &polled["token"]), (&json!(200), &json!(poller.token)));
    assert_eq!(messages(&polled), [ok("1", "1", "room:c117", json!({}))]);
    Poller::open(V2).join("room:c117");
}

#[test]
fn check_118_a_poll_without_messages_ends_after_the_window() {
    let poller = Poller::open(V2);
    let started = Instant::now();
    assert_eq!(poller.get(), json!({"status": 204, "token": poller.token, "messages": []}));
    let elapsed = started.elapsed();
    assert!(elapsed >= WINDOW && elapsed < 3 * WINDOW, "{elapsed:?}");
}

#[test]
fn check_119_a_poll_that_waits_is_answered_by_the_next_message() {
    let poller = Poller::joined("room:c119");
    let mut wire = Wire::open(poller.address);
    wire.write_request(poller.address, "GET", &poller.path(), &[], "");
    let mut other = Client::joined("room:c119");
    let started = Instant::now();
    other.push("2", "room:c119", "bcast_from", json!({"n": 1}));
    let answer = body(&wire.read_response("GET"));
    assert_eq!(messages(&answer), [broadcast("room:c119", "msg", json!({"n": 1}))]);
    assert!(started.elapsed() < WINDOW);
}

#[test]
fn check_120_lines_are_handled_in_order() {
    for (newline, topic) in [("\n", "room:c120a"), ("\r\n", "room:c120b")] {
        let poller = Poller::joined(topic);
        let echo = |reference: &str| json!(["1", reference, topic, "echo", {"n": reference}]).to_string();
        assert_eq!(poller.post_body(&[echo("2"), echo("3"), echo("4")].join(newline)), 200);
        let replies = ["2", "3", "4"].map(|reference| ok("1", reference, topic, json!({"n": reference})));
        poller.expect(&replies);
    }
}

#[test]
fn check_121_a_line_of_base64_is_a_binary_push() {
    let poller = Poller::joined("room:c121");
    // kind 0, lengths of join_ref, ref, topic and event, then these and the payload
    let mut push = vec![0, 1, 1, 9, 5];
    push.extend(b"12room:c121bcast");
    push.extend([0, 255]);
    let mut other = Client::joined("room:c121");
    assert_eq!(poller.post_body(&STANDARD.encode(push)), 200);
    let mut broadcast = vec![2, 9, 3];
    broadcast.extend(b"room:c121msg");
    broadcast.extend([0, 255]);
    assert_eq!(other.receive_binary(), broadcast);
    // The reply is text and comes; the broadcast is binary and cannot.
    poller.expect(&[ok("1", "2", "room:c121", json!({}))]);
}

#[test]
fn check_122_without_a_genuine_token_there_is_no_session() {
    let heartbeat = json!([null, "1", "phoenix", "heartbeat", {}]).to_string();
    for path in [V2.to_owned(), format!("{V2}&token=garbage")] {
        let posted = wire::request(checklist(), "POST", &path, &[NDJSON], &heartbeat);
        assert_eq!(body(&posted), json!({"status": 410}), "{path}");
        let polled = body(&wire::get(checklist(), &path));
        assert_eq!((&polled["status"], &polled["messages"]), (&json!(410), &json!([])), "{path}");
    }
}

#[test]
fn check_123_a_push_to_an_unjoined_topic_is_taken_and_answered_with_an_error() {
    let poller = Poller::open(V2);
    assert_eq!(poller.post(&[json!([null, "9", "room:c123", "echo", {}])]), 200);
    poller.expect(&[unmatched("9", "room:c123")]);
    // Stricter than Phoenix: a client that believes to have joined is told to do it again.
    assert_eq!(poller.post(&[json!(["7", "9", "room:c123", "echo", {}])]), 200);
    let told = json!(["7", "7", "room:c123", "phx_error", {"reason": "unmatched topic"}]);
    poller.expect(&[unmatched("9", "room:c123"), told]);
}

#[test]
fn check_124_a_refused_connect_is_told_in_the_body() {
    for query in ["reject=1", "reason=x"] {
        let response = wire::get(checklist(), &format!("{V2}&{query}"));
        assert_eq!(body(&response), json!({"status": 403}), "{query}");
    }
}

#[test]
fn check_125_so_is_a_bad_version_or_origin() {
    for vsn in ["9.9.9", "2.0", "banana"] {
        let response = wire::get(checklist(), &format!("/socket/longpoll?vsn={vsn}"));
        assert_eq!(body(&response), json!({"status": 403}), "{vsn}");
    }
    let origin = |origin| wire::request(checklist(), "GET", V2, &[("Origin", origin)], "");
    assert_eq!(body(&origin("https://bad.com")), json!({"status": 403}));
    assert_eq!(body(&origin("https://example.com"))["status"], 410);
}

#[test]
fn check_126_a_preflight_allows_the_headers_that_are_asked_for() {
    let asked = [("Origin", "https://example.com"), ("Access-Control-Request-Headers", "x-a, x-b")];
    let response = wire::request(checklist(), "OPTIONS", "/socket/longpoll", &asked, "");
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    for (header, expected) in [
        ("access-control-allow-headers", "x-a, x-b"),
        ("access-control-allow-methods", "get, post, options"),
        ("access-control-max-age", "3600"),
        ("access-control-allow-origin", "*"),
        ("cache-control", "max-age=0, private, must-revalidate"),
    ] {
        assert_eq!(response.header(header), Some(expected), "{header}");
    }
    let bad = wire::request(checklist(), "OPTIONS", "/socket/longpoll", &[("Origin", "https://bad.com")], "");
    assert_eq!(body(&bad), json!({"status": 403}));
}

#[test]
fn check_127_other_methods_are_answered_with_400() {
    for method in ["PUT", "HEAD", "DELETE", "PATCH"] {
        let response = wire::request(checklist(), method, V2, &[], "");
        assert_eq!((response.status, response.body.as_str()), (400, ""), "{method}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{method}");
    }
}

#[test]
fn check_128_a_malformed_message_ends_the_session_after_the_window() {
    for malformed in ["[not json", r#"["1","2"]"#, ""] {
        let poller = Poller::open(V2);
        let started = Instant::now();
        assert_eq!(poller.post_body(malformed), 408, "{malformed:?}");
        assert!(started.elapsed() >= WINDOW, "{malformed:?}: {:?}", started.elapsed());
        assert_eq!(poller.post(&[json!([null, "1", "phoenix", "heartbeat", {}])]), 410, "{malformed:?}");
        poller.expect_gone();
    }
}

#[test]
fn check_129_a_session_that_nobody_polls_ends_with_its_channels() {
    let poller = Poller::joined("room:c129");
    let mut watcher = Client::joined("room:c129");
    assert_eq!(poller.post(&[json!(["1", "2", "room:c129", "track", {"key": "k", "meta": {}}])]), 200);
    let joined = watcher.receive();
    assert_eq!(joined[3], "presence_diff");
    let left = watcher.receive();
    assert!(left[4]["leaves"]["k"].is_object(), "{left}");
    assert_eq!(poller.post(&[json!([null, "1", "phoenix", "heartbeat", {}])]), 410);
    poller.expect_gone();
}

#[test]
fn check_130_a_disconnect_ends_the_session() {
    let poller = Poller::open(&format!("{V2}&uid=c130"));
    poller.join("room:c130");
    assert!(admin(poller.address, "/admin/disconnect", json!({"id": "u:c130"})));
    poller.expect_gone();
    let poller = Poller::open(&format!("{V2}&uid=c130"));
    let mut wire = Wire::open(poller.address);
    wire.write_request(poller.address, "GET", &poller.path(), &[], "");
    // The poll waits once the session has seen it, which a later one shows.
    assert_eq!(poller.get()["status"], 204);
    assert!(admin(poller.address, "/admin/disconnect", json!({"id": "u:c130"})));
    assert_eq!(body(&wire.read_response("GET"))["status"], 204);
    poller.expect_gone();
}

#[test]
fn check_131_the_auth_token_comes_in_a_header_as_it_is() {
    let path = "/auth/longpoll?vsn=2.0.0&user=7";
    let poller = Poller::open_with(path, &[("X-Phoenix-AuthToken", "raw.tok")]);
    poller.join("room:c131");
    assert_eq!(poller.post(&[json!(["1", "2", "room:c131", "info", {}])]), 200);
    let info = json!({
        "params": {"vsn": "2.0.0", "user": "7"},
        "auth_token": "raw.tok",
        "transport": "longpoll",
        "vsn": "2.0.0",
    });
    poller.expect(&[ok("1", "2", "room:c131", info)]);
}

#[test]
fn version_1_is_one_message_per_body() {
    let poller = Poller::open("/socket/longpoll?vsn=1.0.0");
    let join = json!({"topic": "room:lp-v1", "event": "phx_join", "payload": {}, "ref": "1"}).to_string();
    let posted = wire::request(poller.address, "POST", &poller.path(), &[], &join);
    assert_eq!(body(&posted), json!({"status": 200}));
    let reply = json!({"topic": "room:lp-v1", "event": "phx_reply", "ref": "1",
                       "payload": {"status": "ok", "response": {}}});
    poller.expect(&[reply]);
}

#[test]
fn errors_and_slow_joins_reach_a_poll_as_they_reach_a_websocket() {
    let poller = Poller::open(V2);
    let joins =
        [json!(["1", "1", "room:slow", "phx_join", {}]), json!(["2", "2", "room:err", "phx_join", {}])];
    assert_eq!(poller.post(&joins), 200);
    poller.expect(&[error("2", "2", "room:err", json!({"reason": "nope"}))]);
    poller.expect(&[ok("1", "1", "room:slow", json!({}))]);
}

#[test]
fn attack_040_a_body_of_50_mb_is_refused_before_it_is_sent() {
    let poller = Poller::joined("room:a040");
    let mut wire = Wire::open(poller.address);
    let length = ("Content-Length", "50000000");
    wire.write_request(poller.address, "POST", &poller.path(), &[NDJSON, length], "");
    wire.write(&vec![b'A'; 10_000]);
    assert_eq!(wire.read_response("POST").status, 400);
    assert_eq!(poller.post(&[json!(["1", "2", "room:a040", "ok", {}])]), 200);
    poller.expect(&[ok("1", "2", "room:a040", json!({}))]);
}

#[test]
fn attack_040_a_body_without_an_announced_length_is_refused_at_the_bound() {
    let poller = Poller::open(V2);
    let mut wire = Wire::open(poller.address);
    let chunked = ("Transfer-Encoding", "chunked");
    wire.write_request(poller.address, "POST", &poller.path(), &[NDJSON, chunked], "");
    let chunk = [b"10000\r\n", vec![b'\n'; 0x1_0000].as_slice(), b"\r\n"].concat();
    let taken = (0..2_000).take_while(|_| wire.write_if_open(&chunk)).count();
    assert!(taken * 0x1_0000 < 30_000_000, "{taken} chunks were taken");
    assert_eq!(poller.post(&[json!([null, "1", "phoenix", "heartbeat", {}])]), 200);
}
