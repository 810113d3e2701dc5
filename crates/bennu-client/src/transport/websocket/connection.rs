//! An open WebSocket, driven by being polled.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bennu_protocol::Frame;
use bennu_protocol::client::ConnectionEnd;
use bennu_protocol::websocket::{
    CloseFrame, Decoder, Extension, Item, Opcode, ProtocolViolation, encode_compressed, encode_into,
};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::transport::connect::Stream;
use crate::transport::random::random;
use crate::transport::{Connection, ConnectionEvent};

/// How much may wait to be written before no more is taken: what is not taken yet can still be sent on the next connection.
const HIGH_WATER: usize = 16 * 1024;

/// From which length on a message is compressed. Shorter ones hardly get shorter.
const COMPRESSED_FROM: usize = 1024;

/// What one read takes.
const SCRATCH: usize = 64 * 1024;

/// What a connection without a close frame, and one whose close frame has no code, count as (RFC 6455, 7.1.5).
const NO_CODE: u16 = 1005;

thread_local! {
    /// All connections of a thread read into it, so that one at rest has no buffer. Taken while it is in use.
    static READ_INTO: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

pub(super) struct WebSocketConnection {
    stream: Stream,
    decoder: Decoder,
    compresses: bool,
    /// What was read behind the event that was handed out last.
    unread: Unread,
    /// Encoded frames, of which the first `written` bytes are on their way. Empty, and without memory, at rest.
    output: Vec<u8>,
    written: usize,
    /// Whether the stream may hold back what it was given.
    needs_flush: bool,
    close_sent: bool,
    /// Why nothing can be written any more; what the server sent before can still be read.
    write_error: Option<Box<io::Error>>,
    /// What is left to be told after an error.
    end: Option<Box<ConnectionEnd>>,
    /// Who waits for room in `output`.
    blocked: Option<Waker>,
}

#[derive(Default)]
struct Unread {
    bytes: Vec<u8>,
    start: usize,
}

impl WebSocketConnection {
    /// A connection on which `rest` has come already.
    pub(super) fn new(stream: Stream, decoder: Decoder, extension: Extension, rest: Vec<u8>) -> Self {
        WebSocketConnection {
            stream,
            decoder,
            compresses: extension == Extension::Deflate,
            unread: Unread { bytes: rest, start: 0 },
            output: Vec::new(),
            written: 0,
            needs_flush: false,
            close_sent: false,
            write_error: None,
            end: None,
            blocked: None,
        }
    }

    fn is_full(&self) -> bool {
        self.output.len() - self.written >= HIGH_WATER
    }

    fn queue(&mut self, opcode: Opcode, payload: &[u8]) {
        if !self.close_sent && self.write_error.is_none() {
            encode_into(&mut self.output, opcode, payload, Some(random()));
        }
    }

    fn queue_close(&mut self, code: u16, reason: &str) {
        let body = match code {
            NO_CODE => Vec::new(),
            code => CloseFrame { code, reason: reason.to_owned() }.to_payload(),
        };
        self.queue(Opcode::Close, &body);
        self.close_sent = true;
    }

    /// Writes what the stream takes now.
    fn write(&mut self, cx: &mut Context<'_>) {
        if self.write_error.is_some() {
            return;
        }
        if let Poll::Ready(Err(error)) = self.poll_written(cx) {
            self.write_error = Some(Box::new(error));
            self.output = Vec::new();
            self.written = 0;
        }
        if !self.is_full()
            && let Some(waker) = self.blocked.take()
        {
            waker.wake();
        }
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.needs_flush = true;
        }
        self.output = Vec::new();
        self.written = 0;
        if self.needs_flush {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The next event of what was read before.
    fn take_unread(&mut self, cx: &mut Context<'_>) -> Option<ConnectionEvent> {
        let mut bytes = std::mem::take(&mut self.unread.bytes);
        let mut input = &mut bytes[self.unread.start..];
        let event = self.decode(&mut input, cx);
        let left = input.len();
        if left > 0 {
            let start = bytes.len() - left;
            self.unread = Unread { bytes, start };
        }
        event
    }

    /// Reads once, and gives the first event of it: `None` if there is none in it.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        let mut scratch = READ_INTO.take().unwrap_or_else(|| vec![0; SCRATCH].into());
        let mut buffer = ReadBuf::new(&mut scratch);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        let event = polled.map(|read| match read {
            Ok(()) if count == 0 => Some(self.lost()),
            Ok(()) => {
                let mut input = &mut scratch[..count];
                let event = self.decode(&mut input, cx);
                if !input.is_empty() {
                    self.unread = Unread { bytes: input.to_vec(), start: 0 };
                }
                event
            }
            // TLS without its own closing, which a close frame makes up for.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(self.lost()),
            Err(error) => Some(self.failed(&error.to_string())),
        });
        READ_INTO.set(Some(scratch));
        event
    }

    /// Reads on to the next event.
    fn decode(&mut self, input: &mut &mut [u8], cx: &mut Context<'_>) -> Option<ConnectionEvent> {
        loop {
            return Some(match self.decoder.decode_here(input) {
                Ok(None) => return None,
                Ok(Some(Item::Text(data))) => ConnectionEvent::Frame(Frame::text(data.into_bytes())),
                Ok(Some(Item::Binary(data))) => ConnectionEvent::Frame(Frame::binary(data.into_bytes())),
                Ok(Some(Item::Ping(data))) => {
                    self.pong(&data);
                    continue;
                }
                Ok(Some(Item::Pong(_))) => continue,
                Ok(Some(Item::Close(frame))) => self.closed(frame, cx),
                Err(violation) => self.violated(violation, cx),
            });
        }
    }

    /// Answers a ping, unless the server does not read what it is sent: then answers would pile up.
    fn pong(&mut self, payload: &[u8]) {
        if !self.is_full() {
            self.queue(Opcode::Pong, payload);
        }
    }

    /// The server has sent a close frame, and reads no more: what is written at once is all that matters.
    fn closed(&mut self, frame: Option<CloseFrame>, cx: &mut Context<'_>) -> ConnectionEvent {
        let CloseFrame { code, reason } =
            frame.unwrap_or_else(|| CloseFrame { code: NO_CODE, reason: String::new() });
        if !self.close_sent {
            self.queue_close(code, "");
        }
        self.shut(cx);
        ConnectionEvent::Closed(ConnectionEnd::clean(code, reason))
    }

    fn violated(&mut self, violation: ProtocolViolation, cx: &mut Context<'_>) -> ConnectionEvent {
        self.queue_close(violation.close_code(), "");
        self.shut(cx);
        self.failed(&violation.to_string())
    }

    fn shut(&mut self, cx: &mut Context<'_>) {
        self.write(cx);
        // Nobody is left who could be told that it did not work.
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
    }

    /// An error, and that the connection is gone after it.
    fn failed(&mut self, reason: &str) -> ConnectionEvent {
        self.end = Some(Box::new(ConnectionEnd::lost()));
        ConnectionEvent::Error(reason.to_owned())
    }

    /// The server is gone without a close frame.
    fn lost(&mut self) -> ConnectionEvent {
        match self.write_error.take() {
            Some(error) => self.failed(&error.to_string()),
            None => ConnectionEvent::Closed(ConnectionEnd::lost()),
        }
    }
}

impl Connection for WebSocketConnection {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_full() {
            return Poll::Ready(());
        }
        if !self.blocked.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.blocked = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn send(&mut self, frame: Frame) {
        let payload = frame.payload();
        let opcode = Opcode::from(frame.kind());
        let is_open = !self.close_sent && self.write_error.is_none();
        if is_open
            && self.compresses
            && payload.len() >= COMPRESSED_FROM
            && let Some(compressed) = encode_compressed(opcode, &payload, Some(random()))
        {
            self.output.extend_from_slice(&compressed);
            return;
        }
        self.queue(opcode, &payload);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEvent> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(ConnectionEvent::Closed(*end));
        }
        loop {
            self.write(cx);
            if !self.unread.bytes.is_empty() {
                match self.take_unread(cx) {
                    Some(event) => return Poll::Ready(event),
                    // There may be pongs to write now.
                    None => continue,
                }
            }
            match self.poll_read(cx) {
                Poll::Ready(Some(event)) => return Poll::Ready(event),
                Poll::Ready(None) => {}
                Poll::Pending => {
                    let Some(error) = self.write_error.take() else { return Poll::Pending };
                    return Poll::Ready(self.failed(&error.to_string()));
                }
            }
        }
    }

    fn close(&mut self, code: u16, reason: &str) {
        if !self.close_sent {
            self.queue_close(code, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use bennu_protocol::websocket::{Limits, Role, encode_frame};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (WebSocketConnection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let decoder = Decoder::new(Role::Client, Limits::default());
        (WebSocketConnection::new(Stream::Tcp(client), decoder, Extension::None, Vec::new()), server)
    }

    #[tokio::test]
    async fn a_connection_at_rest_has_no_buffers() {
        let (mut connection, mut server) = pair().await;
        connection.send(Frame::binary(vec![7; 5_000]));
        for payload in [&[1; 300][..], &[2; 70_000]] {
            server.write_all(&encode_frame(Opcode::Binary, payload)).await.unwrap();
        }
        for expected in [300, 70_000] {
            let event = poll_fn(|cx| connection.poll_event(cx)).await;
            let ConnectionEvent::Frame(frame) = event else { panic!("{event:?}") };
            assert_eq!(frame.len(), expected);
        }
        server.read_exact(&mut [0; 5_000]).await.unwrap();
        assert!(poll_fn(|cx| Poll::Ready(connection.poll_event(cx))).await.is_pending());
        assert_eq!((connection.output.capacity(), connection.unread.bytes.capacity()), (0, 0));
        assert!(connection.decoder.is_idle());
        assert!(size_of::<WebSocketConnection>() <= 200, "{}", size_of::<WebSocketConnection>());
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn who_waits_for_room_is_woken_when_there_is_some() {
        let (mut connection, mut server) = pair().await;
        connection.send(Frame::binary(vec![7; 20_000_000]));
        assert!(poll_fn(|cx| Poll::Ready(connection.poll_event(cx))).await.is_pending());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(connection.poll_ready(&mut Context::from_waker(&waker)).is_pending());
        let reading = tokio::spawn(async move { tokio::io::copy(&mut server, &mut tokio::io::sink()).await });
        // Another task drives the connection meanwhile.
        let is_woken =
            poll_fn(|cx| match connection.poll_event(cx).is_pending() && woken.0.load(Ordering::Relaxed) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
        tokio::time::timeout(Duration::from_secs(20), is_woken).await.unwrap();
        assert!(connection.poll_ready(&mut Context::from_waker(&waker)).is_ready());
        reading.abort();
    }

    #[tokio::test]
    async fn pings_are_not_answered_to_a_server_that_reads_nothing() {
        let (mut connection, mut server) = pair().await;
        connection.send(Frame::binary(vec![7; 20_000_000]));
        assert!(poll_fn(|cx| Poll::Ready(connection.poll_event(cx))).await.is_pending());
        let before = connection.output.len();
        let pings = encode_frame(Opcode::Ping, &[0; 125]).repeat(1_000);
        server.write_all(&pings).await.unwrap();
        server.write_all(&encode_frame(Opcode::Text, b"end")).await.unwrap();
        let event = poll_fn(|cx| connection.poll_event(cx)).await;
        assert_eq!(event, ConnectionEvent::Frame(Frame::text("end")));
        assert_eq!(connection.output.len(), before);
    }
}
