//! What is counted, and what is logged.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Once;
use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    Channel, ChannelError, Channels, CheckOrigin, ConnectRequest, Connected, Context, Endpoint, Handled,
    HandlerResult, JoinRefusal, JoinRequest, Joined, LongPollOptions, METRICS, MetricKind, Refusal, Socket,
    SocketOptions, TerminateReason, Transport,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use serde_json::json;

use crate::client::Client;
use crate::poller::{Poller, get, json_of, post, send};

struct TokenSocket;

impl Socket for TokenSocket {
    type Assigns = ();

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        match request.params().text("token") {
            Some("wrong") => Err(Refusal::Unauthorized),
            Some("panic") => panic!("asked to panic"),
            _ => Ok(Connected::new(()).with_id("socket:1")),
        }
    }
}

struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(request: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        match request.rest() {
            "deny" => Err(JoinRefusal::reason("unauthorized")),
            "crash" => panic!("asked to panic"),
            _ => Ok(Joined::new(Room)),
        }
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        match event {
            "shout" => {
                cx.broadcast("shout", payload)?;
                Handled::ok()
            }
            "fail" => Err(ChannelError::msg("asked to fail")),
            _ => Handled::ok(),
        }
    }

    async fn terminate(&mut self, _: &TerminateReason, cx: &mut Context<()>) {
        assert!(&**cx.topic() != "room:bomb", "asked to panic");
    }
}

fn endpoint() -> Endpoint {
    let channels = Channels::new().channel::<Room>("room:*");
    let options = SocketOptions::default().max_backlog(100_000).longpoll(LongPollOptions::new());
    Endpoint::builder(PubSub::local()).socket("/socket", TokenSocket, channels, options).build().unwrap()
}

async fn connect_refused(endpoint: &Endpoint, query: &str) -> u16 {
    let request = http::Request::builder().uri(format!("/socket/websocket?vsn=2.0.0&{query}"));
    let request = request.header("cookie", "session=cookiesecret").body(()).unwrap();
    let Some(Transport::WebSocket(handshake)) = endpoint.route("/socket/websocket") else {
        panic!("no WebSocket is mounted")
    };
    handshake.accept(request.into_parts().0, None).await.unwrap_err().status().as_u16()
}

/// The page of mistakes quotes the log; line breaks in it do not count.
fn mistakes_page_quotes(message: &str) -> bool {
    let page = include_str!("../../../../docs/mistakes.md");
    let words: Vec<&str> = page.split_whitespace().collect();
    words.join(" ").contains(message)
}

/// What a recorder got since it was last asked, by name and labels.
fn values(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let snapshot = snapshotter.snapshot().into_vec().into_iter();
    let entry = snapshot.map(|(key, _, _, value)| {
        let labels: Vec<String> =
            key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(samples) => samples.len() as f64,
        };
        (format!("{} {}", key.key().name(), labels.join(",")).trim().to_owned(), value)
    });
    entry.collect()
}

