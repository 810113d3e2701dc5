//! One client that polls: a connection whose frames are taken out by HTTP requests.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bennu_protocol::websocket::close;
use bennu_protocol::{Frame, FrameKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::request::{Answer, AnswerTo, Request};
use super::sessions::Place;
use crate::connection::Connection;
use crate::metrics::Cause;

/// Batches of frames that may wait for a congested connection. Clients send one at a time.
const MAX_BATCHES: usize = 4;

/// A session's task: its mount's table leads requests to it, its endpoint counts and closes it.
pub(crate) struct Session {
    connection: Connection,
    requests: mpsc::Receiver<Request>,
    place: Place,
    window: Duration,
    poll: Option<WaitingPoll>,
    batches: VecDeque<Batch>,
    /// Messages that were taken out for polls which left in that moment.
    returned: Vec<String>,
    last_poll: Instant,
    next_check: Instant,
    timer: Pin<Box<Sleep>>,
    /// Binary frames that could not be sent.
    undeliverable: u64,
}

struct WaitingPoll {
    answer_to: AnswerTo,
    deadline: Instant,
}

/// Frames of one request.
struct Batch {
    frames: VecDeque<Frame>,
    answer_to: AnswerTo,
    /// When the next frame must have been taken in.
    deadline: Instant,
}

impl Session {
    pub(crate) fn new(
        connection: Connection,
        requests: mpsc::Receiver<Request>,
        place: Place,
        window: Duration,
    ) -> Self {
        let now = Instant::now();
        let next_check = now + patience(window);
        Session {
            connection,
            requests,
            place,
            window,
            poll: None,
            batches: VecDeque::new(),
            returned: Vec::new(),
            last_poll: now,
            next_check,
            timer: Box::pin(tokio::time::sleep_until(next_check)),
            undeliverable: 0,
        }
    }

    /// Runs until the session is closed or nobody polls it, then ends its channels.
    pub(crate) async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll_open(cx)).await;
        if self.connection.close_code().is_some() && !self.is_broken() {
            let patience = self.connection.close_timeout();
            // Whoever does not come for it in time goes without.
            let _ = tokio::time::timeout(patience, self.hand_over()).await;
        }
        self.finish().end().await;
    }

    /// Whether a message could not be read or answered, which ends the session without a word.
    fn is_broken(&self) -> bool {
        self.connection.close_code() == Some(close::INTERNAL_ERROR)
    }

    /// Keeps what was sent before the end for one more poll, as a WebSocket sends it before its
    /// close frame.
    async fn hand_over(&mut self) {
        let mut messages = self.take_messages();
        while !messages.is_empty() {
            let Some(request) = self.requests.recv().await else { return };
            match request {
                Request::Poll(answer_to) => {
                    answer_to.accept();
                    let mut excess = answer_to.take_excess(&mut messages);
                    if let Err(Answer::Messages(mut returned)) = answer_to.send(Answer::Messages(messages)) {
                        returned.append(&mut excess);
                        excess = returned;
                    }
                    messages = excess;
                }
                Request::Publish(_, answer_to) => answer(answer_to, Answer::Gone),
                Request::Return(mut returned) => {
                    returned.append(&mut messages);
                    messages = returned;
                }
                Request::Withdraw(_) => {}
            }
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.begin_turn();
        loop {
            self.connection.poll(cx);
            self.answer_poll();
            if self.connection.close_code().is_some() {
                return Poll::Ready(());
            }
            if self.feed(cx) {
                continue;
            }
            match self.requests.poll_recv(cx) {
                Poll::Ready(Some(request)) => {
                    self.accept(request);
                    continue;
                }
                // The table drops the session's place with its endpoint only.
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
            if self.lapse(Instant::now(), cx) {
                return Poll::Ready(());
            }
        }
    }

    fn accept(&mut self, request: Request) {
        let now = Instant::now();
        match request {
            Request::Poll(answer_to) => {
                answer_to.accept();
                self.last_poll = now;
                let poll = WaitingPoll { answer_to, deadline: now + self.window };
                if let Some(earlier) = self.poll.replace(poll) {
                    answer(earlier.answer_to, Answer::Replaced);
                }
            }
            Request::Publish(_, answer_to) if self.batches.len() >= MAX_BATCHES => {
                answer_to.accept();
                answer(answer_to, Answer::NotTaken);
            }
            Request::Publish(frames, answer_to) => {
                answer_to.accept();
                self.batches.push_back(Batch { frames, answer_to, deadline: now + self.window });
            }
            Request::Return(messages) => self.take_back(messages),
            Request::Withdraw(topic) => {
                self.poll.take_if(|poll| poll.answer_to.is_on(&topic));
            }
        }
    }

    /// Answers the waiting poll if there is anything to say.
    fn answer_poll(&mut self) {
        let Some(poll) = self.poll.take() else { return };
        let mut messages = self.take_messages();
        if messages.is_empty() {
            self.poll = Some(poll);
            return;
        }
        let excess = poll.answer_to.take_excess(&mut messages);
        if !excess.is_empty() {
            self.take_back(excess);
        }
        let is_elsewhere = poll.answer_to.is_elsewhere();
        if let Err(Answer::Messages(messages)) = poll.answer_to.send(Answer::Messages(messages)) {
            self.take_back(messages);
            if is_elsewhere {
                // No poll that comes this way would ever get past it.
                self.connection.close_with(close::INTERNAL_ERROR);
            }
        }
    }

    /// Puts messages in front of all that wait, and counts them as waiting again. A client that
    /// leaves them behind again and again is one that does not read.
    fn take_back(&mut self, mut messages: Vec<String>) {
        self.connection.sent_later(messages.iter().map(String::len).sum());
        messages.append(&mut self.returned);
        self.returned = messages;
        if self.connection.is_overrun(self.returned.last().map_or(0, String::len)) {
            self.connection.close_with(close::TRY_AGAIN_LATER);
        }
    }

    /// Takes out all messages that wait. Official clients read text only, so that a binary frame
    /// would cost them every message of the poll.
    fn take_messages(&mut self) -> Vec<String> {
        let mut messages = std::mem::take(&mut self.returned);
        self.connection.sent(messages.iter().map(String::len).sum());
        let mut frames = Vec::new();
        self.connection.take_all_frames(|frame| frames.push(frame));
        for frame in frames {
            self.connection.sent(frame.len());
            let text = (frame.kind() == FrameKind::Text).then(|| String::from_utf8(frame.payload().into()));
            match text {
                Some(Ok(text)) => messages.push(text),
                Some(Err(_)) | None => self.drop_frame(),
            }
        }
        messages
    }

    fn drop_frame(&mut self) {
        self.undeliverable += 1;
        self.connection.transport_metrics().dropped_frames.increment(1);
        if self.undeliverable == 1 {
            let connection = self.connection.id();
            tracing::warn!(connection, "a binary message was dropped: long polling carries text only");
        }
    }

    /// Feeds frames while the connection takes them; true if anything came of it.
    fn feed(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some(batch) = self.batches.front_mut() {
            let close = self.connection.close_code();
            if batch.frames.is_empty() && close != Some(close::INTERNAL_ERROR) {
                let batch = self.batches.pop_front();
                batch.into_iter().for_each(|batch| answer(batch.answer_to, Answer::Taken));
                any = true;
                continue;
            }
            if close.is_some() || !self.connection.wants_input() {
                break;
            }
            batch.deadline = Instant::now() + self.window;
            match batch.frames.pop_front() {
                Some(frame) if frame.len() > self.connection.max_frame_size() => {
                    self.connection.close_with(close::TOO_LARGE);
                }
                frame => frame.into_iter().for_each(|frame| self.connection.receive(frame, cx)),
            }
            any = true;
        }
        any
    }

    /// Waits for the first deadline of all.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let connection = self.connection.deadline().map(Instant::from_std);
        let poll = self.poll.as_ref().map(|poll| poll.deadline);
        let batch = self.batches.front().map(|batch| batch.deadline);
        let deadline = [connection, poll, batch].into_iter().flatten().fold(self.next_check, Instant::min);
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(cx)
    }

    /// Does what is due; true if the session has been left alone for too long.
    fn lapse(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        if let Some(poll) = self.poll.take_if(|poll| poll.deadline <= now) {
            answer(poll.answer_to, Answer::Nothing);
        }
        if self.batches.front().is_some_and(|batch| batch.deadline <= now) {
            let batch = self.batches.pop_front();
            batch.into_iter().for_each(|batch| answer(batch.answer_to, Answer::NotTaken));
        }
        if self.connection.deadline().is_some_and(|deadline| deadline <= now.into_std()) {
            self.connection.timeout(now.into_std(), cx);
        }
        if self.next_check > now {
            return false;
        }
        self.next_check = now + patience(self.window);
        let idle = now - self.last_poll > patience(self.window);
        if idle {
            self.connection.ended_by(Cause::Idle);
        }
        idle
    }

    /// Tells everyone who waits, and lets nobody else in.
    fn finish(self) -> Connection {
        let of_batch = if self.is_broken() { Answer::Ended } else { Answer::Gone };
        let Session { connection, mut requests, place, poll, batches, undeliverable, .. } = self;
        drop(place);
        requests.close();
        poll.into_iter().for_each(|poll| answer(poll.answer_to, Answer::Ended));
        batches.into_iter().for_each(|batch| answer(batch.answer_to, of_batch.clone()));
        while let Ok(request) = requests.try_recv() {
            match request {
                Request::Poll(answer_to) | Request::Publish(_, answer_to) => answer(answer_to, Answer::Gone),
                Request::Return(_) | Request::Withdraw(_) => {}
            }
        }
        if undeliverable > 0 {
            tracing::warn!(connection = connection.id(), undeliverable, "binary messages were dropped");
        }
        connection
    }
}

/// A session that is not polled for so long is looked upon as left.
fn patience(window: Duration) -> Duration {
    window + window / 2
}

/// Answers whoever still waits: that a client has gone is its own affair.
fn answer(answer_to: AnswerTo, with: Answer) {
    let _ = answer_to.send(with);
}
