//! A client's connection, as a socket has it and as HTTP sees it.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use bennu_server::{Stall, Upgrade};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::limits::ServerLimits;
use crate::request_scan::{Owed, RequestScan};

/// A client's bytes where they are not the TCP stream's own: those under TLS.
pub(crate) trait Secured: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Secured for S {}

/// A connection, TCP's own or TLS over it, and its place among those that are let in.
#[derive(Debug)]
pub(crate) struct ClientStream<S = TcpStream> {
    stream: S,
    /// What was read beyond the upgrade request.
    early: Bytes,
    /// Given back when the connection is closed.
    slot: OwnedSemaphorePermit,
}

/// A [`ClientStream`] that speaks HTTP: dubious requests are spoiled, and peers that keep us waiting
/// are given up. It costs nothing more once the connection is upgraded.
#[derive(Debug)]
pub(crate) struct HttpStream<S = TcpStream> {
    stream: ClientStream<S>,
    limits: Arc<ServerLimits>,
    scan: RequestScan,
    reading: Stall,
    writing: Stall,
}

impl<S> ClientStream<S> {
    pub(crate) fn new(stream: S, slot: OwnedSemaphorePermit) -> Self {
        ClientStream { stream, early: Bytes::new(), slot }
    }
}

impl HttpStream {
    /// Lets the connection go on with the stream, and with what the client sent ahead of the answer.
    pub(crate) fn hand_over(self, upgrade: Upgrade, early: &[u8]) {
        let ClientStream { stream, slot, .. } = self.stream;
        if let Err(error) = upgrade.start(stream, early, Some(slot)) {
            tracing::error!(%error, "a socket cannot be served");
        }
    }
}

impl<S> HttpStream<S> {
    pub(crate) fn new(stream: ClientStream<S>, limits: Arc<ServerLimits>) -> Self {
        let (reading, writing) = (Stall::default(), Stall::default());
        HttpStream { stream, limits, scan: RequestScan::new(), reading, writing }
    }

    /// The stream after an upgrade, with what the client sent ahead of the answer.
    ///
    /// That is copied: even an empty rest keeps hyper's buffer of 8 KB alive, for as long as the socket lives.
    pub(crate) fn upgraded(mut self, early: &[u8]) -> ClientStream<S> {
        self.stream.early = Bytes::copy_from_slice(early);
        self.stream
    }

    /// Whether the peer has kept us waiting for too long for what it began to send.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let timeout = match self.scan.owed() {
            Owed::Head => self.limits.header_timeout,
            Owed::Body => self.limits.body_timeout,
            Owed::Nothing => return Poll::Pending,
        };
        self.reading.poll_stalled(timeout, cx).map(|()| {
            tracing::debug!(owed = ?self.scan.owed(), "a client sends too slowly");
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    fn written<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match &result {
            Poll::Ready(Ok(value)) => self.writing.moved(bytes(value)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending if self.writing.poll_stalled(self.limits.write_timeout, cx).is_ready() => {
                tracing::debug!("a client reads too slowly");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Poll::Pending => {}
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HttpStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.stream.stream).poll_read(cx, buf) else {
            return self.poll_overdue(cx);
        };
        read?;
        let owed = self.scan.owed();
        let new = &mut buf.filled_mut()[before..];
        if self.scan.pass(new) {
            tracing::debug!("a client sent a request that can be read in two ways");
        }
        match self.scan.owed() {
            // A head has to come in time as a whole.
            Owed::Head if owed == Owed::Head => {}
            Owed::Body if owed == Owed::Body => self.reading.moved(new.len()),
            Owed::Head | Owed::Body | Owed::Nothing => self.reading.clear(),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HttpStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream.stream).poll_write(cx, buf);
        self.written(result, cx, |count| *count)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream.stream).poll_write_vectored(cx, bufs);
        self.written(result, cx, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.stream.is_write_vectored()
    }

    /// Hyper flushes when nothing is left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing.clear();
        Pin::new(&mut self.stream.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early.split_to(count));
        if self.early.is_empty() {
            // Not an empty slice of what was read, which would keep it.
            self.early = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn an_upgraded_stream_lets_go_of_the_http_buffer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let slot = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let http = HttpStream::new(ClientStream::new(tcp, slot), Arc::default());
        let buffer = Bytes::from(b"GET / HTTP/1.1\r\n\r\nearly".to_vec());
        let rest = buffer.slice(buffer.len() - 5..);
        let mut upgraded = http.upgraded(&rest);
        drop(rest);
        assert!(buffer.is_unique());
        let mut early = [0; 5];
        upgraded.read_exact(&mut early).await.unwrap();
        assert_eq!(&early, b"early");
    }
}
