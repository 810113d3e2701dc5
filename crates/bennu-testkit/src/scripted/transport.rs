//! The client's end of a scripted connection.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bennu_protocol::Frame;
use bennu_protocol::client::{Connection, ConnectionEvent, OpenRequest, Opening, Transport};

use super::link::Link;
use super::server::Desk;

/// What leads to a [`ScriptedServer`](super::ScriptedServer): the client's transport. Clones lead to the same server.
#[derive(Clone)]
pub struct ScriptedTransport {
    desk: Arc<Desk>,
    segment: &'static str,
    needs_heartbeats: bool,
}

impl ScriptedTransport {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        ScriptedTransport { desk, segment: "websocket", needs_heartbeats: true }
    }

    /// The same as a transport whose URLs end in this; `websocket` by default.
    #[must_use]
    pub fn with_segment(self, segment: &'static str) -> Self {
        ScriptedTransport { segment, ..self }
    }

    /// The same as a transport that finds out by itself when the server is gone, as long polling does.
    #[must_use]
    pub fn without_heartbeats(self) -> Self {
        ScriptedTransport { needs_heartbeats: false, ..self }
    }
}

impl Transport for ScriptedTransport {
    fn segment(&self) -> &str {
        self.segment
    }

    fn needs_heartbeats(&self) -> bool {
        self.needs_heartbeats
    }

    fn open(&self, request: OpenRequest) -> Opening {
        let answer = self.desk.ask(request);
        Box::pin(async move { Ok(Box::new(ClientEnd::new(answer.await?)) as Box<dyn Connection>) })
    }
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedTransport").field("segment", &self.segment).finish_non_exhaustive()
    }
}

/// The client's end of a connection, which is gone when it is dropped.
pub(super) struct ClientEnd {
    pub(super) link: Arc<Link>,
}

impl ClientEnd {
    pub(super) fn new(link: Arc<Link>) -> Self {
        ClientEnd { link }
    }
}

impl Connection for ClientEnd {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.poll_ready(cx)
    }

    fn send(&mut self, frame: Frame) {
        self.link.receive(frame);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEvent> {
        self.link.poll_event(cx)
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.link.close_from_client(code, reason);
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        self.link.drop_from_client();
    }
}
