//! What carries a client session's frames: the seam between the session and any runtime, browsers' included.
//!
//! Only what the standard library has for futures is used here: no runtime, no threads, no clock.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::event::ConnectionEnd;
use crate::frame::Frame;

/// A way to reach a server. One value opens one connection after another.
#[doc(alias = "Phoenix.SocketClient.Transport")]
pub trait Transport: Debug + Send + Sync + 'static {
    /// The last segment of the URLs that it opens, as `websocket` in `/socket/websocket`.
    fn segment(&self) -> &str {
        "websocket"
    }

    /// Whether the session is to send heartbeats over it; yes, unless it finds out by itself that the server is gone.
    fn needs_heartbeats(&self) -> bool {
        true
    }

    /// Opens a connection. To drop the future is to give up.
    fn open(&self, request: OpenRequest) -> Opening;
}

/// A connection that is being opened.
pub type Opening = Pin<Box<dyn Future<Output = Result<Box<dyn Connection>, OpenError>> + Send>>;

/// What to open.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenRequest {
    /// All of it: with the transport's segment, the version of the protocol and the params. The scheme is `ws`, `wss`, `http` or `https`.
    pub url: String,
    /// Headers of the application, to be sent with each request.
    pub headers: Vec<(String, String)>,
    /// What proves who the client is, to be sent apart from the URL, which gets into logs.
    pub auth_token: Option<String>,
}

impl OpenRequest {
    /// A request without headers or token.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        OpenRequest { url: url.into(), headers: Vec::new(), auth_token: None }
    }
}

/// Shows neither user and password, nor the query, nor values of headers, nor the token.
impl Debug for OpenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let token = self.auth_token.as_ref().map(|_| "…");
        f.debug_struct("OpenRequest")
            .field("url", &format_args!("{scheme}://{host}{path}"))
            .field("headers", &names)
            .field("auth_token", &token)
            .finish()
    }
}

/// Why no connection was opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server answered, and refused.
    #[error("the server refused with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        body: Bytes,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The request cannot be made: the URL or a header is none, or the settings contradict each other.
    #[error("{0}")]
    Invalid(String),
    /// The server was not reached, or what it said was not understood.
    #[error("{0}")]
    Failed(String),
}

/// An open connection. It is driven by being polled, and gone when it is dropped.
pub trait Connection: Send {
    /// Whether it takes one more frame now. Those that wait for this are woken.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Takes a frame, after [`poll_ready`](Self::poll_ready) was ready. [`poll_event`](Self::poll_event) sends it.
    fn send(&mut self, frame: Frame);

    /// Sends what can be sent, and gives the next thing that happened. It is not called again after
    /// [`ConnectionEvent::Closed`].
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEvent>;

    /// Sends what it has taken, then closes with this code and reason. [`ConnectionEvent::Closed`] follows.
    fn close(&mut self, code: u16, reason: &str);
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// The server sent a message.
    Frame(Frame),
    /// Something went wrong; [`Closed`](Self::Closed) follows.
    Error(String),
    /// It has ended.
    Closed(ConnectionEnd),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_shown_without_their_secrets() {
        let mut request = OpenRequest::new("wss://me:secret@h:4000/a@b/websocket?token=secret");
        request.headers.push(("authorization".to_owned(), "secret".to_owned()));
        request.auth_token = Some("secret".to_owned());
        let shown = format!("{request:?}");
        assert!(shown.contains("wss://h:4000/a@b/websocket") && shown.contains("authorization"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
