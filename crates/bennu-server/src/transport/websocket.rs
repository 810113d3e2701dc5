//! A connection over a WebSocket, on any stream of bytes.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bennu_protocol::websocket::{Decoder, Item, Opcode, ProtocolViolation, close, close_frame, encode_frame};
use bennu_protocol::{Data, FrameKind, Incoming};
use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::shard::{Run, Sent, ShardStream};
use super::stall::Stall;
use crate::connection::Connection;
use crate::few::Few;
use crate::metrics::Cause;
use crate::turn;

/// Bytes that one read takes at most; the buffer belongs to the thread, not to a connection.
const SCRATCH: usize = 64 * 1024;

/// How often one turn reads, so that a client that never stops sending does not hold up the others
/// of its thread.
const READS_PER_TURN: u32 = 4;

/// A read of so many bytes is a sign of life, even when no frame is complete. Without that bound a byte now
/// and then would keep a frame open, and the memory it takes, for ever.
const SIGN_OF_LIFE: usize = 1024;

/// Frames that one write hands to the kernel at most.
const MAX_SLICES: usize = 64;

/// How long, and for how many bytes, what the client still sends is read and thrown
/// away after the close frame, so that closing does not reset the stream.
const LINGER: Duration = Duration::from_secs(1);
const MAX_LINGER: usize = 256 * 1024;

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// One client on one stream. Holds no buffer while nothing is under way.
pub(crate) struct WebSocket<IO> {
    io: IO,
    decoder: Decoder,
    connection: Connection,
    writing: Writing,
    /// Runs while the client does not take what is written.
    stall: Stall,
}

/// What is being written.
#[derive(Default)]
struct Writing {
    /// The answer to the last ping; earlier ones need none (RFC 6455, 5.5.3).
    pong: Option<Bytes>,
    /// Frames, of which the first may be half written.
    frames: Few<Bytes>,
    /// Whether the first frame is half written and must be finished.
    partial: bool,
}

/// How the open state ended.
pub(crate) enum End {
    /// Send this close code.
    Close(u16),
    /// The client closed: answer, and send nothing else.
    Answer(u16),
    /// The stream is gone.
    Gone,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> WebSocket<IO> {
    pub(crate) fn new(io: IO, connection: Connection, decoder: Decoder) -> Self {
        WebSocket { io, decoder, connection, writing: Writing::default(), stall: Stall::default() }
    }

    /// Runs until the client or the server closes, then ends the channels.
    pub(crate) async fn run(mut self) {
        let mut timer = None;
        let end = std::future::poll_fn(|cx| self.poll_timed(&mut timer, cx)).await;
        // Boxed, so that an open connection does not carry the room that closing takes.
        Box::pin(self.finish(end)).await;
    }

    /// Closes the stream and ends the channels.
    pub(crate) async fn finish(mut self, end: End) {
        let timeout = self.connection.close_timeout();
        // Nobody looks into it any more.
        self.connection.mailbox().close();
        // A client that does not take the close frame in time is dropped; nothing is lost by that.
        let _ = tokio::time::timeout(timeout, self.close(end)).await;
        let WebSocket { io, connection, .. } = self;
        drop(io);
        connection.end().await;
    }

    /// Begins a turn: another one had its own.
    pub(super) fn begin_turn(&mut self) {
        self.connection.begin_turn();
    }

    fn poll_timed(&mut self, timer: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            self.begin_turn();
            if let Poll::Ready(end) = self.poll_open(&mut [], cx) {
                return Poll::Ready(end);
            }
            ready!(self.poll_timer(timer, cx));
        }
    }

    /// Does all that can be done, at first with bytes that came behind the handshake. Whoever polls it tells it the
    /// time at its [`deadline`](Self::deadline).
    pub(crate) fn poll_open(&mut self, early: &mut [u8], cx: &mut Context<'_>) -> Poll<End> {
        if !early.is_empty()
            && let Err(end) = self.handle(early, cx)
        {
            return Poll::Ready(end);
        }
        let mut reads_left = READS_PER_TURN;
        loop {
            self.connection.poll(cx);
            if let Some(code) = self.connection.close_code() {
                return Poll::Ready(End::Close(code));
            }
            if let Poll::Ready(Err(_)) = self.poll_write(cx) {
                return Poll::Ready(End::Gone);
            }
            if reads_left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.connection.wants_input()
                && let Poll::Ready(read) = self.poll_read(cx)
            {
                match read {
                    Ok(()) => {
                        reads_left -= 1;
                        continue;
                    }
                    Err(end) => return Poll::Ready(end),
                }
            }
            return Poll::Pending;
        }
    }