#[tokio::test(start_paused = true)]
async fn every_metric_counts_what_it_says() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();

    let mut client = Client::connect(&endpoint).await;
    assert_eq!(connect_refused(&endpoint, "token=wrong").await, 403);
    assert_eq!(connect_refused(&endpoint, "token=panic").await, 500);
    assert_eq!(connect_refused(&endpoint, "vsn=9.9.9").await, 403);
    client.join("room:1").await;
    for topic in ["room:deny", "room:crash"] {
        client.send(json!(["2", "2", topic, "phx_join", {}])).await;
        client.recv().await;
    }
    client.send(json!(["1", "3", "room:1", "shout", {"body": "hi"}])).await;
    assert_eq!(client.recv_event().await, "shout");
    assert_eq!(client.recv_event().await, "phx_reply");
    client.join("room:bomb").await;
    client.send(json!(["1", "4", "room:bomb", "phx_leave", {}])).await;
    client.recv().await;
    client.recv().await;
    client.join("room:2").await;
    client.send(json!(["1", "5", "room:2", "fail", {}])).await;
    assert_eq!(client.recv_event().await, "phx_error");

    endpoint.record_backlog();
    let while_open = values(&snapshotter);
    endpoint.disconnect("socket:1");
    assert_eq!(client.closed().await, 1001);
    client.cut().await;
    let since = values(&snapshotter);

    let mount = "mount=/socket,transport=websocket";
    let room = "mount=/socket,channel=room:*";
    for (name, expected) in [
        (format!("bennu_connects_total {mount},result=ok"), 1.0),
        (format!("bennu_connects_total {mount},result=refused"), 1.0),
        (format!("bennu_connects_total {mount},result=failed"), 1.0),
        (format!("bennu_connects_total {mount},result=rejected"), 1.0),
        (format!("bennu_connect_duration_seconds {mount}"), 3.0),
        (format!("bennu_connections {mount}"), 1.0),
        (format!("bennu_joins_total {room},result=ok"), 3.0),
        (format!("bennu_joins_total {room},result=refused"), 1.0),
        (format!("bennu_joins_total {room},result=crashed"), 1.0),
        (format!("bennu_join_duration_seconds {room}"), 4.0),
        (format!("bennu_channels {room}"), 1.0),
        (format!("bennu_handle_in_duration_seconds {room}"), 2.0),
        (format!("bennu_crashes_total {room},during=join"), 1.0),
        (format!("bennu_crashes_total {room},during=handler"), 1.0),
        (format!("bennu_crashes_total {room},during=terminate"), 1.0),
        (format!("bennu_received_frames_total {mount}"), 8.0),
        (format!("bennu_sent_frames_total {mount}"), 10.0),
        (format!("bennu_dropped_frames_total {mount}"), 0.0),
        ("bennu_broadcasts_total".to_owned(), 1.0),
        ("bennu_backlog_bytes".to_owned(), 0.0),
        ("bennu_backlog_max_bytes".to_owned(), 0.0),
    ] {
        assert_eq!(while_open.get(&name), Some(&expected), "{name} of {while_open:#?}");
    }
    assert!(while_open[&format!("bennu_received_bytes_total {mount}")] > 200.0);
    assert!(while_open[&format!("bennu_sent_bytes_total {mount}")] > 200.0);
    assert_eq!(since[&format!("bennu_connections {mount}")], -1.0);
    assert_eq!(since[&format!("bennu_channels {room}")], -1.0);
    assert_eq!(since[&format!("bennu_disconnects_total {mount},cause=disconnect")], 1.0);

    let described: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    for key in while_open.keys() {
        let name = key.split(' ').next().unwrap();
        assert!(described.contains(&name), "{name} is not in METRICS");
    }
    for name in described {
        assert!(while_open.keys().any(|key| key.split(' ').next() == Some(name)), "{name} is never recorded");
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_of_long_polling_are_counted_until_they_end() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();
    for origin in ["http://evil.example", "http://localhost"] {
        let request = get("").header("origin", origin).header("host", "localhost");
        send(&endpoint, request, "").await;
    }
    let refused = post("").header("origin", "http://evil.example").header("host", "localhost");
    assert_eq!(json_of(&send(&endpoint, refused, "").await)["status"], 403);
    assert_eq!(send(&endpoint, get("%ff"), "").await.status(), 400);
    let disconnected = Poller::open(&endpoint).await;
    disconnected.join("room:1").await;
    Poller::open(&endpoint).await.join("room:2").await;
    endpoint.record_backlog();
    let while_open = values(&snapshotter);
    endpoint.disconnect("socket:1");
    assert_eq!(disconnected.poll().await.0, 410);
    // That opened a session, which nobody polls.
    tokio::time::sleep(Duration::from_secs(31)).await;
    let since = values(&snapshotter);

    let mount = "mount=/socket,transport=longpoll";
    for (name, open, ended) in [
        (format!("bennu_connections {mount}"), 3.0, -3.0),
        (format!("bennu_connects_total {mount},result=ok"), 3.0, 1.0),
        (format!("bennu_connects_total {mount},result=rejected"), 2.0, 0.0),
        (format!("bennu_disconnects_total {mount},cause=disconnect"), 0.0, 3.0),
        (format!("bennu_disconnects_total {mount},cause=idle"), 0.0, 1.0),
        ("bennu_channels mount=/socket,channel=room:*".to_owned(), 2.0, -2.0),
        ("bennu_backlog_bytes".to_owned(), 0.0, 0.0),
    ] {
        assert_eq!((while_open[&name], since[&name]), (open, ended), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_counted_with_what_it_lost() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();
    let mut client = Client::connect_with(&endpoint, "vsn=2.0.0", 1024).await;
    client.join("room:1").await;
    let body = "x".repeat(30_000);
    for _ in 0..3 {
        endpoint.broadcast("room:1", "news", json!({ "body": body })).unwrap();
    }
    tokio::task::yield_now().await;
    endpoint.record_backlog();
    assert!(values(&snapshotter)["bennu_backlog_bytes"] > 80_000.0);
    for _ in 0..3 {
        endpoint.broadcast("room:1", "news", json!({ "body": body })).unwrap();
    }
    client.cut().await;
    let values = values(&snapshotter);
    let mount = "mount=/socket,transport=websocket";
    assert_eq!(values[&format!("bennu_disconnects_total {mount},cause=slow")], 1.0);
    assert!(values[&format!("bennu_dropped_frames_total {mount}")] >= 1.0, "{values:#?}");
}

#[tokio::test(start_paused = true)]
async fn attack_054_nothing_that_clients_choose_becomes_a_label() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let endpoint = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:0").await;
    let before: Vec<String> = values(&snapshotter).into_keys().collect();
    for number in 1..50 {
        let topic = format!("room:{number}");
        client.join(&topic).await;
        client.send(json!(["1", "2", topic, format!("event{number}"), {}])).await;
        client.recv().await;
        client.send(json!(["9", "9", format!("nowhere:{number}"), "phx_join", {}])).await;
        client.recv().await;
    }
    client.cut().await;
    let after: Vec<String> = values(&snapshotter).into_keys().collect();
    assert_eq!(before, after);
}

thread_local! {
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to the log of the thread, which is that of the test.
struct ThreadLog;

impl io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One subscriber for all tests: an event that another thread meets first without any would stay off for this one.
fn log_everything() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        tracing::subscriber::set_global_default(subscriber.with_writer(|| ThreadLog).finish()).unwrap();
    });
    LOG.with_borrow_mut(Vec::clear);
}

