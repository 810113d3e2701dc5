//! A small server of the contracts for plain text frames and for Socket.IO, which can be told to do wrong.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu_protocol::websocket::{Decoder, Item, Limits, Opcode, Role, encode_into, handshake};
use sha1::{Digest as _, Sha1};

/// What the server does to the messages that it answers or sends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    Honest,
    /// The first message is not sent.
    Lose,
    /// The first message is sent twice.
    Repeat,
    /// The first message is sent after the second.
    Reorder,
    /// A byte of the first message is another.
    Corrupt,
    /// The first message is followed by one that nobody sent.
    Invent,
    /// The connection ends in place of the first message.
    HangUp,
    /// All is right until everything seems over: what came last comes again, before a pong.
    RepeatAtTheEnd,
    /// No connection is upgraded.
    Refuse,
}

/// Where a connection's messages go: by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Echo,
    Fanout,
    Mixed,
    SocketIo,
}

/// A receiver of what is for all, with the manners towards it.
#[derive(Debug)]
struct Receiver {
    stream: TcpStream,
    wrongs: Wrongs,
}

type Receivers = Arc<Mutex<Vec<Receiver>>>;

/// Starts a server that lives as long as the process; it does wrong to one connection alone, the fourth.
pub(crate) fn start(manners: Manners) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let receivers = Receivers::default();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(stream) = stream else { continue };
            let manners = if number == 3 || manners == Manners::Refuse { manners } else { Manners::Honest };
            let receivers = Arc::clone(&receivers);
            // The client may end a connection at any moment.
            thread::spawn(move || serve(stream, manners, &receivers).unwrap_or_default());
        }
    });
    address
}

fn serve(mut stream: TcpStream, manners: Manners, receivers: &Receivers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some((dialect, accepted)) = upgrade(&mut stream, manners)? else { return Ok(()) };
    let mine = {
        // Nothing is sent to all between the answer and its place among them.
        let mut receivers = receivers.lock().expect("nobody panics");
        receivers.push(Receiver { stream: stream.try_clone()?, wrongs: Wrongs::new(manners) });
        stream.write_all(accepted.as_bytes())?;
        receivers.len() - 1
    };
    if dialect == Dialect::SocketIo {
        stream.write_all(&frame(r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#))?;
    }
    let mut last = String::new();
    converse(&mut stream, |text| {
        let mut receivers = receivers.lock().expect("nobody panics");
        let Some(text) = text else {
            if manners == Manners::RepeatAtTheEnd {
                receivers[mine].send(&last)?;
            }
            return receivers[mine].pong();
        };
        last = text.to_owned();
        match act(dialect, text) {
            Act::Answer(answer) => receivers[mine].answer(&answer),
            Act::ToAll(message) => {
                for receiver in receivers.iter_mut() {
                    // Those who left are no matter.
                    let _gone = receiver.send(&message);
                }
                Ok(())
            }
            Act::ToMe(message) => receivers[mine].send(&message),
        }
    })
}

enum Act {
    /// Of the protocol itself: always right.
    Answer(String),
    ToMe(String),
    ToAll(String),
}

fn act(dialect: Dialect, text: &str) -> Act {
    match dialect {
        Dialect::Echo => Act::ToMe(text.to_owned()),
        Dialect::Fanout => Act::ToAll(text.to_owned()),
        Dialect::Mixed if text.starts_with('e') => Act::ToMe(text.to_owned()),
        Dialect::Mixed => Act::ToAll(text.to_owned()),
        Dialect::SocketIo if text == "40" => Act::Answer(r#"40{"sid":"y"}"#.to_owned()),
        Dialect::SocketIo if text.starts_with(r#"42["shout","#) => Act::ToAll(text.to_owned()),
        Dialect::SocketIo => {
            let (reference, arguments) = text[2..].split_once('[').expect("an event with arguments");
            match arguments.strip_prefix(r#""echo","#) {
                Some(payload) => Act::ToMe(format!("43{reference}[{payload}")),
                None => Act::Answer(format!(r#"43{reference}["ok"]"#)),
            }
        }
    }
}

/// Reads messages, and pings as none, until the connection ends.
fn converse(stream: &mut TcpStream, mut each: impl FnMut(Option<&str>) -> io::Result<()>) -> io::Result<()> {
    let mut decoder = Decoder::new(Role::Server, Limits::default());
    let mut scratch = vec![0; 65_536];
    loop {
        let len = stream.read(&mut scratch)?;
        if len == 0 {
            return Ok(());
        }
        let mut unread = &mut scratch[..len];
        while let Some(item) = decoder.decode(&mut unread).map_err(io::Error::other)? {
            match item {
                Item::Text(text) => each(Some(str::from_utf8(&text).expect("the decoder checked it")))?,
                Item::Ping(_) => each(None)?,
                Item::Close(_) => return Ok(()),
                Item::Binary(_) | Item::Pong(_) => {}
            }
        }
    }
}

/// What the client wants to speak, and the response that accepts it; `None` when it is refused.
fn upgrade(stream: &mut TcpStream, manners: Manners) -> io::Result<Option<(Dialect, String)>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let dialect = match path.split('?').next().unwrap_or_default() {
        "/echo" => Dialect::Echo,
        "/fanout" => Dialect::Fanout,
        "/mixed" => Dialect::Mixed,
        "/socket.io/" => Dialect::SocketIo,
        _ => return stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").map(|()| None),
    };
    if manners == Manners::Refuse {
        return stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").map(|()| None);
    }
    let key = head.split("Sec-WebSocket-Key: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let accept = STANDARD.encode(Sha1::digest(handshake::accept_source(key.unwrap_or_default())));
    let accepted = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Ok(Some((dialect, accepted)))
}

impl Receiver {
    fn answer(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&frame(text))
    }

    fn pong(&mut self) -> io::Result<()> {
        let mut pong = Vec::new();
        encode_into(&mut pong, Opcode::Pong, b"", None);
        self.stream.write_all(&pong)
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        let bytes = self.wrongs.send(text);
        if self.wrongs.hangs_up() {
            return self.stream.shutdown(std::net::Shutdown::Both);
        }
        self.stream.write_all(&bytes)
    }
}

/// What is done to the messages to one connection.
#[derive(Debug)]
struct Wrongs {
    manners: Manners,
    sent: usize,
    held: Vec<u8>,
}

impl Wrongs {
    fn new(manners: Manners) -> Self {
        Self { manners, sent: 0, held: Vec::new() }
    }

    fn hangs_up(&self) -> bool {
        self.manners == Manners::HangUp
    }

    /// The bytes that go out in the place of a message.
    fn send(&mut self, text: &str) -> Vec<u8> {
        self.sent += 1;
        let right = frame(text);
        match (self.manners, self.sent) {
            (Manners::Lose, 1) => Vec::new(),
            (Manners::Repeat, 1) => right.repeat(2),
            (Manners::Reorder, 1) => {
                self.held = right;
                Vec::new()
            }
            (Manners::Reorder, 2) => [right, std::mem::take(&mut self.held)].concat(),
            // The "v" of the alphabet that fills it.
            (Manners::Corrupt, 1) => frame(&text.replace('v', "w")),
            (Manners::Invent, 1) => [right, frame(&text.replacen("000000.", "000009.", 1))].concat(),
            _ => right,
        }
    }
}

fn frame(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(&mut out, Opcode::Text, text.as_bytes(), None);
    out
}
