//! A transport that gives way to another one where it does not work.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bennu_protocol::{Body, Frame, Message, Payload, Ref, Serializer};
use tokio::time::timeout;

use super::{Connection, ConnectionEvent, LongPoll, OpenError, OpenRequest, Opening, Transport, WebSocket};
use crate::endpoint::with_segment;

/// Opens its first transport, and its second one if the first does not carry messages in time.
///
/// Some networks refuse WebSockets, others let them open and swallow what is sent. So the first transport has its time twice: to open, and
/// then to answer a heartbeat, before the socket hears that it is open. If the second one opens where the first has never worked, that is remembered:
/// this value and its clones go straight to it from then on, as the official client does until its browser tab is closed. While
/// neither works, each attempt begins with the first again.
///
/// ```
/// use std::time::Duration;
///
/// use bennu_client::transport::{Fallback, LongPoll, WebSocket};
///
/// // What `Fallback::default()` is.
/// let transport = Fallback::new(WebSocket::new(), LongPoll::new()).after(Duration::from_millis(2_500));
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "longPollFallbackMs")]
pub struct Fallback {
    first: Arc<dyn Transport>,
    second: Arc<dyn Transport>,
    after: Duration,
    memory: Arc<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Whether a heartbeat was ever answered over the first.
    first_worked: AtomicBool,
    /// Whether the first is not to be tried any more.
    prefers_second: AtomicBool,
}

impl Default for Fallback {
    /// From WebSockets to long polling.
    fn default() -> Self {
        Fallback::new(WebSocket::new(), LongPoll::new())
    }
}

impl Fallback {
    /// From one transport to another, after 2.5 s.
    #[must_use]
    pub fn new(first: impl Transport, second: impl Transport) -> Self {
        Fallback {
            first: Arc::new(first),
            second: Arc::new(second),
            after: Duration::from_millis(2_500),
            memory: Arc::default(),
        }
    }

    /// How long the first transport has to open, and again to answer a heartbeat; 2.5 s by default. Twice this, and what the second needs,
    /// has to fit into the socket's time for connecting.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// Whether it has been found that the first transport does not work here.
    #[must_use]
    pub fn has_fallen_back(&self) -> bool {
        self.memory.prefers_second.load(Ordering::Relaxed)
    }

    async fn open_either(self, request: OpenRequest) -> Result<Box<dyn Connection>, OpenError> {
        let mut second_request = request.clone();
        second_request.url = with_segment(&request.url, self.second.segment(), &[self.first.segment()]);
        if self.has_fallen_back() {
            return self.second.open(second_request).await;
        }
        let first_error = match self.open_first(request).await {
            Ok(connection) => {
                self.memory.first_worked.store(true, Ordering::Relaxed);
                return Ok(connection);
            }
            Err(error) => error,
        };
        let second = self.second.open(second_request).await.map_err(|error| both(first_error, error))?;
        if !self.memory.first_worked.load(Ordering::Relaxed) {
            self.memory.prefers_second.store(true, Ordering::Relaxed);
        }
        Ok(second)
    }

    async fn open_first(&self, request: OpenRequest) -> Result<Box<dyn Connection>, OpenError> {
        let serializer = version(&request.url);
        let late = |what: &str| OpenError::Failed(format!("{}: {what} in time", self.first.segment()));
        let opened = timeout(self.after, self.first.open(request)).await;
        let connection = opened.map_err(|_| late("it did not open"))??;
        let healthy = timeout(self.after, Proven::prove(connection, serializer)).await;
        Ok(Box::new(healthy.map_err(|_| late("it did not answer a heartbeat"))??))
    }
}

impl Transport for Fallback {
    /// That of the first; the second's is put in its place.
    fn segment(&self) -> &str {
        self.first.segment()
    }

    /// As the transport that the next connection is tried with first.
    fn needs_heartbeats(&self) -> bool {
        match self.has_fallen_back() {
            true => self.second.needs_heartbeats(),
            false => self.first.needs_heartbeats(),
        }
    }

    fn open(&self, request: OpenRequest) -> Opening {
        Box::pin(self.clone().open_either(request))
    }
}

/// The version of the protocol, as the URL says it.
fn version(url: &str) -> Serializer {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let vsn = query.split('&').rev().find_map(|piece| piece.strip_prefix("vsn="));
    vsn.and_then(|vsn| Serializer::negotiate(vsn).ok()).unwrap_or(Serializer::V2)
}

/// What to say when nothing works: a refusal tells more than a failure, and the first transport's than the second's.
fn both(first: OpenError, second: OpenError) -> OpenError {
    match (first, second) {
        (OpenError::Failed(first), OpenError::Failed(second)) => {
            OpenError::Failed(format!("{first}; then {second}"))
        }
        (OpenError::Failed(_), second) => second,
        (first, _) => first,
    }
}

/// A connection that has answered a heartbeat, and what else came meanwhile.
struct Proven {
    connection: Box<dyn Connection>,
    early: VecDeque<Frame>,
}

/// The ref of the heartbeat. The session's are numbers.
const REF: &str = "fallback";

/// How many frames may come before its answer. Phoenix sends none to a client that has joined nothing.
const MAX_EARLY: usize = 100;

/// And how many bytes.
const MAX_EARLY_BYTES: usize = 256 * 1024;

impl Proven {
    async fn prove(mut connection: Box<dyn Connection>, serializer: Serializer) -> Result<Self, OpenError> {
        let failed = |reason: String| OpenError::Failed(reason);
        let heartbeat = Message {
            join_ref: None,
            reference: Some(Ref::from_text(REF)),
            topic: "phoenix".into(),
            event: "heartbeat".into(),
            payload: Payload::empty(),
        };
        let heartbeat = serializer.encode_message(&heartbeat).map_err(|error| failed(error.to_string()))?;
        let mut unsent = Some(heartbeat);
        let (mut early, mut early_bytes) = (VecDeque::new(), 0);
        loop {
            let next = poll_fn(|cx| {
                if connection.poll_ready(cx).is_ready()
                    && let Some(heartbeat) = unsent.take()
                {
                    connection.send(heartbeat);
                }
                connection.poll_event(cx)
            });
            match next.await {
                ConnectionEvent::Frame(frame) if is_answer(&frame, serializer) => {
                    return Ok(Proven { connection, early });
                }
                ConnectionEvent::Frame(frame) => {
                    early_bytes += frame.payload().len();
                    if early.len() == MAX_EARLY || early_bytes > MAX_EARLY_BYTES {
                        return Err(failed("it sends without being asked".to_owned()));
                    }
                    early.push_back(frame);
                }
                ConnectionEvent::Error(reason) => return Err(failed(reason)),
                ConnectionEvent::Closed(end) => {
                    return Err(failed(format!("it closed with code {} before it answered", end.code)));
                }
                // Whatever else a connection comes to tell, it is no answer.
                _ => {}
            }
        }
    }
}

fn is_answer(frame: &Frame, serializer: Serializer) -> bool {
    serializer.decode_server(frame.clone()).is_ok_and(|message| {
        matches!(message.body, Body::Reply { .. }) && message.reference == Some(Ref::from_text(REF))
    })
}

impl Connection for Proven {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.poll_ready(cx)
    }

    fn send(&mut self, frame: Frame) {
        self.connection.send(frame);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEvent> {
        match self.early.pop_front() {
            Some(frame) => Poll::Ready(ConnectionEvent::Frame(frame)),
            None => self.connection.poll_event(cx),
        }
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.connection.close(code, reason);
    }
}
