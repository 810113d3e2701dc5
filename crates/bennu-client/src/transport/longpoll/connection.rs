//! A session over long polling, driven by being polled.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bennu_protocol::Frame;
use bennu_protocol::client::ConnectionEnd;
use bennu_protocol::websocket::close;
use http::Request;
use http_body_util::Full;

use super::answer::PollAnswer;
use super::batches::Batches;
use super::lane::{Answer, Lane, LaneError};
use super::server::Server;
use crate::transport::{Connection, ConnectionEvent, head};

/// With which code the official client ends a session that the server no longer knows.
const SESSION_GONE: u16 = 3410;

/// The official client's code for a server that does not let one in.
const FORBIDDEN: u16 = 1008;

/// And for one that takes too long.
const TIMED_OUT: u16 = 1005;

pub(super) struct LongPollConnection {
    server: Arc<Server>,
    token: String,
    poll: Exchange,
    post: Exchange,
    waiting: Batches,
    /// What the last answer had of messages.
    arrived: VecDeque<Frame>,
    /// With which code and reason to close once everything is posted.
    closing: Option<(u16, String)>,
    /// What is left to be told after an error.
    end: Option<ConnectionEnd>,
    /// Who waits for room.
    blocked: Option<Waker>,
}

/// Requests of one kind: a connection for the next one, or the one that is on its way.
enum Exchange {
    Idle(Lane),
    Running(Running),
}

type Running = Pin<Box<dyn Future<Output = (Lane, Result<Answer, LaneError>)> + Send>>;

/// Why a session ends, as the official client tells it.
struct Failure {
    error: String,
    code: u16,
    reason: &'static str,
    retry_after: Option<Duration>,
}

impl LongPollConnection {
    /// A session that the server has just opened.
    pub(super) fn new(server: Arc<Server>, token: String, lane: Lane) -> Self {
        LongPollConnection {
            server,
            token,
            poll: Exchange::Idle(lane),
            post: Exchange::Idle(Lane::default()),
            waiting: Batches::default(),
            arrived: VecDeque::new(),
            closing: None,
            end: None,
            blocked: None,
        }
    }

    /// Posts what waits, batch by batch; ready when nothing does.
    fn poll_posted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            if self.post.is_idle() {
                let Some(batch) = self.waiting.next() else { return Poll::Ready(Ok(())) };
                let request = self.server.post(&self.token, batch);
                self.post.start(&self.server, request.map_err(LaneError::Open));
                if let Some(waker) = self.blocked.take() {
                    waker.wake();
                }
            }
            let answer = ready!(self.post.poll_answer(cx))?;
            match PollAnswer::parse(&answer.body) {
                Some(PollAnswer { status: 200, .. }) if answer.status == 200 => {}
                parsed => return Poll::Ready(Err(Failure::unexpected("post", &answer, parsed.as_ref()))),
            }
        }
    }

    /// Polls; ready with each answer that the session lives through.
    fn poll_polled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.poll.is_idle() {
            let request = self.server.poll(Some(&self.token));
            self.poll.start(&self.server, request.map_err(LaneError::Open));
        }
        let answer = ready!(self.poll.poll_answer(cx))?;
        let parsed = PollAnswer::parse(&answer.body).filter(|_| answer.status == 200);
        Poll::Ready(match parsed {
            Some(PollAnswer { status: 200 | 204, token, messages }) => {
                self.token = token.unwrap_or_else(|| std::mem::take(&mut self.token));
                self.arrived.extend(messages.into_iter().map(Frame::text));
                Ok(())
            }
            Some(PollAnswer { status: 410, .. }) => {
                Err(Failure::new("the session is gone", SESSION_GONE, "session_gone"))
            }
            Some(PollAnswer { status: 403, .. }) => {
                Err(Failure::new("the server refused with status 403", FORBIDDEN, "forbidden"))
            }
            parsed => Err(Failure::unexpected("poll", &answer, parsed.as_ref())),
        })
    }

    /// An error, and that the session has ended after it.
    fn failed(&mut self, failure: Failure) -> ConnectionEvent {
        let mut end = ConnectionEnd::lost();
        end.code = failure.code;
        end.reason = failure.reason.to_owned();
        end.retry_after = failure.retry_after;
        self.end = Some(end);
        ConnectionEvent::Error(failure.error)
    }
}

impl Connection for LongPollConnection {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waiting.is_full() {
            return Poll::Ready(());
        }
        self.blocked = Some(cx.waker().clone());
        Poll::Pending
    }

    fn send(&mut self, frame: Frame) {
        if self.closing.is_none() {
            self.waiting.push(&frame);
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEvent> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(ConnectionEvent::Closed(end));
        }
        loop {
            if let Some(frame) = self.arrived.pop_front() {
                return Poll::Ready(ConnectionEvent::Frame(frame));
            }
            let posted = match self.poll_posted(cx) {
                Poll::Ready(Err(failure)) => return Poll::Ready(self.failed(failure)),
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            if let Some((code, reason)) = &self.closing {
                // The server is told nothing: it ends sessions that nobody polls.
                let end = || ConnectionEvent::Closed(ConnectionEnd::clean(*code, reason.as_str()));
                return if posted { Poll::Ready(end()) } else { Poll::Pending };
            }
            if let Err(failure) = ready!(self.poll_polled(cx)) {
                return Poll::Ready(self.failed(failure));
            }
        }
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.closing.get_or_insert_with(|| (code, reason.to_owned()));
    }
}

impl Exchange {
    fn is_idle(&self) -> bool {
        matches!(self, Exchange::Idle(_))
    }

    fn start(&mut self, server: &Arc<Server>, request: Result<Request<Full<bytes::Bytes>>, LaneError>) {
        let Exchange::Idle(lane) = self else { return };
        let mut lane = std::mem::take(lane);
        let server = Arc::clone(server);
        *self = Exchange::Running(Box::pin(async move {
            let outcome = match request {
                Ok(request) => lane.exchange(&server, request).await,
                Err(error) => Err(error),
            };
            (lane, outcome)
        }));
    }

    /// The answer to the request that runs; it is idle then.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        let Exchange::Running(running) = self else { return Poll::Pending };
        let (lane, outcome) = ready!(running.as_mut().poll(cx));
        *self = Exchange::Idle(lane);
        Poll::Ready(outcome.map_err(|error| match error {
            LaneError::TimedOut => Failure::new("timeout", TIMED_OUT, "timeout"),
            error => Failure::new(error.to_string(), close::INTERNAL_ERROR, INTERNAL_ERROR),
        }))
    }
}

/// The official client's reason for whatever goes wrong.
const INTERNAL_ERROR: &str = "internal server error";

impl Failure {
    fn new(error: impl Into<String>, code: u16, reason: &'static str) -> Self {
        Failure { error: error.into(), code, reason, retry_after: None }
    }

    fn unexpected(request: &str, answer: &Answer, parsed: Option<&PollAnswer>) -> Self {
        let error = match parsed {
            _ if answer.status != 200 => format!("the {request} was answered with status {}", answer.status),
            Some(parsed) => format!("the {request} was answered with status {}", parsed.status),
            None => format!("the answer to the {request} cannot be read"),
        };
        let failure = Failure::new(error, close::INTERNAL_ERROR, INTERNAL_ERROR);
        Failure { retry_after: head::retry_after(&answer.headers), ..failure }
    }
}
