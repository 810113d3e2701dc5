//! The same script for clients in other processes: WebSockets over TCP.

use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bennu_protocol::Frame;
use bennu_protocol::client::{ConnectionEnd, ConnectionEvent, OpenError, OpenRequest};
use bennu_protocol::websocket::handshake::accept_source;
use bennu_protocol::websocket::{
    CloseFrame, Decoder, Item, Limits, Opcode, ProtocolViolation, Role, encode_frame,
};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::link::Link;
use super::server::Desk;
use super::transport::ClientEnd;

/// How long the head of a request may be.
const MAX_HEAD: usize = 64 * 1024;

/// How long a client may take to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(1);

/// Stands for a close frame without a code, and does not travel.
const NO_CODE: u16 = 1005;

/// What comes before a token that is offered as a sub-protocol.
const BEARER: &str = "base64url.bearer.phx.";

/// A listener that stops, with all its connections, when it is dropped.
pub(super) struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listener {
    /// Listens on a free port, and tells where.
    pub(super) async fn start(desk: Arc<Desk>) -> io::Result<(Self, String)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("ws://{}/socket/websocket", listener.local_addr()?);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let desk = Arc::clone(&desk);
                connections.spawn(async move {
                    // One that breaks is like one that is gone: the script's side says so.
                    let _ = serve(stream, &desk).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok((Listener(task), url))
    }
}

async fn serve(mut stream: TcpStream, desk: &Desk) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(head) = Head::read(&mut stream).await? else { return Ok(()) };
    let answer = desk.ask(head.request());
    let mut byte = [0];
    let opened = tokio::select! {
        opened = answer => opened,
        // It gave up, unless it has something to say before it may.
        Ok(0) | Err(_) = stream.peek(&mut byte) => return Ok(()),
    };
    match opened {
        Ok(link) => {
            stream.write_all(head.switching().as_bytes()).await?;
            converse(stream, &ClientEnd::new(link)).await
        }
        Err(OpenError::Refused { status, body, retry_after }) => {
            let retry =
                retry_after.map(|after| format!("retry-after: {}\r\n", after.as_secs())).unwrap_or_default();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\n{retry}content-length: {length}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            stream.shutdown().await
        }
        Err(_) => Ok(()),
    }
}

/// Carries frames both ways until the connection ends.
async fn converse(mut stream: TcpStream, end: &ClientEnd) -> io::Result<()> {
    let link = &end.link;
    let mut decoder = Decoder::new(Role::Server, Limits::default());
    let mut buffer = vec![0; 16 * 1024];
    loop {
        // The script's word goes first, so that what it sends before it stops reading is sent.
        tokio::select! {
            biased;
            event = poll_fn(|cx| link.poll_event(cx)) => match event {
                ConnectionEvent::Frame(frame) => stream.write_all(&frame.into_websocket()).await?,
                ConnectionEvent::Closed(end) => return say_goodbye(stream, end).await,
                _ => {}
            },
            read = read_when_ready(link, &mut stream, &mut buffer) => match read? {
                0 => return Ok(()),
                count => take_in(link, &mut stream, &mut decoder, &mut buffer[..count]).await?,
            },
        }
    }
}

/// Reads as soon as the script does. Dropping this loses nothing.
async fn read_when_ready(link: &Link, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| link.poll_ready(cx)).await;
    stream.read(buffer).await
}

async fn take_in(
    link: &Link,
    stream: &mut TcpStream,
    decoder: &mut Decoder,
    mut unread: &mut [u8],
) -> io::Result<()> {
    while let Some(item) = decoder.decode(&mut unread).map_err(violation)? {
        match item {
            Item::Text(text) => link.receive(Frame::text(text)),
            Item::Binary(bytes) => link.receive(Frame::binary(bytes)),
            Item::Ping(data) => stream.write_all(&encode_frame(Opcode::Pong, &data)).await?,
            Item::Pong(_) => {}
            Item::Close(None) => link.close_from_client(NO_CODE, ""),
            Item::Close(Some(CloseFrame { code, reason })) => link.close_from_client(code, &reason),
        }
    }
    Ok(())
}

fn violation(violation: ProtocolViolation) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, violation)
}

/// Sends the close frame, if there is one to send, and gives the client time for its own.
async fn say_goodbye(mut stream: TcpStream, end: ConnectionEnd) -> io::Result<()> {
    if !end.was_clean {
        return Ok(());
    }
    let body = match end.code {
        NO_CODE => Vec::new(),
        code => CloseFrame { code, reason: end.reason }.to_payload(),
    };
    stream.write_all(&encode_frame(Opcode::Close, &body)).await?;
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    let farewell = async {
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::time::timeout(FAREWELL, farewell).await.unwrap_or(Ok(()))
}

/// The head of a request.
struct Head {
    target: String,
    headers: Vec<(String, String)>,
}

impl Head {
    async fn read(stream: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut text = Vec::new();
        // Byte by byte, so that nothing behind it is taken: it is short.
        while !text.ends_with(b"\r\n\r\n") {
            if text.len() == MAX_HEAD {
                return Ok(None);
            }
            text.push(stream.read_u8().await?);
        }
        Ok(Head::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let target = lines.next()?.split(' ').nth(1)?.to_owned();
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        });
        Some(Head { target, headers: headers.collect() })
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn request(&self) -> OpenRequest {
        let host = self.header("host").unwrap_or("localhost");
        let mut request = OpenRequest::new(format!("ws://{host}{}", self.target));
        request.headers = self.headers.clone();
        let offered = self.header("sec-websocket-protocol").unwrap_or_default().split(',');
        let token = offered.filter_map(|protocol| protocol.trim().strip_prefix(BEARER)).next();
        request.auth_token = token.and_then(|token| {
            let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok()?;
            String::from_utf8(bytes).ok()
        });
        request
    }

    fn switching(&self) -> String {
        let key = accept_source(self.header("sec-websocket-key").unwrap_or_default());
        let accept = STANDARD.encode(Sha1::digest(key.as_bytes()));
        let mut offered = self.header("sec-websocket-protocol").unwrap_or_default().split(',');
        let protocol = match offered.any(|protocol| protocol.trim() == "phoenix") {
            true => "sec-websocket-protocol: phoenix\r\n",
            false => "",
        };
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n{protocol}sec-websocket-accept: {accept}\r\n\r\n"
        )
    }
}