#[tokio::test(start_paused = true)]
async fn attack_054_logs_hold_no_secret_and_no_line_of_a_client() {
    log_everything();
    let endpoint = endpoint();

    let query = "vsn=2.0.0&token=tokensecret&user[password]=passwordsecret&api_key=keysecret&name=a%0D%0AERROR%20forged";
    let mut client = Client::connect_with(&endpoint, query, 64 * 1024).await;
    assert_eq!(connect_refused(&endpoint, "token=wrong&access_token=accesssecret").await, 403);
    assert_eq!(connect_refused(&endpoint, "token=panic&cookie=cookiesecret").await, 500);
    let injected = "room:\r\nERROR forged \u{1b}[31m";
    client.join(injected).await;
    client.send(json!(["1", "2", injected, "fail", {"password": "payloadsecret"}])).await;
    client.recv().await;
    client.send(json!(["1", "2", "room:deny", "phx_join", {"token": "joinsecret"}])).await;
    client.recv().await;
    client.send(json!({"not": "an array", "token": "framesecret"})).await;
    assert_eq!(client.closed().await, 1011);
    client.cut().await;

    let log = String::from_utf8(LOG.take()).unwrap();
    for expected in [
        "connected",
        "refused connection",
        "joined",
        "refused join",
        "handled",
        "crashed",
        "disconnected",
        "[FILTERED]",
    ] {
        assert!(log.contains(expected), "{expected} is missing in\n{log}");
    }
    for secret in [
        "tokensecret",
        "passwordsecret",
        "keysecret",
        "accesssecret",
        "cookiesecret",
        "payloadsecret",
        "joinsecret",
        "framesecret",
    ] {
        assert!(!log.contains(secret), "{secret} is in\n{log}");
    }
    assert!(!log.contains('\u{1b}') && !log.contains('\r'), "control characters are in\n{log}");
    assert!(!log.lines().any(|line| line.starts_with("ERROR forged")), "a forged line is in\n{log}");
}

