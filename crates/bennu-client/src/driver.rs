//! What drives a socket: hands the session what its transport, its clock and its providers have, and does what it asks for.

use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bennu_protocol::client::{
    ChannelId, ClientEvent, Connection, ConnectionEnd, ConnectionEvent, OpenError, OpenRequest, PushOutcome,
    SendJoinError, SocketStatus as SessionStatus,
};
use bennu_protocol::{DecodeError, Event, Payload, Topic};
use futures_util::StreamExt as _;
use futures_util::stream::{AbortHandle, Abortable, FuturesUnordered};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use crate::channel::{Channel, Core};
use crate::config::SocketConfig;
use crate::error::{JoinError, SocketEnd};
use crate::join::{self, Kind, Wanted};
use crate::message::Message;
use crate::observer::Observer;
use crate::provider::ProviderError;
use crate::shared::Shared;
use crate::status::{ChannelStatus, moment};

/// Rounds of one poll, and frames that are received in one round: after that, other tasks have their turn.
const ROUNDS: usize = 32;
const FRAMES: usize = 32;

/// The future that drives a socket, made by [`Socket::with_driver`](crate::Socket::with_driver). If it is dropped before it is done, the socket has
/// ended.
#[must_use = "a socket does nothing until its driver runs"]
pub struct Driver {
    shared: Arc<Shared>,
    link: Link,
    /// Params that are being fetched for a join, one at a time for each channel.
    params: FuturesUnordered<Abortable<Pin<Box<dyn Future<Output = Fetched> + Send>>>>,
    fetches: HashMap<ChannelId, AbortHandle>,
    /// Channels that nobody but the settings asked for.
    kept: BTreeMap<String, Channel>,
    observer: Observer,
    /// Channels with a type.
    tasks: JoinSet<()>,
    /// When the session wants to be woken, if ever.
    timer: Option<(Duration, Pin<Box<Sleep>>)>,
    end: Option<SocketEnd>,
    is_polled: bool,
    /// Whether the connection has opened that was made last.
    was_open: bool,
    /// Messages on this connection that could not be read.
    unreadable: u64,
}

enum Link {
    None,
    Opening(Opening),
    Open { connection: Box<dyn Connection>, close: Close },
}

/// How far a connection is with closing from this side.
enum Close {
    Not,
    /// With this code and reason, behind what is to be sent.
    Due(u16, String),
    /// What is not sent now waits for the next connection.
    Passed,
}

type Opening = Pin<Box<dyn Future<Output = Result<Box<dyn Connection>, OpenError>> + Send>>;

