//! What both ends of a scripted connection share.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bennu_protocol::client::{ConnectionEnd, ConnectionEvent, OpenRequest};
use bennu_protocol::{Frame, Payload, Ref, Serializer, Status};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::came::{Came, Fate, Kind, Log, Said, Wanted};

/// One connection, from when the server accepts it.
pub(super) struct Link {
    pub(super) request: OpenRequest,
    pub(super) serializer: Serializer,
    state: Mutex<State>,
    /// Something came.
    changed: Notify,
}

struct State {
    log: Log,
    rules: Rules,
    /// The last join_ref of each topic.
    joins: HashMap<String, Ref>,
    /// On its way to the client.
    down: VecDeque<ConnectionEvent>,
    client: Option<Waker>,
    is_reading: bool,
    answers_close: bool,
    /// Nothing travels any more.
    has_ended: bool,
}

/// What a server answers by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    pub(super) heartbeats: bool,
    pub(super) joins: bool,
    pub(super) leaves: bool,
}

impl Rules {
    fn apply_to(self, kind: Kind) -> bool {
        match kind {
            Kind::Heartbeat => self.heartbeats,
            Kind::Join => self.joins,
            Kind::Leave => self.leaves,
            Kind::Push => false,
        }
    }
}

impl Link {
    pub(super) fn new(request: OpenRequest, serializer: Serializer, rules: Rules) -> Arc<Self> {
        let state = State {
            log: Log::default(),
            rules,
            joins: HashMap::new(),
            down: VecDeque::new(),
            client: None,
            is_reading: true,
            answers_close: true,
            has_ended: false,
        };
        Arc::new(Link { request, serializer, state: Mutex::new(state), changed: Notify::new() })
    }

    pub(super) fn rule(&self, rule: impl FnOnce(&mut Rules)) {
        rule(&mut self.state.lock().rules);
    }

