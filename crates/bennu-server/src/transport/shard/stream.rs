//! A client's TCP stream, as a shard's loop drives it.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use mio::event::Event;
use mio::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

/// A TCP stream whose readiness its shard reports. It wakes nobody: the shard polls whoever is ready.
pub(crate) struct ShardStream {
    tcp: TcpStream,
    readable: bool,
    writable: bool,
    /// Whether the end of what the client sends is near, so that a short read does not mean that nothing is left.
    ends: bool,
    /// Whether readiness is found out by trying, as nobody reports it any more.
    tries: bool,
    /// After the stream, so that it is closed when this is dropped.
    _place: Option<OwnedSemaphorePermit>,
}

impl ShardStream {
    pub(super) fn new(tcp: TcpStream, place: Option<OwnedSemaphorePermit>) -> Self {
        ShardStream { tcp, readable: true, writable: true, ends: false, tries: false, _place: place }
    }

    pub(super) fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Takes note of what the kernel reports.
    pub(super) fn ready(&mut self, event: &Event) {
        let ends = event.is_read_closed() || event.is_error();
        self.ends |= ends;
        self.readable |= event.is_readable() || ends;
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// From now on whoever polls it finds out by itself.
    pub(super) fn try_always(&mut self) {
        self.tries = true;
    }

    /// Reads without waiting; `None` if there is nothing to read.
    pub(crate) fn try_read(&mut self, room: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.readable && !self.tries {
            return Ok(None);
        }
        match retried(|| self.tcp.read(room)) {
            Ok(count) => {
                // The kernel gave all that it had, and reports when there is more.
                self.readable = count == room.len() || self.ends;
                Ok(Some(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes what the kernel takes at once; `None` when it takes nothing now.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        if !self.writable && !self.tries {
            return Ok(None);
        }
        match retried(|| self.tcp.write(bytes)) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Runs a system call again that a signal interrupted.
fn retried<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl AsyncRead for ShardStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.try_read(buf.initialize_unfilled()) {
            Ok(Some(count)) => {
                buf.advance(count);
                Poll::Ready(Ok(()))
            }
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for ShardStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.as_mut().poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.writable && !self.tries {
            return Poll::Pending;
        }
        // One run of bytes is cheaper to send than a list of one.
        let write = |tcp: &mut TcpStream| match bufs {
            [bytes] => tcp.write(bytes),
            _ => tcp.write_vectored(bufs),
        };
        match retried(|| write(&mut self.tcp)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.tcp.shutdown(Shutdown::Write) {
            // The client was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
