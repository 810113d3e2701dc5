//! The Elixir client `phoenix_socket_client` 0.7, frame by frame, as it writes them: refs are numbers as text, the
//! join_ref is the join's ref, a leave has none, and an asynchronous push has no ref. It sends no heartbeats.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::server::{Folder, Server};

/// A connection on which only text written here is sent.
struct Wire {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    topic: String,
}

impl Wire {
    /// Connects to follow a fresh job of `server`.
    async fn open(server: &Server, vsn: &str) -> Wire {
        let job = server.download("demo:waltz?seconds=5").await;
        let (stream, _) = connect_async(server.socket_url(vsn, &server.key)).await.unwrap();
        Wire { stream, topic: format!("jobs:{}", job["job_id"].as_str().unwrap()) }
    }

    /// Sends a frame, in which `TOPIC` stands for the job's.
    async fn send(&mut self, frame: &str) {
        self.stream.send(Message::text(frame.replace("TOPIC", &self.topic))).await.unwrap();
    }

    async fn receive(&mut self) -> Value {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected a text frame, got {other:?}"),
        }
    }

    /// The next frame that is no news of the job.
    async fn answer(&mut self, is_news: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.receive().await;
            if !is_news(&frame) {
                return frame;
            }
        }
    }
}

/// News of the job has the join_ref of the join, and no ref.
fn is_v2_news(frame: &Value) -> bool {
    let is_news = frame[3].as_str().is_some_and(|event| event.starts_with("job:"));
    assert!(!is_news || (&frame[0], &frame[1]) == (&json!("71"), &Value::Null), "{frame}");
    is_news
}

fn is_v1_news(frame: &Value) -> bool {
    let is_news = frame["event"].as_str().is_some_and(|event| event.starts_with("job:"));
    assert!(!is_news || frame["ref"].is_null(), "{frame}");
    is_news
}

#[tokio::test]
async fn phoenix_socket_client_0_7_follows_a_job_in_version_2() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let mut wire = Wire::open(&server, "2.0.0").await;
    let topic = wire.topic.clone();
    let ok = |join_ref: Value, reference: Value| json!([join_ref, reference, topic, "phx_reply", {"status": "ok", "response": {}}]);
    let unmatched = json!([null, "519", topic, "phx_reply",
        {"status": "error", "response": {"reason": "unmatched topic"}}]);
    for (what, frame, answers) in [
        ("Channel.join", r#"["71","71","TOPIC","phx_join",{}]"#, vec![ok("71".into(), "71".into())]),
        ("Channel.push", r#"["71","135","TOPIC","ping",{}]"#, vec![ok("71".into(), "135".into())]),
        // A reply without a ref goes to whoever joined.
        ("Channel.push_async", r#"["71",null,"TOPIC","ping",{}]"#, vec![ok("71".into(), Value::Null)]),
        ("SocketClient.push", r#"[null,"263","TOPIC","ping",{}]"#, vec![ok("71".into(), "263".into())]),
        (
            "Channel.leave",
            r#"[null,"391","TOPIC","phx_leave",{}]"#,
            vec![ok("71".into(), "391".into()), json!(["71", "71", topic, "phx_close", {}])],
        ),
        ("a push after the leave", r#"["71","519","TOPIC","ping",{}]"#, vec![unmatched]),
        (
            "a leave of what was left",
            r#"[null,"647","TOPIC","phx_leave",{}]"#,
            vec![ok(Value::Null, "647".into())],
        ),
    ] {
        wire.send(frame).await;
        for expected in answers {
            assert_eq!(wire.answer(is_v2_news).await, expected, "{what}");
        }
    }
}

#[tokio::test]
async fn phoenix_socket_client_0_7_follows_a_job_in_version_1() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let mut wire = Wire::open(&server, "1.0.0").await;
    let topic = wire.topic.clone();
    let ok = |reference: Value| {
        let payload = json!({"status": "ok", "response": {}});
        json!({"topic": topic, "event": "phx_reply", "ref": reference, "payload": payload})
    };
    // The channel's end carries the join_ref, which is the join's ref, in place of a ref.
    let closed = json!({"topic": topic, "event": "phx_close", "ref": "71", "payload": {}});
    for (what, frame, answers) in [
        (
            "Channel.join",
            r#"{"event":"phx_join","join_ref":"71","payload":{},"ref":"71","topic":"TOPIC"}"#,
            vec![ok("71".into())],
        ),
        (
            "Channel.push",
            r#"{"event":"ping","payload":{},"ref":"135","topic":"TOPIC"}"#,
            vec![ok("135".into())],
        ),
        (
            "Channel.push_async",
            r#"{"event":"ping","payload":{},"ref":null,"topic":"TOPIC"}"#,
            vec![ok(Value::Null)],
        ),
        (
            "Channel.leave",
            r#"{"event":"phx_leave","payload":{},"ref":"391","topic":"TOPIC"}"#,
            vec![ok("391".into()), closed],
        ),
    ] {
        wire.send(frame).await;
        for expected in answers {
            assert_eq!(wire.answer(is_v1_news).await, expected, "{what}");
        }
    }
}