    /// Reads once and handles all that came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let buffer = READ_BUFFER.take();
        let mut buffer = buffer.unwrap_or_else(|| vec![0; SCRATCH].into());
        let mut read = ReadBuf::new(&mut buffer);
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut read);
        let count = read.filled().len();
        let result = polled.map(|result| match (result, count) {
            (Err(_), _) | (Ok(()), 0) => Err(End::Gone),
            (Ok(()), _) => self.handle(&mut buffer[..count], cx),
        });
        READ_BUFFER.set(Some(buffer));
        result
    }

    fn handle(&mut self, mut unread: &mut [u8], cx: &mut Context<'_>) -> Result<(), End> {
        let is_long = unread.len() >= SIGN_OF_LIFE;
        let mut is_first = true;
        loop {
            let decoded = self.decoder.decode_here(&mut unread);
            if std::mem::take(&mut is_first) && (is_long || matches!(decoded, Ok(Some(_)))) {
                self.connection.received(turn::now());
            }
            match decoded {
                Ok(Some(item)) => self.handle_item(item, cx)?,
                Ok(None) => return Ok(()),
                Err(violation) => {
                    let code = log_violation(violation);
                    self.connection.close_with(code);
                    return Err(End::Close(code));
                }
            }
        }
    }

    fn handle_item(&mut self, item: Item<Data<'_>>, cx: &mut Context<'_>) -> Result<(), End> {
        match item {
            Item::Text(data) => self.connection.receive(Incoming { kind: FrameKind::Text, data }, cx),
            Item::Binary(data) => self.connection.receive(Incoming { kind: FrameKind::Binary, data }, cx),
            Item::Ping(payload) => self.writing.pong = Some(encode_frame(Opcode::Pong, &payload)),
            Item::Pong(_) => {}
            Item::Close(frame) => {
                self.connection.ended_by(Cause::Client);
                return Err(End::Answer(close::reply_code(frame.map(|frame| frame.code))));
            }
        }
        match self.connection.close_code() {
            Some(code) => Err(End::Close(code)),
            None => Ok(()),
        }
    }

    /// Writes what there is, many frames at once.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.connection.has_frames() || self.writing.pong.is_some() {
                self.fill();
            }
            let io = Pin::new(&mut self.io);
            let polled = match self.writing.frames.len() {
                0 => {
                    self.stall.clear();
                    return io.poll_flush(cx);
                }
                _ if let Few::One(frame) = &self.writing.frames => io.poll_write(cx, frame),
                _ => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let mut count = 0;
                    for (slice, frame) in slices.iter_mut().zip(self.writing.frames.iter()) {
                        *slice = IoSlice::new(frame);
                        count += 1;
                    }
                    io.poll_write_vectored(cx, &slices[..count])
                }
            };
            let Poll::Ready(written) = polled else { return self.poll_stalled(cx) };
            let written = written?;
            self.stall.moved(written);
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.writing.advance(written);
            self.connection.sent(written);
        }
    }

    /// Whether the client has taken too little for too long: there is no use in a close frame then.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stall.poll_stalled(self.connection.write_timeout(), cx).map(|()| {
            self.connection.close_with(close::TRY_AGAIN_LATER);
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    /// Takes frames over from the connection, up to what one write can use.
    fn fill(&mut self) {
        if !self.writing.has_pong()
            && let Some(pong) = self.writing.pong.take()
        {
            self.connection.sent_later(pong.len());
            let at = usize::from(self.writing.partial);
            self.writing.frames.insert(at, pong);
        }
        let room = MAX_SLICES.saturating_sub(self.writing.frames.len());
        self.connection.take_frames(room, |frame| self.writing.frames.push_back(frame.into_websocket()));
    }

    /// Waits for the connection's deadline, which moves on with every byte received; a renewed
    /// credential may bring it forward.
    fn poll_timer(&mut self, timer: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline().map(Instant::from_std) else { return Poll::Pending };
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if deadline <= Instant::now() {
                self.timeout(Instant::now().into_std(), cx);
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// When to call [`timeout`](Self::timeout), if ever.
    pub(crate) fn deadline(&self) -> Option<std::time::Instant> {
        self.connection.deadline()
    }

    /// Lets time pass; then it is to be polled.
    pub(crate) fn timeout(&mut self, now: std::time::Instant, cx: &mut Context<'_>) {
        self.connection.timeout(now, cx);
    }

    /// Sends the close frame behind what was queued, and ends the stream in order.
    async fn close(&mut self, end: End) -> io::Result<()> {
        let code = match end {
            End::Gone => return Ok(()),
            End::Answer(code) => {
                self.writing.keep_partial();
                code
            }
            End::Close(code) => {
                self.fill_all();
                code
            }
        };
        while let Some(frame) = self.writing.frames.pop_front() {
            self.io.write_all(&frame).await?;
        }
        self.io.write_all(&close_frame(code)).await?;
        self.io.shutdown().await?;
        tokio::time::timeout(LINGER, self.linger()).await?
    }

    fn fill_all(&mut self) {
        self.fill();
        self.connection.take_all_frames(|frame| self.writing.frames.push_back(frame.into_websocket()));
    }

    /// Closing a stream with unread bytes resets it, and the client would miss the close frame.
    async fn linger(&mut self) -> io::Result<()> {
        let mut buffer = [0; 1024];
        let mut total = 0;
        while total < MAX_LINGER {
            match self.io.read(&mut buffer).await? {
                0 => break,
                count => total += count,
            }
        }
        Ok(())
    }
}

impl WebSocket<ShardStream> {
    pub(super) fn stream(&mut self) -> &mut ShardStream {
        &mut self.io
    }

    /// Reads what has arrived, if the connection wants any; without it, a poll finds out why there is none.
    pub(super) fn read_ahead(&mut self, room: &mut [u8]) -> Option<usize> {
        match self.connection.wants_input() {
            true => self.io.try_read(room).ok().flatten().filter(|count| *count > 0),
            false => None,
        }
    }

    /// Runs what was read ahead.
    pub(super) fn take_in(&mut self, bytes: &mut [u8], cx: &mut Context<'_>) -> Result<(), End> {
        // What others sent before comes first.
        self.connection.catch_up(cx);
        match self.connection.close_code() {
            Some(code) => Err(End::Close(code)),
            None => self.handle(bytes, cx),
        }
    }

    /// Whether a broadcast for this subscription may be written at once.
    pub(super) fn is_clear_for(&self, token: u64) -> bool {
        let writing = &self.writing;
        writing.frames.is_empty() && writing.pong.is_none() && self.connection.is_clear_for(token)
    }

    /// Writes what all subscribers get. What the kernel does not take at once, false then, goes the ordinary way.
    pub(super) fn write_run(&mut self, run: &Run, token: u64, sent: &mut Sent) -> bool {
        // An error comes again when the rest is written.
        let mut written = self.io.try_write(&run.bytes).ok().flatten().unwrap_or_default();
        sent.bytes += written as u64;
        if written == run.bytes.len() {
            sent.frames += run.frames.len() as u64;
            return true;
        }
        for (frame, delivery) in &run.frames {
            match written {
                0 => self.connection.deliver(token, delivery),
                _ if written < frame.len() => {
                    let rest = frame.clone().into_websocket().slice(written..);
                    sent.frames += 1;
                    sent.bytes += rest.len() as u64;
                    self.connection.sent_later(rest.len());
                    self.writing.frames.push_back(rest);
                    self.writing.partial = true;
                    written = 0;
                }
                _ => {
                    sent.frames += 1;
                    written -= frame.len();
                }
            }
        }
        false
    }
}

impl Writing {
    fn advance(&mut self, mut written: usize) {
        self.partial = false;
        while let Some(first) = self.frames.front_mut() {
            if written < first.len() {
                self.partial = written > 0 || self.partial;
                first.advance(written);
                return;
            }
            written -= first.len();
            self.frames.pop_front();
        }
    }

    /// Whether a pong waits to be written; a later one need not come in addition.
    fn has_pong(&self) -> bool {
        const PONG: u8 = 0x8a;
        self.pong.is_some()
            && self.frames.iter().skip(usize::from(self.partial)).any(|frame| frame[0] == PONG)
    }

    /// Drops all but a frame that is half written.
    fn keep_partial(&mut self) {
        self.pong = None;
        self.frames.truncate(usize::from(self.partial));
    }
}

fn log_violation(violation: ProtocolViolation) -> u16 {
    tracing::debug!(%violation, "a client broke the WebSocket protocol");
    violation.close_code()
}
