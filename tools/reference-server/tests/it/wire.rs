//! HTTP/1.1 and RFC 6455 by hand, so that the tests share no code with the server.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The sample key of RFC 6455 section 1.3, and what a server must make of it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// The bit of a compressed message (RFC 7692), and what ends it before it travels.
pub(crate) const RSV1: u8 = 0x40;
const FLUSH_TAIL: &[u8] = &[0, 0, 0xff, 0xff];

/// The four headers that ask for an upgrade.
pub(crate) const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
];

/// An HTTP response, read whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let same = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(same).map(|(_, value)| value.as_str())
    }
}

/// Sends a request with `headers` (and a host) and reads its response.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut wire = Wire::open(address);
    wire.write_request(address, method, path, headers, body);
    wire.read_response(method)
}

/// A plain GET.
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    request(address, "GET", path, &[], "")
}

/// Asks for an upgrade and expects a refusal.
pub(crate) fn refused(address: SocketAddr, path: &str, extra: &[(&str, &str)]) -> Response {
    let (response, _wire) = upgrade(address, path, extra);
    assert_ne!(response.status, 101, "the upgrade of {path} should have been refused");
    response
}

/// Asks for an upgrade, with `extra` headers behind the usual four.
pub(crate) fn upgrade(address: SocketAddr, path: &str, extra: &[(&str, &str)]) -> (Response, Wire) {
    let mut wire = Wire::open(address);
    let headers: Vec<_> = UPGRADE.iter().chain(extra).copied().collect();
    wire.write_request(address, "GET", path, &headers, "");
    let response = wire.read_response("GET");
    (response, wire)
}

/// What came from the server.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame, with its code and reason if it had a body.
    Close(Option<(u16, String)>),
    /// The end of the TCP connection, orderly or not.
    End,
}

/// A TCP connection and what has been read from it ahead of need.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
    was_reset: bool,
    /// How many compressed messages came, where they may.
    compressed: Option<u32>,
}

impl Wire {
    pub(crate) fn open(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).expect("the server accepts connections");
        stream.set_nodelay(true).expect("a fresh socket takes options");
        stream.set_write_timeout(Some(PATIENCE)).expect("a fresh socket takes options");
        Wire { stream, unread: Vec::new(), was_reset: false, compressed: None }
    }

    /// The same connection, to write on while another thread reads.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("the system has files left")
    }

    pub(crate) fn write_request(
        &mut self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.write(format!("{head}\r\n{body}").as_bytes());
    }

    pub(crate) fn read_response(&mut self, method: &str) -> Response {
        let end = self.read_until(|unread| position(unread, b"\r\n\r\n").map(|end| end + 4));
        let head = String::from_utf8(self.take(end)).expect("a response head is text");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {status_line:?}"));
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let mut response = Response { status, body: String::new(), headers };
        let length = response.header("content-length").map_or(0, |text| text.parse().expect("a length"));
        assert_eq!(response.header("transfer-encoding"), None, "the tests read bodies of known length only");
        if method != "HEAD" && status != 101 {
            self.read_until(|unread| (unread.len() >= length).then_some(length));
            response.body = String::from_utf8_lossy(&self.take(length)).into_owned();
        }
        response
    }

    /// Sends one whole masked message.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.write(&frame(true, opcode, payload));
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads what it is sent");
    }

    /// Sends bytes that a server which has already closed need not read.
    pub(crate) fn write_if_open(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Ends our half of the TCP connection; the server's may still come.
    pub(crate) fn end(&self) {
        // Fails when the server has reset the connection, which ends it as well.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Whether the connection ended in disorder.
    pub(crate) fn was_reset(&self) -> bool {
        self.was_reset
    }

    /// From now on messages may come compressed.
    pub(crate) fn take_compressed(&mut self) {
        self.compressed = Some(0);
    }

    /// How many compressed messages came.
    pub(crate) fn compressed_messages(&self) -> u32 {
        self.compressed.unwrap_or_default()
    }

    /// From now on a write that makes no progress for so long fails.
    pub(crate) fn give_up_writing_after(&self, patience: Duration) {
        self.stream.set_write_timeout(Some(patience)).expect("the timeout is not zero");
    }

    /// What the server sends next.
    pub(crate) fn receive(&mut self) -> Received {
        self.receive_within(PATIENCE).unwrap_or_else(|| panic!("nothing came within {PATIENCE:?}"))
    }

    /// What the server sends within `patience`, if anything.
    pub(crate) fn receive_within(&mut self, patience: Duration) -> Option<Received> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some((received, length)) = parse(&self.unread, self.compressed.is_some()) {
                let is_compressed = self.unread[0] & RSV1 != 0;
                self.compressed.iter_mut().for_each(|count| *count += u32::from(is_compressed));
                self.unread.drain(..length);
                return Some(received);
            }
            match self.fill(deadline) {
                Fill::Some => {}
                Fill::Nothing => return None,
                Fill::End => return Some(Received::End),
            }
        }
    }

    fn read_until(&mut self, mut done: impl FnMut(&[u8]) -> Option<usize>) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = done(&self.unread) {
                return end;
            }
            match self.fill(deadline) {
                Fill::Some => {}
                Fill::Nothing => panic!("no whole response within {PATIENCE:?}: {:?}", self.unread_text()),
                Fill::End => panic!("the connection ended inside a response: {:?}", self.unread_text()),
            }
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        self.unread.drain(..length).collect()
    }

    fn fill(&mut self, deadline: Instant) -> Fill {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Fill::Nothing;
        }
        self.stream.set_read_timeout(Some(left)).expect("the timeout is not zero");
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Fill::End,
            Ok(length) => {
                self.unread.extend_from_slice(&chunk[..length]);
                Fill::Some
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Fill::Nothing,
                ErrorKind::Interrupted => Fill::Some,
                _ => {
                    self.was_reset = true;
                    Fill::End
                }
            },
        }
    }

    fn unread_text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }
}

