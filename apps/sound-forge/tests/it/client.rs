//! A Phoenix client, as small as can be, for both versions of the protocol.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::server::Server;

/// The longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vsn {
    V1,
    V2,
}

pub(crate) struct Client {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    vsn: Vsn,
    next_ref: u32,
    /// Events that came while something else was waited for.
    waiting: VecDeque<Event>,
}

/// What a channel told its client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) topic: String,
    pub(crate) event: String,
    pub(crate) payload: Value,
}

/// The answer to a push or join.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: String,
    pub(crate) response: Value,
}

impl Client {
    /// Connects with the server's key.
    pub(crate) async fn connect(server: &Server, vsn: Vsn) -> Self {
        Self::with_token(server, vsn, &server.key).await.unwrap()
    }

    /// Connects; the HTTP status when refused.
    pub(crate) async fn with_token(server: &Server, vsn: Vsn, token: &str) -> Result<Self, u16> {
        let version = if vsn == Vsn::V1 { "1.0.0" } else { "2.0.0" };
        match connect_async(server.socket_url(version, token)).await {
            Ok((stream, _)) => Ok(Self { stream, vsn, next_ref: 1, waiting: VecDeque::new() }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn join(&mut self, topic: &str) -> Reply {
        self.push(topic, "phx_join").await
    }

    pub(crate) async fn push(&mut self, topic: &str, event: &str) -> Reply {
        let reference = self.next_ref.to_string();
        self.next_ref += 1;
        let text = match self.vsn {
            Vsn::V1 => json!({"topic": topic, "event": event, "payload": {}, "ref": reference}),
            Vsn::V2 => json!([topic, reference, topic, event, {}]),
        };
        self.stream.send(Message::text(text.to_string())).await.unwrap();
        loop {
            let (got_reference, event) = self.receive().await.expect("the connection is open");
            if event.event == "phx_reply" && got_reference.as_deref() == Some(&reference) {
                let status = event.payload["status"].as_str().unwrap().to_owned();
                return Reply { status, response: event.payload["response"].clone() };
            }
            self.waiting.push_back(event);
        }
    }

    /// The next event of any channel.
    pub(crate) async fn event(&mut self) -> Event {
        match self.waiting.pop_front() {
            Some(event) => event,
            None => self.receive().await.expect("the connection is open").1,
        }
    }

    /// Everything a job's channel tells, from now to its end, which comes last.
    pub(crate) async fn until_the_end(&mut self, topic: &str) -> Vec<Event> {
        let mut told = Vec::new();
        loop {
            let event = self.event().await;
            assert_eq!(event.topic, topic);
            let is_end = event.event != "job:progress";
            told.push(event);
            if is_end {
                return told;
            }
        }
    }

    /// Asserts that nothing but the answer to a ping comes.
    pub(crate) async fn assert_silent(&mut self, topic: &str) {
        assert_eq!(self.push(topic, "ping").await.status, "ok");
        assert_eq!(self.waiting, VecDeque::new());
    }

    /// Waits until the server closes the connection.
    pub(crate) async fn closed(&mut self) {
        while self.receive().await.is_some() {}
    }

    async fn receive(&mut self) -> Option<(Option<String>, Event)> {
        let next = tokio::time::timeout(PATIENCE, self.stream.next());
        let Some(Ok(Message::Text(text))) = next.await.expect("something comes in time") else { return None };
        let message: Value = serde_json::from_str(&text).unwrap();
        let field = |name: &str, place: usize| match self.vsn {
            Vsn::V1 => message[name].clone(),
            Vsn::V2 => message[place].clone(),
        };
        let text = |value: Value| value.as_str().map(str::to_owned);
        let (topic, event) = (text(field("topic", 2)).unwrap(), text(field("event", 3)).unwrap());
        Some((text(field("ref", 1)), Event { topic, event, payload: field("payload", 4) }))
    }
}

impl Reply {
    pub(crate) fn is_ok(&self) -> bool {
        self.status == "ok"
    }

    pub(crate) fn is_error(&self) -> bool {
        self.status == "error"
    }
}
