//! A client that polls, without a socket: it hands requests to the endpoint.

use bennu_server::{Endpoint, Transport};
use bytes::Bytes;
use http::request::Builder;
use http::{Method, Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};

/// Where the tests mount their socket.
pub(crate) const PATH: &str = "/socket/longpoll";

/// One long-poll session, speaking version 2.
#[derive(Clone)]
pub(crate) struct Poller {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: String,
}

/// What a request came to: the status that counts, and the messages.
pub(crate) type Polled = (u64, Vec<Value>);

impl Poller {
    /// Opens a session at `/socket`.
    pub(crate) async fn open(endpoint: &Endpoint) -> Self {
        let answer = json_of(&send(endpoint, get(""), "").await);
        assert_eq!((&answer["status"], &answer["messages"]), (&json!(410), &json!([])));
        Poller { endpoint: endpoint.clone(), token: token_of(&answer) }
    }

    /// The same session, at another node.
    pub(crate) fn at(&self, endpoint: &Endpoint) -> Self {
        Poller { endpoint: endpoint.clone(), token: self.token.clone() }
    }

    /// Joins `topic` with join_ref and ref `"1"`, and takes the ok reply.
    pub(crate) async fn join(&self, topic: &str) {
        assert_eq!(self.post([json!(["1", "1", topic, "phx_join", {}])]).await, 200);
        let reply = json!(["1", "1", topic, "phx_reply", {"status": "ok", "response": {}}]);
        assert_eq!(self.poll().await, (200, vec![reply]));
    }

    /// Polls; a session that lives must keep its token.
    pub(crate) async fn poll(&self) -> Polled {
        let answer = json_of(&send(&self.endpoint, get(&self.token), "").await);
        if answer["status"] != 410 {
            assert_eq!(answer["token"], self.token);
        }
        let messages = answer["messages"].as_array().unwrap().iter();
        let messages = messages.map(|message| serde_json::from_str(message.as_str().unwrap()).unwrap());
        (answer["status"].as_u64().unwrap(), messages.collect())
    }

    /// Posts messages as lines.
    pub(crate) async fn post(&self, messages: impl IntoIterator<Item = Value>) -> u64 {
        let lines: Vec<String> = messages.into_iter().map(|message| message.to_string()).collect();
        self.post_body(&lines.join("\n")).await
    }

    /// Posts a body of lines.
    pub(crate) async fn post_body(&self, body: &str) -> u64 {
        let answer = send(&self.endpoint, post(&self.token), body).await;
        json_of(&answer)["status"].as_u64().unwrap()
    }
}

pub(crate) fn get(token: &str) -> Builder {
    Request::builder().uri(format!("{PATH}?vsn=2.0.0&token={token}"))
}

pub(crate) fn post(token: &str) -> Builder {
    get(token).method(Method::POST).header("content-type", "application/x-ndjson")
}

/// Sends any request to the endpoint's long polling.
pub(crate) async fn send(endpoint: &Endpoint, request: Builder, body: &str) -> Response<Bytes> {
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    let (parts, body) = request.body(body).unwrap().into_parts();
    let path = parts.uri.path().to_owned();
    let Some(Transport::LongPoll(longpoll)) = endpoint.route(&path) else {
        panic!("no long polling is mounted at {path}")
    };
    longpoll.answer(parts, None, body).await
}

pub(crate) fn json_of(response: &Response<Bytes>) -> Value {
    assert_eq!(response.status(), 200);
    serde_json::from_slice(response.body()).unwrap()
}

pub(crate) fn token_of(answer: &Value) -> String {
    answer["token"].as_str().unwrap().to_owned()
}