enum Fill {
    Some,
    Nothing,
    End,
}

/// One masked client frame.
pub(crate) fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame_with(opcode | if fin { 0x80 } else { 0 }, true, payload)
}

/// One frame with any first byte, masked or not.
pub(crate) fn frame_with(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(mask_bit | length as u8),
        length @ 126..=0xffff => {
            bytes.push(mask_bit | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(mask_bit | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = if masked { MASK } else { [0; 4] };
    if masked {
        bytes.extend(mask);
    }
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The body of a close frame.
pub(crate) fn close_body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// The payload of a compressed message, all by itself.
pub(crate) fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let mut bytes = Vec::with_capacity(payload.len() + 100);
    compress.compress_vec(payload, &mut bytes, flate2::FlushCompress::Sync).expect("memory compresses");
    bytes.strip_suffix(FLUSH_TAIL).expect("a flush ends in an empty block").to_vec()
}

fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 << 20);
    let payload = [payload, FLUSH_TAIL].concat();
    let mut decompress = flate2::Decompress::new(false);
    decompress.decompress_vec(&payload, &mut bytes, flate2::FlushDecompress::Sync).expect("it is deflate");
    assert_eq!(decompress.total_in() as usize, payload.len(), "a message fits into the room");
    bytes
}

/// Takes the first server frame apart, and says how many bytes it had.
fn parse(bytes: &[u8], inflates: bool) -> Option<(Received, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let extension = if inflates { RSV1 } else { 0 };
    assert_eq!(
        first & 0xf0 & !extension,
        0x80,
        "the server sends whole messages without other extension bits"
    );
    assert_eq!(second & 0x80, 0, "a server never masks");
    let (length, rest) = match second {
        127 => rest.split_first_chunk().map(|(size, rest)| (u64::from_be_bytes(*size) as usize, rest))?,
        126 => rest.split_first_chunk().map(|(size, rest)| (u16::from_be_bytes(*size) as usize, rest))?,
        short => (short as usize, rest),
    };
    let payload = rest.get(..length)?;
    let total = bytes.len() - rest.len() + length;
    let payload = if first & RSV1 != 0 { &inflated(payload)[..] } else { payload };
    let received = match first & 0x0f {
        TEXT => Received::Text(String::from_utf8(payload.to_vec()).expect("text frames are UTF-8")),
        BINARY => Received::Binary(payload.to_vec()),
        PING => Received::Ping(payload.to_vec()),
        PONG => Received::Pong(payload.to_vec()),
        CLOSE => Received::Close(payload.split_first_chunk().map(|(code, reason)| {
            (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).expect("reasons are UTF-8"))
        })),
        opcode => panic!("the server sent a frame with opcode {opcode}"),
    };
    Some((received, total))
}

fn position(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
