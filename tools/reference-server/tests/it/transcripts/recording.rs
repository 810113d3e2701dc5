//! A recorded conversation, as it lies in `tests/transcripts`.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::wire;

/// One file.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) file: String,
    pub(crate) events: Vec<Event>,
}

/// One line of a file.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) number: u32,
    /// Milliseconds since the start.
    pub(crate) at: f64,
    /// The connection; empty for a request on a connection of its own.
    pub(crate) connection: String,
    pub(crate) act: Act,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Sent(Sent),
    Received(Received),
    /// What comes next, in words; some of them are deeds.
    Note(String),
}

/// What the client did.
#[derive(Debug, Clone)]
pub(crate) enum Sent {
    /// A frame, which may break any rule. A text frame may name what the server said before.
    Frame {
        opcode: u8,
        fin: bool,
        rsv: u8,
        masked: bool,
        payload: Vec<u8>,
    },
    Request {
        method: String,
        path: String,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// The end of the TCP connection.
    End,
}

/// What the server did.
#[derive(Debug, Clone)]
pub(crate) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// The end of the TCP connection, in order.
    Fin,
}

/// A line, field by field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    i: u32,
    t_ms: f64,
    #[serde(default)]
    conn: String,
    dir: Option<String>,
    kind: String,
    text: Option<String>,
    b64: Option<String>,
    code: Option<u16>,
    #[serde(default)]
    reason: String,
    #[serde(default = "yes")]
    fin: bool,
    #[serde(default)]
    rsv: u8,
    #[serde(default = "yes")]
    masked: bool,
    omitted: Option<String>,
    len: Option<usize>,
    method: Option<String>,
    path: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

fn yes() -> bool {
    true
}

impl Recording {
    /// Reads the file of this name, whose every line must be understood.
    pub(crate) fn read(file: &str) -> Recording {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/transcripts/{file}.jsonl"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let lines = text.lines().skip(1).map(|line| {
            let line: Line =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{file}: {line}: {error}"));
            line.into_event(file)
        });
        let events: Vec<Event> = lines.collect();
        assert!(
            events.iter().zip(1..).all(|(event, number)| event.number == number),
            "{file} has all its events"
        );
        Recording { file: file.to_owned(), events }
    }
}

impl Line {
    fn into_event(self, file: &str) -> Event {
        let (number, at, connection) = (self.i, self.t_ms, self.conn.clone());
        let act = match self.dir.as_deref() {
            Some("c>s") => Act::Sent(self.into_sent(file)),
            Some("s>c") => Act::Received(self.into_received()),
            Some(other) => panic!("{file}: event {number}: no direction {other:?}"),
            None => Act::Note(self.text.expect("a note says something")),
        };
        Event { number, at, connection, act }
    }

    fn into_sent(self, file: &str) -> Sent {
        match self.kind.as_str() {
            "http_request" => {
                let (method, path) = (self.method.expect("a method"), self.path.expect("a path"));
                Sent::Request { method, path, headers: self.headers, body: self.body }
            }
            "tcp_close_by_client" => Sent::End,
            kind => {
                let opcode = opcode(kind).unwrap_or_else(|| panic!("{file}: event {}: {kind}", self.i));
                let (fin, rsv, masked) = (self.fin, self.rsv, self.masked);
                Sent::Frame { opcode, fin, rsv, masked, payload: self.into_payload(file) }
            }
        }
    }

    fn into_payload(self, file: &str) -> Vec<u8> {
        if let Some(payload) = not_recorded(file, self.i) {
            assert!(self.len.is_none_or(|length| length == payload.len()), "the filler is as long as it was");
            return payload;
        }
        assert!(self.omitted.is_none(), "{file}: event {}: what was left out?", self.i);
        if let Some(encoded) = self.b64 {
            return STANDARD.decode(encoded).expect("base64");
        }
        match (self.kind.as_str(), self.code) {
            ("close", Some(code)) => wire::close_body(code, &self.reason),
            ("close", None) => Vec::new(),
            _ => self.text.expect("a frame has a payload").into_bytes(),
        }
    }

    fn into_received(self) -> Received {
        let bytes = || STANDARD.decode(self.b64.as_deref().expect("base64")).expect("base64");
        match self.kind.as_str() {
            "text" => Received::Text(self.text.expect("text")),
            "binary" => Received::Binary(bytes()),
            "pong" => Received::Pong(bytes()),
            "close" => Received::Close(self.code, self.reason),
            "tcp_fin" => Received::Fin,
            "http_response" => {
                let status = self.status.expect("a status");
                Received::Response { status, headers: self.headers, body: self.body }
            }
            kind => panic!("event {}: no server does {kind:?}", self.i),
        }
    }
}

/// The two payloads of a client that the recorder left out.
fn not_recorded(file: &str, number: u32) -> Option<Vec<u8>> {
    match (file, number) {
        // A filler of 5,000 letters.
        ("malformed", 460) => {
            Some(format!(r#"["1","2","room:lobby","echo",{{"a":"{}"}}]"#, "x".repeat(5000)).into_bytes())
        }
        // The note says "close with one byte", and one byte is no code.
        ("malformed", 513) => Some(vec![3]),
        _ => None,
    }
}

fn opcode(kind: &str) -> Option<u8> {
    Some(match kind {
        "continuation" => wire::CONTINUATION,
        "text" => wire::TEXT,
        "binary" => wire::BINARY,
        "close" => wire::CLOSE,
        "ping" => wire::PING,
        "pong" => wire::PONG,
        other => other.strip_prefix("opcode_")?.parse().ok()?,
    })
}
