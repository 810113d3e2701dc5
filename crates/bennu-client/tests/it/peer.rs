//! Servers that do what a test tells them, and what a test does with a transport.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::time::Duration;

use bennu_client::transport::{Connection, ConnectionEvent, OpenError, OpenRequest, Transport};
use bennu_protocol::Frame;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A bound for what hangs, far from what anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Does something with the first connection to a free port.
pub(crate) async fn serve<F: Future<Output = T> + Send, T: Send + 'static>(
    script: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move { script(listener.accept().await.unwrap().0).await });
    (address, served)
}

/// What comes up to the empty line.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// The value of a header, its name in lower case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The 101 that answers a request, and lines behind those that it needs.
pub(crate) fn switching(request: &str, more: &str) -> String {
    let accept = derive_accept_key(header(request, "sec-websocket-key").unwrap().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )
}

/// Upgrades, and gives the head of the request.
pub(crate) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, more: &str) -> String {
    let request = read_head(stream).await;
    stream.write_all(switching(&request, more).as_bytes()).await.unwrap();
    request
}

pub(crate) async fn open(
    transport: &impl Transport,
    request: OpenRequest,
) -> Result<Box<dyn Connection>, OpenError> {
    tokio::time::timeout(PATIENCE, transport.open(request)).await.expect("it opens or fails")
}

pub(crate) async fn event(connection: &mut dyn Connection) -> ConnectionEvent {
    let next = poll_fn(|cx| connection.poll_event(cx));
    tokio::time::timeout(PATIENCE, next).await.expect("something happens")
}

/// Why a transport does not open.
pub(crate) async fn refusal(transport: &impl Transport, request: OpenRequest) -> OpenError {
    match open(transport, request).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

/// A connection with a task that drives it, as a socket has one.
pub(crate) struct Driven {
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::UnboundedReceiver<ConnectionEvent>,
}

enum Command {
    Send(Frame),
    Close(u16, String),
}

impl Driven {
    pub(crate) fn new(mut connection: Box<dyn Connection>) -> Self {
        let (commands, mut commanded) = mpsc::unbounded_channel();
        let (happened, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = poll_fn(|cx| connection.poll_event(cx)) => {
                        let is_end = matches!(event, ConnectionEvent::Closed(_));
                        if happened.send(event).is_err() || is_end {
                            return;
                        }
                    }
                    command = commanded.recv() => match command {
                        Some(Command::Send(frame)) => connection.send(frame),
                        Some(Command::Close(code, reason)) => connection.close(code, &reason),
                        None => return,
                    },
                }
            }
        });
        Driven { commands, events }
    }

    pub(crate) fn send(&self, frame: Frame) {
        self.commands.send(Command::Send(frame)).ok().unwrap();
    }

    pub(crate) fn close(&self, code: u16, reason: &str) {
        self.commands.send(Command::Close(code, reason.to_owned())).ok().unwrap();
    }

    pub(crate) async fn event(&mut self) -> ConnectionEvent {
        let next = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        next.expect("something happens").expect("it was not closed before")
    }
}