#[tokio::test(start_paused = true)]
async fn a_large_broadcast_is_warned_about_once_per_topic() {
    log_everything();
    let endpoint = endpoint();
    let mut clients = [Client::connect(&endpoint).await, Client::connect(&endpoint).await];
    for client in &mut clients {
        client.join("room:1").await;
    }
    let fits = json!({"body": "x".repeat(65_536 - r#"{"body":""}"#.len())});
    endpoint.broadcast("room:1", "news", &fits).unwrap();
    assert!(!String::from_utf8(LOG.take()).unwrap().contains("a large payload"));

    let large = json!({"body": "x".repeat(65_536)});
    for _ in 0..3 {
        endpoint.broadcast("room:1", "news", &large).unwrap();
        endpoint.broadcast("room:2", "news", &large).unwrap();
    }
    let log = String::from_utf8(LOG.take()).unwrap();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("a large payload")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    let said = r#"topic="room:1" event="news" size=65547 subscribers=2 total=131094"#;
    assert!(warnings[0].contains("WARN") && warnings[0].contains(said), "{warnings:#?}");
    let message =
        "a large payload is broadcast whole to every subscriber: send an id, and let clients fetch the rest";
    assert!(warnings[0].contains(message) && mistakes_page_quotes(message));
}

#[tokio::test(start_paused = true)]
async fn the_size_that_is_warned_about_can_be_set() {
    log_everything();
    let endpoint = Endpoint::builder(PubSub::local()).large_broadcast(10).build().unwrap();
    endpoint.broadcast("room:1", "news", json!({"body": "hello"})).unwrap();
    assert!(String::from_utf8(LOG.take()).unwrap().contains("a large payload"));
}

#[test]
fn a_disabled_origin_check_is_warned_about_at_the_start() {
    for (check, warned) in [
        (CheckOrigin::Any, true),
        (CheckOrigin::Host, false),
        (CheckOrigin::list(["//example.com"]).unwrap(), false),
    ] {
        log_everything();
        let options = SocketOptions::default().check_origin(check);
        let channels = Channels::new().channel::<Room>("room:*");
        Endpoint::builder(PubSub::local()).socket("/open", TokenSocket, channels, options).build().unwrap();
        let log = String::from_utf8(LOG.take()).unwrap();
        let message = "any web page may connect here, with its visitor's address and network: \
                       name the pages that may with SocketOptions::check_origin";
        assert_eq!(log.contains(message), warned, "{log}");
        assert!(mistakes_page_quotes(message));
        assert_eq!(log.contains("mount=\"/open\""), warned, "{log}");
    }
}

#[test]
fn the_documented_table_is_the_list_of_metrics() {
    let document = include_str!("../../../../docs/metrics.md");
    let rows = document.lines().filter(|line| line.starts_with("| `bennu_"));
    let (link, rows): (Vec<&str>, Vec<&str>) = rows.partition(|line| line.starts_with("| `bennu_pubsub_"));
    let of_link = bennu_pubsub::METRICS.map(|(name, description)| format!("| `{name}` | {description} |"));
    assert_eq!(link, of_link, "\n{}", of_link.join("\n"));
    let expected = METRICS.iter().map(|metric| {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram, seconds",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        let telemetry = metric.telemetry.map_or("–".to_owned(), |event| format!("`{event}`"));
        format!("| `{}` | {kind} | {labels} | {} | {telemetry} |", metric.name, metric.description)
    });
    let expected: Vec<String> = expected.collect();
    assert_eq!(rows, expected, "\n{}", expected.join("\n"));
}
