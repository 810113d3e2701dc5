//! A client at the other end of a stream in memory.

use std::time::Duration;

use crate::handshake::ask;
use bennu_protocol::websocket::{
    Decoder, Extension, FrameHeader, Item, Limits, Opcode, Role, encode_masked, permessage_deflate,
};
use bennu_server::{Endpoint, Transport, Upgrade};
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

/// Long enough for all that happens at once, on a clock that jumps.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks for an upgrade at `/socket`.
pub(crate) async fn shake(endpoint: &Endpoint, query: &str) -> Result<Upgrade, Box<Response<Bytes>>> {
    let request = http::Request::builder()
        .uri(format!("/socket/websocket?{query}"))
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap();
    let Some(Transport::WebSocket(handshake)) = endpoint.route("/socket/websocket") else {
        panic!("no WebSocket is mounted")
    };
    handshake.accept(request.into_parts().0, None).await
}

/// One connected client, speaking version 2.
pub(crate) struct Client {
    stream: DuplexStream,
    decoder: Decoder,
    unread: Vec<u8>,
    connection: JoinHandle<()>,
}

impl Client {
    /// Connects to `/socket`.
    pub(crate) async fn connect(endpoint: &Endpoint) -> Self {
        Client::connect_with(endpoint, "vsn=2.0.0", 64 * 1024).await
    }

    /// Connects with a query, over a stream that holds so many bytes each way.
    pub(crate) async fn connect_with(endpoint: &Endpoint, query: &str, buffer: usize) -> Self {
        Client::try_connect(endpoint, query, buffer).await.unwrap()
    }

    /// As [`connect_with`](Self::connect_with), or the status of the refusal.
    pub(crate) async fn try_connect(endpoint: &Endpoint, query: &str, buffer: usize) -> Result<Self, u16> {
        let upgrade = shake(endpoint, query).await.map_err(|refused| refused.status().as_u16())?;
        Ok(Client::upgraded(upgrade, buffer))
    }

    /// The client of an accepted handshake.
    pub(crate) fn upgraded(upgrade: Upgrade, buffer: usize) -> Self {
        let (stream, server) = tokio::io::duplex(buffer);
        let connection = tokio::spawn(upgrade.run(server));
        let decoder = Decoder::new(Role::Client, Limits::default());
        Client { stream, decoder, unread: Vec::new(), connection }
    }

    /// Connects offering compression, and is to be answered with it.
    pub(crate) async fn connect_compressed(endpoint: &Endpoint) -> Self {
        let offer = ("sec-websocket-extensions", permessage_deflate::OFFER);
        let upgrade = ask(endpoint, "vsn=2.0.0", &[offer]).await.unwrap();
        let answer = upgrade.response.headers().get("sec-websocket-extensions");
        let agreed = permessage_deflate::agreed(answer.map(|value| value.to_str().unwrap()));
        assert_eq!(agreed, Ok(Extension::Deflate));
        let mut client = Client::upgraded(upgrade, 64 * 1024);
        client.decoder = Decoder::new(Role::Client, Limits::default()).inflating(1 << 20);
        client
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: Value) {
        self.send_frame(Opcode::Text, message.to_string().as_bytes()).await;
    }

