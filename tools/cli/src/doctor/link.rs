//! A WebSocket to the target.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bennu_protocol::websocket::{
    Decoder, Extension, Item, Limits, Opcode, Role, close, encode_masked, handshake, permessage_deflate,
};
use bennu_protocol::{Body, Frame, Message, Payload, Ref, Serializer, ServerMessage, Status};
use http::{HeaderValue, Method, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::http::{self as requests, Answer};
use super::target::Target;

/// So large may a message become that came compressed.
const MAX_INFLATED: usize = 8_000_000;

/// What to ask for in a handshake.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) vsn: &'a str,
    pub(super) origin: Option<&'a str>,
    pub(super) compression: bool,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Ask { vsn: Serializer::V2.vsn(), origin: None, compression: false }
    }
}

/// What came of it.
pub(super) enum Opened {
    Link(Link),
    /// Another status than 101.
    Refused(Answer),
}

/// An open WebSocket.
pub(super) struct Link {
    stream: TokioIo<Upgraded>,
    decoder: Decoder,
    serializer: Serializer,
    /// What is read and not decoded yet.
    unread: Vec<u8>,
    references: u32,
    /// What the server answered to the offer of compression.
    pub(super) extension: Result<Extension, permessage_deflate::AnswerError>,
}

/// What came from the server.
#[derive(Debug)]
pub(super) enum Received {
    Message(ServerMessage),
    /// The connection's end, by a close frame or without.
    Closed(Option<u16>),
    /// Nothing, in the time that was given.
    Nothing,
}

impl Link {
    /// Asks for an upgrade.
    pub(super) async fn open(target: &Target, ask: Ask<'_>) -> anyhow::Result<Opened> {
        let begin = Instant::now();
        let opening = async {
            let key = STANDARD.encode(random::<16>()?);
            let mut request = requests::request(
                target,
                Method::GET,
                &target.path("websocket", ask.vsn, &[])?,
                String::new(),
            )?;
            put_headers(request.headers_mut(), target, ask, &key)?;
            let mut response = requests::exchange(target, request).await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Opened::Refused(requests::read(response, begin).await?));
            }
            let answered = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
            let expected = STANDARD.encode(Sha1::digest(handshake::accept_source(&key)));
            ensure!(
                answered == Some(expected.as_bytes()),
                "it answers 101, but not to this request: its Sec-WebSocket-Accept is wrong"
            );
            let extensions = response.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
            let extensions: Vec<&str> = extensions.filter_map(|value| value.to_str().ok()).collect();
            let extension = permessage_deflate::agreed(extensions);
            let stream = TokioIo::new(hyper::upgrade::on(&mut response).await.context("the upgrade")?);
            Ok(Opened::Link(Link::new(stream, ask, extension)))
        };
        requests::within(target.timeout, opening).await?
    }

    fn new(
        stream: TokioIo<Upgraded>,
        ask: Ask<'_>,
        extension: Result<Extension, permessage_deflate::AnswerError>,
    ) -> Self {
        let decoder = Decoder::new(Role::Client, Limits::default());
        let decoder = match extension {
            Ok(Extension::Deflate) => decoder.inflating(MAX_INFLATED),
            Ok(Extension::None) | Err(_) => decoder,
        };
        let serializer = Serializer::negotiate(ask.vsn).unwrap_or(Serializer::V2);
        Link { stream, decoder, serializer, unread: Vec::new(), references: 0, extension }
    }

    /// Sends a heartbeat, and gives its ref.
    pub(super) async fn heartbeat(&mut self) -> anyhow::Result<u32> {
        self.references += 1;
        let message = Message {
            join_ref: None,
            reference: Some(Ref::from_text(&self.references.to_string())),
            topic: "phoenix".into(),
            event: "heartbeat".into(),
            payload: Payload::empty(),
        };
        let frame = self.serializer.encode_message(&message)?;
        let bytes = encode_masked(Opcode::Text, &frame.payload(), random()?);
        // Where the connection has ended, whoever reads next hears of it.
        let _ = self.send(&bytes).await;
        Ok(self.references)
    }

    /// The next message that is the reply to this heartbeat.
    pub(super) async fn replied(&mut self, reference: u32, timeout: Duration) -> anyhow::Result<Received> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive(left).await? {
                Received::Message(message) if is_reply(&message, reference) => {
                    return Ok(Received::Message(message));
                }
                Received::Message(_) => {}
                end @ (Received::Closed(_) | Received::Nothing) => return Ok(end),
            }
        }
    }

    /// The next message; pings are answered meanwhile.
    pub(super) async fn receive(&mut self, timeout: Duration) -> anyhow::Result<Received> {
        match tokio::time::timeout(timeout, self.read_message()).await {
            Ok(received) => received,
            Err(_) => Ok(Received::Nothing),
        }
    }

    /// What is read lies in `unread` when this is dropped halfway, except for a pong's last bytes: then the link is given up.
    async fn read_message(&mut self) -> anyhow::Result<Received> {
        loop {
            let mut input = self.unread.as_mut_slice();
            let item = self.decoder.decode(&mut input).context("the server breaks the WebSocket protocol")?;
            let left = input.len();
            self.unread.drain(..self.unread.len() - left);
            match item {
                Some(Item::Text(bytes)) => {
                    let message = self
                        .serializer
                        .decode_server(Frame::text(bytes))
                        .context("the server sends what is no message of Phoenix")?;
                    return Ok(Received::Message(message));
                }
                // As in `heartbeat`.
                Some(Item::Ping(payload)) => drop(self.write(Opcode::Pong, &payload).await),
                Some(Item::Close(frame)) => return Ok(Received::Closed(frame.map(|frame| frame.code))),
                Some(Item::Binary(_) | Item::Pong(_)) => {}
                None => {
                    if self.stream.read_buf(&mut self.unread).await.unwrap_or(0) == 0 {
                        return Ok(Received::Closed(None));
                    }
                }
            }
        }
    }

    async fn write(&mut self, opcode: Opcode, payload: &[u8]) -> anyhow::Result<()> {
        Ok(self.send(&encode_masked(opcode, payload, random()?)).await?)
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Says goodbye; that the server hears it is not waited for.
    pub(super) async fn close(mut self) {
        // It may be gone already, which is as good.
        let _ = self.write(Opcode::Close, &close::NORMAL.to_be_bytes()).await;
        let _ = self.stream.shutdown().await;
    }
}

fn put_headers(
    headers: &mut http::HeaderMap,
    target: &Target,
    ask: Ask<'_>,
    key: &str,
) -> anyhow::Result<()> {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(handshake::VERSION));
    headers.insert(header::SEC_WEBSOCKET_KEY, key.parse()?);
    if let Some(origin) = ask.origin {
        headers.insert(header::ORIGIN, origin.parse()?);
    }
    if ask.compression {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(permessage_deflate::OFFER));
    }
    if let Some(token) = target.auth_token() {
        // As the client does: despite the name, Phoenix reads standard base64.
        let protocols = format!("phoenix, base64url.bearer.phx.{}", STANDARD_NO_PAD.encode(token));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols.parse()?);
    }
    Ok(())
}

fn is_reply(message: &ServerMessage, expected: u32) -> bool {
    let ok = matches!(&message.body, Body::Reply { status: Status::Ok, .. });
    ok && message.reference == Some(Ref::from_text(&expected.to_string()))
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(bytes)
}
