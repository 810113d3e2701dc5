//! A peer that writes what it likes.

use std::net::SocketAddr;
use std::time::Duration;

use bennu_protocol::websocket::{Decoder, Item, Limits, Opcode, Role, encode_masked};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// How long an answer may take before the test gives up, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection, TCP's own by default, and what has been read from it ahead of need.
pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
    decoder: Decoder,
    unread: Vec<u8>,
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// The head of an upgrade request.
pub(crate) const UPGRADE: &str = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: localhost\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

impl Peer {
    pub(crate) async fn open(address: SocketAddr) -> Peer {
        Peer::over(TcpStream::connect(address).await.unwrap())
    }

    /// A peer whose kernel takes little that it does not read.
    pub(crate) async fn open_narrow(address: SocketAddr) -> Peer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        Peer::over(socket.connect(address).await.unwrap())
    }

    fn over(stream: TcpStream) -> Peer {
        stream.set_nodelay(true).unwrap();
        Peer::on(stream)
    }

    /// A WebSocket at `/socket`.
    pub(crate) async fn connect(address: SocketAddr) -> Peer {
        Peer::open(address).await.upgraded().await
    }

    /// A WebSocket that has joined `topic` with join_ref and ref `"1"`.
    pub(crate) async fn joined(address: SocketAddr, topic: &str) -> Peer {
        let mut peer = Peer::connect(address).await;
        peer.join(topic).await;
        peer
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn on(stream: S) -> Self {
        Peer { stream, decoder: Decoder::new(Role::Client, Limits::default()), unread: Vec::new() }
    }

    pub(crate) async fn upgraded(mut self) -> Self {
        self.write(UPGRADE).await;
        let answer = self.answer().await;
        assert_eq!(answer.status, 101, "{answer:?}");
        self
    }

    /// Joins, and returns the response.
    pub(crate) async fn join(&mut self, topic: &str) -> Value {
        self.send(json!(["1", "1", topic, "phx_join", {}])).await;
        let reply = self.recv().await;
        assert_eq!(reply[3], "phx_reply");
        reply[4]["response"].clone()
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The answer to a request.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("the connection ended without an answer")
    }

    /// The answer to a request, or `None` if the connection ends instead.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let end = loop {
            match self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.fill().await?,
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap().to_ascii_lowercase();
        let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next());
        let length = length.map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            self.fill().await?;
        }
        let body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { status, body })
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_frame(Opcode::Text, message.to_string().as_bytes()).await;
    }

    pub(crate) async fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        self.write(encode_masked(opcode, payload, [1, 2, 3, 4])).await;
    }

    /// The next frame; `None` when the connection has ended, in order or not.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        loop {
            let mut unread = self.unread.as_mut_slice();
            let item = self.decoder.decode(&mut unread).unwrap();
            let left = unread.len();
            self.unread.drain(..self.unread.len() - left);
            if item.is_some() {
                return item;
            }
            self.fill().await?;
        }
    }

    /// The next message.
    pub(crate) async fn recv(&mut self) -> Value {
        match self.next().await {
            Some(Item::Text(text)) => serde_json::from_slice(&text).unwrap(),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// The code with which the server closes.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Some(Item::Close(frame)) => return frame.unwrap().code,
                Some(_) => {}
                None => panic!("the stream ended without a close frame"),
            }
        }
    }

    /// Asserts that the server ends the connection, and says nothing before.
    pub(crate) async fn ended(&mut self) {
        let more = self.fill().await;
        assert_eq!(more, None, "{:?}", String::from_utf8_lossy(&self.unread));
    }

    /// A push of `event` on `topic` is answered.
    pub(crate) async fn expect_echo(&mut self, topic: &str) {
        self.send(json!(["1", "echo", topic, "echo", {}])).await;
        assert_eq!(self.recv().await[1], "echo");
    }

    async fn fill(&mut self) -> Option<()> {
        let mut buffer = [0; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        match read.expect("the server says nothing and does not end the connection") {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                Some(())
            }
        }
    }
}