    pub(crate) async fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        self.stream.write_all(&encode_masked(opcode, payload, [1, 2, 3, 4])).await.unwrap();
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Takes the next frame off the stream, as it travels.
    pub(crate) async fn take_frame(&mut self) -> (FrameHeader, Vec<u8>) {
        loop {
            if let Some(header) = FrameHeader::parse(&self.unread, Extension::Deflate).unwrap() {
                let start = header.encoded_len();
                let end = start + header.payload_len as usize;
                if end <= self.unread.len() {
                    let frame = self.unread.drain(..end).skip(start).collect();
                    return (header, frame);
                }
            }
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
            let count = read.expect("nothing came in time").unwrap();
            assert!(count > 0, "the stream ended");
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }

    /// Takes one byte off the stream, if there is one still; how many it took.
    pub(crate) async fn take_byte(&mut self) -> usize {
        self.stream.read(&mut [0]).await.unwrap_or_default()
    }

    /// Joins `topic` with join_ref and ref `"1"`, and takes the ok reply.
    pub(crate) async fn join(&mut self, topic: &str) {
        self.send(json!(["1", "1", topic, "phx_join", {}])).await;
        let reply = json!(["1", "1", topic, "phx_reply", {"status": "ok", "response": {}}]);
        assert_eq!(self.recv().await, reply);
    }

    /// The next message.
    pub(crate) async fn recv(&mut self) -> Value {
        match self.next().await {
            Some(Item::Text(text)) => serde_json::from_slice(&text).unwrap(),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// The next message, which may take so many seconds.
    pub(crate) async fn recv_within(&mut self, seconds: u64) -> Value {
        let read = tokio::time::timeout(Duration::from_secs(seconds), self.read()).await;
        match read.expect("nothing came in time") {
            Some(Item::Text(text)) => serde_json::from_slice(&text).unwrap(),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// The next message, or the code with which the server closes.
    pub(crate) async fn recv_or_closed(&mut self) -> Result<Value, u16> {
        match self.next().await {
            Some(Item::Text(text)) => Ok(serde_json::from_slice(&text).unwrap()),
            Some(Item::Close(frame)) => Err(frame.unwrap().code),
            other => panic!("expected a message or the end, got {other:?}"),
        }
    }

    /// The next message, if one comes at once.
    pub(crate) async fn recv_soon(&mut self) -> Option<Value> {
        match tokio::time::timeout(Duration::from_millis(1), self.read()).await {
            Ok(Some(Item::Text(text))) => Some(serde_json::from_slice(&text).unwrap()),
            Ok(other) => panic!("expected a message or silence, got {other:?}"),
            Err(_) => None,
        }
    }

    /// The event of the next message.
    pub(crate) async fn recv_event(&mut self) -> String {
        self.recv().await[3].as_str().unwrap().to_owned()
    }

    /// The code with which the server closes, and that the stream ends.
    pub(crate) async fn closed(&mut self) -> u16 {
        self.closed_within(PATIENCE).await
    }

    /// The same, for a server that takes its time.
    pub(crate) async fn closed_within(&mut self, patience: Duration) -> u16 {
        loop {
            let read = tokio::time::timeout(patience, self.read()).await;
            match read.expect("no close frame came in time") {
                Some(Item::Close(frame)) => return frame.unwrap().code,
                Some(_) => {}
                None => panic!("the stream ended without a close frame"),
            }
        }
    }

    /// The messages in front of the close frame, and its code.
    pub(crate) async fn recv_until_closed(&mut self) -> (Vec<Value>, u16) {
        let mut messages = Vec::new();
        loop {
            match self.next().await {
                Some(Item::Text(text)) => messages.push(serde_json::from_slice(&text).unwrap()),
                Some(Item::Close(frame)) => return (messages, frame.unwrap().code),
                other => panic!("expected a message or a close frame, got {other:?}"),
            }
        }
    }

    /// Asserts that the server has nothing to say.
    pub(crate) async fn hears_nothing(&mut self) {
        let heard = tokio::time::timeout(PATIENCE, self.read()).await;
        assert!(heard.is_err(), "expected silence, got {heard:?}");
    }

    /// Cuts the stream, and waits until the connection has ended.
    pub(crate) async fn cut(self) {
        drop(self.stream);
        self.connection.await.unwrap();
    }

    /// Whether the connection's task has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.connection.is_finished()
    }

    async fn next(&mut self) -> Option<Item> {
        let read = tokio::time::timeout(PATIENCE, self.read()).await;
        read.expect("nothing came in time")
    }

    async fn read(&mut self) -> Option<Item> {
        loop {
            let mut unread = self.unread.as_mut_slice();
            let item = self.decoder.decode(&mut unread).unwrap();
            let left = unread.len();
            self.unread.drain(..self.unread.len() - left);
            if item.is_some() {
                return item;
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await.unwrap() {
                0 => return None,
                count => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }
}