struct Fetched {
    channel: ChannelId,
    params: Result<Payload, ProviderError>,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Driver {
            observer: Observer::new(Arc::clone(&shared)),
            shared,
            link: Link::None,
            params: FuturesUnordered::new(),
            fetches: HashMap::new(),
            kept: BTreeMap::new(),
            tasks: JoinSet::new(),
            timer: None,
            end: None,
            is_polled: false,
            was_open: false,
            unreadable: 0,
        }
    }

    /// Drives the socket until it ends, and says how. It runs within a tokio runtime, whose clock it uses.
    pub async fn run(mut self) -> SocketEnd {
        let end = poll_fn(|cx| {
            // Left on by a panic.
            self.is_polled = true;
            let polled = self.poll(cx);
            self.is_polled = false;
            polled
        })
        .await;
        self.end = Some(end);
        end
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SocketEnd> {
        self.shared.lock().register(cx.waker());
        for _ in 0..ROUNDS {
            let mut is_busy = self.dispatch();
            self.run_tasks(cx);
            is_busy |= self.poll_opening(cx);
            is_busy |= self.poll_params(cx);
            is_busy |= self.transmit(cx);
            is_busy |= self.receive(cx);
            is_busy |= self.poll_timer(cx);
            if is_busy {
                continue;
            }
            return match self.is_done() {
                Some(end) => Poll::Ready(end),
                None => Poll::Pending,
            };
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether it was stopped, and the connection is closed.
    fn is_done(&self) -> Option<SocketEnd> {
        let state = self.shared.lock();
        state.stop.filter(|_| state.session.status() == SessionStatus::Closed)
    }

    /// Does what the session asks for, and tells what it tells.
    fn dispatch(&mut self) -> bool {
        let mut is_busy = false;
        while let Some((event, core)) = self.next_event() {
            is_busy = true;
            self.observer.tell(&event, core.as_deref());
            match core {
                Some(core) => self.dispatch_channel(event, &core),
                None => self.dispatch_socket(event),
            }
        }
        is_busy
    }

    /// The next event, with the channel that it is about.
    fn next_event(&self) -> Option<(ClientEvent, Option<Arc<Core>>)> {
        let mut state = self.shared.lock();
        let event = state.session.poll_event()?;
        let core = match event {
            ClientEvent::JoinDue { channel, .. }
            | ClientEvent::ChannelStatus { channel, .. }
            | ClientEvent::Joined { channel, .. }
            | ClientEvent::JoinFailed { channel, .. }
            | ClientEvent::ChannelErrored { channel, .. }
            | ClientEvent::ChannelClosed { channel, .. }
            | ClientEvent::Message { channel, .. } => state.channels.get(&channel),
            _ => None,
        };
        let core = core.map(|entry| Arc::clone(&entry.core));
        Some((event, core))
    }

    fn dispatch_socket(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Connect { .. } => self.link = Link::Opening(self.open()),
            ClientEvent::Close { code, reason } => self.close(code, reason),
            ClientEvent::Opened => {
                (self.was_open, self.unreadable) = (true, 0);
                let mut state = self.shared.lock();
                state.last_error = None;
                let wanted = state.config.join_channels.clone();
                drop(state);
                self.keep_joined(&wanted);
            }
            ClientEvent::Closed(end) => {
                // It is not to be taken for the next one.
                self.link = Link::None;
                if std::mem::take(&mut self.was_open) {
                    self.shared.lock().last_close = Some(end);
                }
            }
            ClientEvent::SocketStatus { new, .. } => self.shared.tell_status(new),
            ClientEvent::JoinsUnanswered(silence) => {
                tracing::warn!(socket = %self.shared.id, ?silence, "the server answers heartbeats and no join: connecting anew");
            }
            ClientEvent::ConnectionError { reason, .. } => {
                tracing::debug!(socket = %self.shared.id, reason, "the connection failed");
            }
            ClientEvent::PushEnded { push, outcome, .. } => {
                let waiter = self.shared.lock().pushes.remove(&push);
                let unheard = match waiter {
                    Some(waiter) => waiter.send(outcome).err(),
                    None => Some(outcome),
                };
                if let Some(outcome) = unheard {
                    self.shared.tell_unheard(&outcome);
                }
            }
            _ => {}
        }
    }

    fn dispatch_channel(&mut self, event: ClientEvent, core: &Arc<Core>) {
        match event {
            ClientEvent::JoinDue { channel, .. } => self.fetch_params(channel),
            ClientEvent::Joined { attempt, response, .. } => core.joined(attempt, &response),
            ClientEvent::JoinFailed { channel, attempt, failure } => {
                self.stop_fetch(channel);
                core.join_failed(attempt, &JoinError::new(failure));
            }
            ClientEvent::ChannelErrored { attempt, fault, .. } => {
                tracing::debug!(topic = %core.topic, ?fault, "a channel failed");
                core.errored(attempt);
            }
            ClientEvent::ChannelClosed { channel, reason } => {
                self.stop_fetch(channel);
                let is_kept = self.kept.get(core.topic.as_str()).is_some_and(|it| it.core().id == core.id);
                let kept = is_kept.then(|| self.kept.remove(core.topic.as_str()));
                let entry = self.shared.lock().channels.remove(&core.id);
                core.end(reason.into());
                drop((kept, entry));
            }
            ClientEvent::ChannelStatus { new, .. } => {
                core.tell_status(ChannelStatus::new(new, self.shared.epoch));
            }
            ClientEvent::Message { event, payload, .. } => {
                let event = Event::from(event.as_str());
                core.deliver(Message::new(core.topic.clone(), event, payload));
            }
            _ => {}
        }
    }

    /// Params, token and transport, within the time for connecting.
    fn open(&self) -> Opening {
        let config = self.shared.lock().config.clone();
        let limit = config.connect_timeout;
        Box::pin(async move {
            let opened = tokio::time::timeout(limit, open(config)).await;
            opened.unwrap_or_else(|_| Err(OpenError::Failed(format!("no connection within {limit:?}"))))
        })
    }

    fn close(&mut self, code: u16, reason: String) {
        match &mut self.link {
            Link::Open { close, .. } => *close = Close::Due(code, reason),
            Link::Opening(_) | Link::None => {
                self.link = Link::None;
                let mut state = self.shared.lock();
                // Somebody may have asked for another connection meanwhile.
                if state.session.status() == SessionStatus::Closing {
                    state.session.handle_close(ConnectionEnd::lost(), self.shared.now());
                }
            }
        }
    }

    /// Joins what the settings want joined at every connect, unless it is wanted already.
    fn keep_joined(&mut self, wanted: &[(String, Option<crate::Provider<Payload>>)]) {
        let default = self.shared.lock().config.default_channel_params.clone();
        for (topic, params) in wanted {
            if self.shared.lock().session.channel(topic).is_some() {
                continue;
            }
            let params = params.as_ref().unwrap_or(&default);
            let wanted = Wanted {
                topic: Topic::from(topic.as_str()),
                params: params.clone(),
                timeout: None,
                kind: Kind::Only,
                channel_type: None,
                hooks: Vec::new(),
            };
            let joined = join::start(&self.shared, None, &wanted);
            // Only one that is wanted already, or an end, can be in the way.
            if let Ok(started) = joined {
                self.kept.insert(topic.clone(), started.channel);
            }
        }
    }

    fn fetch_params(&mut self, channel: ChannelId) {
        let params = self.shared.lock().channels.get(&channel).map(|entry| entry.params.clone());
        let Some(params) = params else { return };
        match params.fixed() {
            Some(fixed) => self.send_join(Fetched { channel, params: Ok(fixed.clone()) }),
            None => {
                let (handle, registration) = AbortHandle::new_pair();
                if let Some(older) = self.fetches.insert(channel, handle) {
                    older.abort();
                }
                let fetch: Pin<Box<dyn Future<Output = Fetched> + Send>> = Box::pin(async move {
                    let params = params.get().await;
                    Fetched { channel, params }
                });
                self.params.push(Abortable::new(fetch, registration));
            }
        }
    }

    /// What would come of it is not wanted any more.
    fn stop_fetch(&mut self, channel: ChannelId) {
        if let Some(fetch) = self.fetches.remove(&channel) {
            fetch.abort();
        }
    }

    fn poll_params(&mut self, cx: &mut Context<'_>) -> bool {
        let mut is_busy = false;
        while let Poll::Ready(Some(fetched)) = self.params.poll_next_unpin(cx) {
            is_busy = true;
            if let Ok(fetched) = fetched {
                self.fetches.remove(&fetched.channel);
                self.send_join(fetched);
            }
        }
        is_busy
    }

    /// Answers a join that is due. Without params this attempt has failed, and the next one asks for them again.
    fn send_join(&self, Fetched { channel, params }: Fetched) {
        let mut state = self.shared.lock();
        let now = self.shared.now();
        let reason = match params {
            Ok(params) => match state.session.send_join(channel, params.clone(), now) {
                Ok(()) => {
                    drop(state);
                    return self.tell_inbox(channel, params);
                }
                Err(SendJoinError::NotDue) => return,
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        tracing::warn!(socket = %self.shared.id, reason, "a channel has no params to join with");
        state.session.refuse_join(channel, reason, now);
    }

    /// The channel's type, if it has one, begins with these params.
    fn tell_inbox(&self, channel: ChannelId, params: Payload) {
        let inbox = self.shared.lock().channels.get(&channel).and_then(|entry| entry.core.inbox.clone());
        if let Some(inbox) = inbox {
            inbox.join_is_sent(params);
        }
    }

    /// Starts the tasks of channels that have a type, and lets go of those that have ended.
    fn run_tasks(&mut self, cx: &mut Context<'_>) {
        let tasks = std::mem::take(&mut self.shared.lock().tasks);
        for task in tasks {
            self.tasks.spawn(task.run());
        }
        while let Poll::Ready(Some(_)) = self.tasks.poll_join_next(cx) {}
    }

    fn poll_opening(&mut self, cx: &mut Context<'_>) -> bool {
        let Link::Opening(opening) = &mut self.link else { return false };
        let Poll::Ready(opened) = opening.as_mut().poll(cx) else { return false };
        let now = self.shared.now();
        match opened {
            Ok(connection) => {
                self.link = Link::Open { connection, close: Close::Not };
                self.shared.lock().session.handle_open(now);
            }
            Err(error) => {
                self.link = Link::None;
                let retry_after = match &error {
                    OpenError::Refused { retry_after, .. } => *retry_after,
                    _ => None,
                };
                let end = ConnectionEnd { retry_after, ..ConnectionEnd::lost() };
                let mut state = self.shared.lock();
                state.session.handle_error(error.to_string(), now);
                state.session.handle_close(end, now);
                state.last_error = Some(error);
            }
        }
        true
    }

    /// Hands over frames as long as the transport takes them.
    fn transmit(&mut self, cx: &mut Context<'_>) -> bool {
        let Link::Open { connection, close } = &mut self.link else { return false };
        if matches!(close, Close::Passed) {
            return false;
        }
        let mut is_busy = false;
        loop {
            if connection.poll_ready(cx).is_pending() {
                return is_busy;
            }
            let Some(frame) = self.shared.lock().session.poll_transmit() else { break };
            self.observer.sent(&frame);
            connection.send(frame);
            is_busy = true;
        }
        if let Close::Due(code, reason) = close {
            connection.close(*code, reason);
            *close = Close::Passed;
            is_busy = true;
        }
        is_busy
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let Link::Open { connection, .. } = &mut self.link else { return false };
        let mut is_busy = false;
        for _ in 0..FRAMES {
            let Poll::Ready(event) = connection.poll_event(cx) else { break };
            is_busy = true;
            match event {
                ConnectionEvent::Frame(frame) => {
                    self.observer.received(&frame);
                    let handled = self.shared.lock().session.handle_frame(frame, self.shared.now());
                    if let Err(error) = handled {
                        self.unreadable += 1;
                        tell_unreadable(&self.shared, &error, self.unreadable);
                    }
                }
                ConnectionEvent::Error(reason) => {
                    self.shared.lock().session.handle_error(reason, self.shared.now());
                }
                ConnectionEvent::Closed(end) => {
                    self.link = Link::None;
                    self.shared.lock().session.handle_close(end, self.shared.now());
                    break;
                }
                _ => {}
            }
        }
        is_busy
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let due = self.shared.lock().session.poll_timeout();
        let Some(due) = due else {
            self.timer = None;
            return false;
        };
        let at = moment(self.shared.epoch, due);
        match &mut self.timer {
            Some((set, _)) if *set == due => {}
            Some((set, sleep)) => {
                sleep.as_mut().reset(at);
                *set = due;
            }
            none => *none = Some((due, Box::pin(tokio::time::sleep_until(at)))),
        }
        let is_due = self.timer.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready());
        if is_due {
            self.timer = None;
            self.shared.lock().session.handle_timeout(self.shared.now());
        }
        is_due
    }
}

impl Shared {
    /// Nobody waits for this push any more: that it was never sent must not go unnoticed.
    fn tell_unheard(&self, outcome: &PushOutcome) {
        let was_lost = matches!(
            outcome,
            PushOutcome::Dropped
                | PushOutcome::Closed
                | PushOutcome::Unsendable(_)
                | PushOutcome::TimedOut { was_sent: false }
        );
        if was_lost {
            tracing::warn!(socket = %self.id, ?outcome, "a push that nobody waits for was never sent");
        }
    }
}

/// A message that cannot be read is passed over: the next one may be fine. The first of a connection is worth a warning.
fn tell_unreadable(shared: &Shared, error: &DecodeError, count: u64) {
    match count {
        1 => tracing::warn!(socket = %shared.id, %error, "the server sent what is no message"),
        _ => tracing::debug!(socket = %shared.id, %error, count, "the server sent what is no message"),
    }
}

async fn open(config: SocketConfig) -> Result<Box<dyn Connection>, OpenError> {
    let failed = |error: ProviderError| OpenError::Failed(error.to_string());
    let params = config.params.get().await.map_err(failed)?;
    let endpoint = config.endpoint().map_err(|error| OpenError::Invalid(error.to_string()))?;
    let mut request = OpenRequest::new(endpoint.url(config.transport.segment(), &config.vsn, &params));
    request.headers = config.headers;
    if let Some(token) = config.auth_token {
        request.auth_token = Some(token.get().await.map_err(failed)?);
    }
    config.transport.open(request).await
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.link = Link::None;
        let end = self.end.unwrap_or(match self.is_polled {
            true => SocketEnd::Panicked,
            false => SocketEnd::Aborted,
        });
        self.observer.ended(end);
        self.shared.finish(end);
        self.kept.clear();
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("socket", &self.shared.id).finish_non_exhaustive()
    }
}