    /// Takes in a frame of the client.
    pub(super) fn receive(&self, frame: Frame) {
        let mut state = self.state.lock();
        match Said::read(self.serializer, frame) {
            Ok(said) => {
                let is_answered = state.rules.apply_to(said.kind);
                let fate = if is_answered { Fate::Answered } else { Fate::Open };
                if said.kind == Kind::Join
                    && let Some(join_ref) = said.join_ref.clone().or_else(|| said.reference.clone())
                {
                    state.joins.insert(said.topic.clone(), join_ref);
                }
                state.log.push(Came::Message(said.clone()), fate);
                if is_answered {
                    let frame = self.encode_reply(&said, &Status::Ok, &Payload::empty());
                    state.send(ConnectionEvent::Frame(frame));
                    if said.kind == Kind::Leave {
                        let frame = self.encode_end(&state, &said.topic, "phx_close");
                        state.send(ConnectionEvent::Frame(frame));
                    }
                }
            }
            Err(error) => state.log.push(Came::Unreadable(error), Fate::Open),
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The client closes the connection.
    pub(super) fn close_from_client(&self, code: u16, reason: &str) {
        let mut state = self.state.lock();
        let end = ConnectionEnd::clean(code, reason);
        state.log.push(Came::Ended(end.clone()), Fate::Open);
        if state.answers_close {
            state.send(ConnectionEvent::Closed(end));
            state.has_ended = true;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The client's end is gone.
    pub(super) fn drop_from_client(&self) {
        let mut state = self.state.lock();
        if !state.has_ended {
            state.has_ended = true;
            state.log.push(Came::Ended(ConnectionEnd::lost()), Fate::Open);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.is_reading {
            return Poll::Ready(());
        }
        state.client = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_event(&self, cx: &mut Context<'_>) -> Poll<ConnectionEvent> {
        let mut state = self.state.lock();
        match state.down.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                state.client = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Sends a frame to the client; once the connection has ended, nothing happens.
    pub(super) fn send(&self, frame: Frame) {
        self.state.lock().send(ConnectionEvent::Frame(frame));
    }

    /// Ends the connection, behind all that was sent before.
    pub(super) fn end(&self, error: Option<&str>, end: ConnectionEnd) {
        let mut state = self.state.lock();
        if let Some(error) = error {
            state.send(ConnectionEvent::Error(error.to_owned()));
        }
        state.send(ConnectionEvent::Closed(end));
        state.has_ended = true;
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn set_reading(&self, is_reading: bool) {
        let mut state = self.state.lock();
        state.is_reading = is_reading;
        state.wake_client();
    }

    pub(super) fn ignore_close(&self) {
        self.state.lock().answers_close = false;
    }

    /// The ref of the last join of a topic.
    ///
    /// # Panics
    ///
    /// When there was none.
    #[track_caller]
    pub(super) fn join_ref(&self, topic: &str) -> Ref {
        let join_ref = self.state.lock().joins.get(topic).cloned();
        join_ref.unwrap_or_else(|| panic!("the client has not joined {topic:?} on this connection"))
    }

    #[track_caller]
    pub(super) fn reply(&self, to: &Said, status: &Status, response: &Payload) {
        self.send(self.encode_reply(to, status, response));
    }

    /// Tells the client that its channel has ended.
    #[track_caller]
    pub(super) fn end_channel(&self, topic: &str, event: &str) {
        self.join_ref(topic);
        let mut state = self.state.lock();
        let frame = self.encode_end(&state, topic, event);
        state.send(ConnectionEvent::Frame(frame));
    }

    #[track_caller]
    fn encode_reply(&self, to: &Said, status: &Status, response: &Payload) -> Frame {
        let (join_ref, reference) = (to.join_ref.as_ref(), to.reference.as_ref());
        self.serializer
            .encode_reply(join_ref, reference, &to.topic, status, response)
            .unwrap_or_else(|error| panic!("the reply to {:?} cannot be written: {error}", to.event))
    }

    #[track_caller]
    fn encode_end(&self, state: &State, topic: &str, event: &str) -> Frame {
        self.serializer
            .encode_end(state.joins.get(topic), topic, event, &Payload::empty())
            .unwrap_or_else(|error| panic!("{event} of {topic:?} cannot be written: {error}"))
    }

    /// Takes the first thing that is wanted, waiting for it so long.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub(super) async fn expect(&self, wanted: Wanted<'_>, patience: Duration, at: &Location<'_>) -> Came {
        if let Some(came) = self.wait_for(wanted, patience).await {
            return came;
        }
        let state = self.state.lock();
        let why = match state.has_ended {
            true => "but the connection has ended".to_owned(),
            false => format!("within {patience:?}"),
        };
        let list = state.log.list(wanted);
        drop(state);
        panic!("expected {wanted} {why}\n{list}\nat {at}");
    }

    /// Waits so long.
    ///
    /// # Panics
    ///
    /// When there is something that nothing has asked for.
    pub(super) async fn expect_nothing(&self, patience: Duration, at: &Location<'_>) {
        let deadline = tokio::time::Instant::now() + patience;
        if let Some(came) = self.wait_for(Wanted::Anything, patience).await {
            let list = self.state.lock().log.list(Wanted::Anything);
            panic!("expected nothing for {patience:?}, but it came: {came}\n{list}\nat {at}");
        }
        // A connection that has ended says nothing either.
        tokio::time::sleep_until(deadline).await;
    }

    async fn wait_for(&self, wanted: Wanted<'_>, patience: Duration) -> Option<Came> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            // Made before looking, so that what comes in between wakes it.
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                let came = state.log.take(wanted);
                if came.is_some() || state.has_ended {
                    return came;
                }
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return self.state.lock().log.take(wanted);
            }
        }
    }
}

impl State {
    fn send(&mut self, event: ConnectionEvent) {
        if !self.has_ended {
            self.down.push_back(event);
            self.wake_client();
        }
    }

    fn wake_client(&mut self) {
        if let Some(client) = self.client.take() {
            client.wake();
        }
    }
}
