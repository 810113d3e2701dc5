//! One client: drives its session and its channels, whatever carries its frames.

mod credentials;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bennu_protocol::websocket::close;
use bennu_protocol::{
    ChannelId, EncodeError, Frame, Payload, Ref, ServerSession, SessionError, SessionEvent, Topic,
};
use futures_util::future::BoxFuture;

use crate::channel::{JoinRefusal, Reply, StopReason, TerminateReason};
use crate::context::{Address, ContextCore};
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::history::Following;
use crate::joined::{AnyChannel, Input, Joined, Step, Waiting, discard, guarded};
use crate::mailbox::{Drained, Item, Mailbox, SOCKET_TOKEN};
use crate::metrics::{Cause, RouteMetrics, TransportMetrics};
use crate::mount::Mount;
use crate::router::JoinStart;
use crate::socket::{AnyAssigns, AnyConnected, Refusal, TransportKind};

/// Bytes of client messages that may wait for handlers before nothing more is read.
const MAX_WAITING: usize = 256 * 1024;

/// How many handlers one turn of a connection runs, so that one that never runs out of
/// messages does not hold up the other connections of its thread.
const STEPS_PER_TURN: u32 = 256;

/// A client's session, its channels, and what is to be sent to it.
///
/// A transport feeds it with frames, calls [`poll`](Self::poll) whenever its
/// waker is woken, and takes frames out until there are none.
pub(crate) struct Connection {
    session: ServerSession,
    channels: Vec<Option<Joined>>,
    /// Ends of channels that wait for something.
    ending: Vec<Ending>,
    outbox: VecDeque<Frame>,
    close: Option<u16>,
    /// Why it ended, in a word for metrics.
    cause: Cause,
    /// Whether nothing more is read, and the end comes once what was read is handled.
    draining: bool,
    /// Handlers that this turn may still run.
    steps_left: u32,
    mailbox: Arc<Mailbox>,
    mount: Arc<Mount>,
    endpoint: Endpoint,
    assigns: AnyAssigns,
    socket_id: Option<Topic>,
    transport: TransportKind,
    /// Only if they expire.
    credentials: Option<Box<Credentials>>,
}

/// A channel's `terminate` that waits for something.
struct Ending {
    future: BoxFuture<'static, ()>,
    route: u32,
}

/// What a [`Connection`] is made of.
pub(crate) struct ConnectionStart {
    pub(crate) session: ServerSession,
    pub(crate) mount: Arc<Mount>,
    pub(crate) endpoint: Endpoint,
    pub(crate) connected: AnyConnected,
    pub(crate) transport: TransportKind,
}

impl ConnectionStart {
    fn subscribe(&self, mailbox: &Arc<Mailbox>) {
        if let Some(id) = &self.connected.id {
            let token = mailbox.id.with_token(SOCKET_TOKEN);
            self.endpoint.pubsub().add_subscriber(id, token, mailbox.clone());
        }
    }

    fn unsubscribe(&self, mailbox: &Mailbox) {
        if let Some(id) = &self.connected.id {
            self.endpoint.pubsub().remove_subscriber(id, mailbox.id.with_token(SOCKET_TOKEN));
        }
    }
}

impl Connection {
    /// Begins, unless the credential has expired or is revoked.
    pub(crate) fn new(mut start: ConnectionStart) -> Result<Self, Refusal> {
        let mailbox =
            Mailbox::new(start.session.serializer(), start.mount.clone(), start.endpoint.pubsub().clone());
        start.subscribe(&mailbox);
        // What is revoked before this is seen here, and what is revoked after it reaches the mailbox.
        let credentials = start.admit().inspect_err(|_| start.unsubscribe(&mailbox))?;
        start.endpoint.connections().register(&mailbox);
        start.mount.metrics.transport(start.transport).connections.increment(1);
        Ok(Connection {
            session: start.session,
            channels: Vec::new(),
            ending: Vec::new(),
            outbox: VecDeque::new(),
            close: None,
            cause: Cause::Gone,
            draining: false,
            steps_left: STEPS_PER_TURN,
            mailbox,
            mount: start.mount,
            endpoint: start.endpoint,
            assigns: start.connected.assigns,
            socket_id: start.connected.id,
            transport: start.transport,
            credentials,
        })
    }

    /// Begins a turn: the transport's task is polled.
    pub(crate) fn begin_turn(&mut self) {
        self.steps_left = STEPS_PER_TURN;
    }

    /// Takes in one frame and runs what it is for.
    pub(crate) fn receive(&mut self, frame: Frame, cx: &mut Context<'_>) {
        let metrics = self.mount.metrics.transport(self.transport);
        metrics.received_frames.increment(1);
        metrics.received_bytes.increment(frame.len() as u64);
        let handled = self.session.handle_frame(frame);
        self.checked(handled);
        self.transmit();
        self.process_events(cx);
    }

    /// Notes that the client sent something.
    pub(crate) fn received(&mut self, now: Instant) {
        self.session.handle_received(now);
    }

    /// Lets time pass.
    pub(crate) fn timeout(&mut self, now: Instant, cx: &mut Context<'_>) {
        self.session.handle_timeout(now);
        self.age_credentials(now);
        self.process_events(cx);
    }

    /// When to call [`timeout`](Self::timeout).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let expiry = self.credentials.as_ref().and_then(|credentials| credentials.poll_timeout());
        self.session.poll_timeout().into_iter().chain(expiry).min()
    }

    /// Runs everything that can run, and arranges to be woken for the rest.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        self.mailbox.register(cx.waker());
        loop {
            let mut progress = self.drain_mailbox();
            for index in 0..self.channels.len() {
                progress |= self.run_channel(index, cx);
            }
            progress |= self.process_events(cx);
            progress |= self.run_renewal(cx);
            if !progress || self.close.is_some() {
                break;
            }
        }
        if self.draining && self.has_handled_all() {
            self.close_with(close::SERVICE_RESTART);
        }
        self.poll_endings(cx);
    }

    /// Gives out the next frames to send, counted together. [`sent`](Self::sent) tells when they have left.
    pub(crate) fn take_frames(&mut self, at_most: usize, mut take: impl FnMut(Frame)) {
        let count = at_most.min(self.outbox.len());
        if count == 0 {
            return;
        }
        let mut bytes = 0;
        self.outbox.drain(..count).for_each(|frame| {
            bytes += frame.len() as u64;
            take(frame);
        });
        let metrics = self.transport_metrics();
        metrics.sent_frames.increment(count as u64);
        metrics.sent_bytes.increment(bytes);
        if self.outbox.is_empty() {
            self.outbox = VecDeque::new();
        }
    }

    /// So many bytes of taken frames are out of this process.
    pub(crate) fn sent(&self, bytes: usize) {
        self.mailbox.sent(bytes);
    }

    /// So many bytes, which the transport adds, will leave later.
    pub(crate) fn sent_later(&self, bytes: usize) {
        self.mailbox.queued(bytes);
    }

    /// Whether a last message of so many bytes found more waiting than may.
    pub(crate) fn is_overrun(&self, last: usize) -> bool {
        self.mailbox.backlog().saturating_sub(last) > self.mount.options.max_backlog
    }

    /// The code to close with, once something asked for that.
    pub(crate) fn close_code(&self) -> Option<u16> {
        self.close
    }

    /// Whether more should be read: not while replies, messages or ends pile up.
    pub(crate) fn wants_input(&self) -> bool {
        let waiting = self.channels.iter().flatten().map(Joined::waiting_bytes).sum::<usize>();
        let waiting = waiting + self.waiting_beside_channels();
        // A client that joins and leaves would have as many wait to end as it likes.
        let room_to_end = self.ending.len() < self.mount.options.max_channels.max(1);
        !self.draining && !self.mailbox.is_congested() && waiting <= MAX_WAITING && room_to_end
    }

    /// Whether no message of the client waits for a handler, and no handler for anything.
    fn has_handled_all(&self) -> bool {
        let is_renewing = self.credentials.as_ref().is_some_and(|credentials| credentials.is_renewing());
        let waits = is_renewing || self.waiting_beside_channels() > 0;
        !waits && self.channels.iter().flatten().all(Joined::is_at_rest)
    }

    fn waiting_beside_channels(&self) -> usize {
        let renewals = self.credentials.as_ref().map_or(0, |credentials| credentials.waiting_bytes());
        renewals + self.session.parked_bytes()
    }

    /// Ends all channels: handlers that wait may finish, then `terminate` runs.
    pub(crate) async fn end(mut self) {
        self.mailbox.close();
        let timeout = self.mount.options.shutdown;
        let ended = std::future::poll_fn(|cx| self.poll_end(cx));
        if tokio::time::timeout(timeout, ended).await.is_err() {
            tracing::warn!(
                connection = self.mailbox.id.owner(),
                ?timeout,
                "handlers were cut off by the end of the connection"
            );
        }
    }

    /// How long a client may take next to nothing of what waits for it.
    pub(crate) fn write_timeout(&self) -> Duration {
        self.mount.options.write_timeout
    }

    /// How long closing may take.
    pub(crate) fn close_timeout(&self) -> Duration {
        self.mount.options.shutdown
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for index in 0..self.channels.len() {
            let Some(mut joined) = self.channels[index].take() else { continue };
            joined.clear_waiting();
            if joined.is_busy() && matches!(joined.step(cx), Step::Pending) {
                self.channels[index] = Some(joined);
                continue;
            }
            let reason = if self.draining { TerminateReason::Draining } else { TerminateReason::Closed };
            self.terminate(joined, reason, cx);
        }
        self.poll_endings(cx);
        match self.ending.is_empty() && self.channels.iter().all(Option::is_none) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Acts on what the session says; true if it said anything.
    fn process_events(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some(event) = self.session.poll_event() {
            any = true;
            match event {
                SessionEvent::Join { channel, route, topic, payload } => {
                    self.start_join(channel, route, topic, payload);
                    self.run_channel(channel.index as usize, cx);
                }
                SessionEvent::Message { channel, event, payload, reference } => {
                    self.enqueue(channel, Waiting::Input(Input::In { event, payload, reference }));
                    self.run_channel(channel.index as usize, cx);
                }
                SessionEvent::Leave { channel, reference } => {
                    self.enqueue(channel, Waiting::Leave { reference });
                    self.run_channel(channel.index as usize, cx);
                }
                SessionEvent::Replaced { channel } => {
                    if let Some(joined) = self.remove(channel.index as usize) {
                        self.terminate(joined, TerminateReason::Replaced, cx);
                    }
                }
                SessionEvent::Renew { renewal, payload } => self.ask_to_renew(renewal, &payload),
                SessionEvent::Idle => {
                    self.close_with(close::PROTOCOL_ERROR);
                    self.cause = Cause::Idle;
                }
            }
        }
        any
    }

    fn start_join(&mut self, channel: ChannelId, route_index: usize, topic: Topic, payload: Payload) {
        let Some(route) = self.mount.routes.get(route_index) else { return };
        let address = Address {
            mailbox: self.mailbox.clone(),
            channel,
            serializer: self.session.serializer(),
            topic: topic.clone(),
            join_ref: self.session.join_ref(channel),
        };
        let core = ContextCore {
            address,
            endpoint: self.endpoint.clone(),
            route: route_index,
            socket_id: self.socket_id.clone(),
            reference: None,
            subscribed: false,
            subscriptions: Vec::new(),
            history: route.history.as_ref().map(|_| Following::new(&payload)),
        };
        let prefix = self.mount.prefixes[route_index];
        let (assigns, transport) = (self.assigns.clone(), self.transport);
        let join = (route.start)(JoinStart { core, prefix, payload, assigns, transport });
        let index = channel.index as usize;
        if self.channels.len() <= index {
            self.channels.resize_with(index + 1, || None);
        }
        self.channels[index] = Some(Joined::new(channel.generation, route_index as u32, topic, join));
    }

    fn enqueue(&mut self, channel: ChannelId, waiting: Waiting) {
        if let Some(joined) = self.joined(channel) {
            let before = joined.backlog_bytes();
            joined.push(waiting);
            let held = joined.backlog_bytes() - before;
            self.mailbox.held(held);
        }
    }

    /// Runs one channel until it waits or has nothing to do; true if anything happened.
    fn run_channel(&mut self, index: usize, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some(joined) = self.channels.get_mut(index).and_then(Option::as_mut) {
            if self.steps_left == 0 {
                // The rest is for the next turn, which begins as soon as others had theirs.
                cx.waker().wake_by_ref();
                return false;
            }
            let before = joined.backlog_bytes();
            let step = joined.step(cx);
            self.mailbox.released(before.saturating_sub(joined.backlog_bytes()));
            if matches!(step, Step::Pending | Step::Idle) {
                break;
            }
            any = true;
            self.steps_left -= 1;
            let channel = ChannelId { index: index as u32, generation: joined.generation };
            self.act(channel, step, cx);
        }
        any
    }

    /// Does what a step of a channel came to. What the handler sent is in the mailbox and goes first.
    fn act(&mut self, channel: ChannelId, step: Step, cx: &mut Context<'_>) {
        self.drain_mailbox();
        if let Some(joined) = self.joined(channel) {
            joined.settle();
        }
        match step {
            Step::Pending | Step::Idle | Step::Continue => {}
            Step::Accepted(response) => self.accept(channel, response),
            Step::Refused(refusal) => self.refuse(channel, refusal),
            Step::Reply { reply, reference } => self.reply_or_crash(channel, &reply, reference.as_ref(), cx),
            Step::Frame(frame) => self.emit(frame),
            Step::Leave { reference } => {
                let left = self.session.left(channel, reference.as_ref());
                self.finish(channel, left, TerminateReason::Left, cx);
            }
            Step::Stop { reason, reply } => {
                if let Some((reply, reference)) = reply {
                    self.reply_or_crash(channel, &reply, reference.as_ref(), cx);
                }
                self.stop(channel, reason, cx);
            }
            Step::Crashed(error) => {
                self.crashed(channel, &error);
                self.fail(channel, TerminateReason::Crashed, cx);
            }
            Step::Panicked(panic) => {
                self.crashed(channel, &panic);
                self.fail(channel, TerminateReason::Crashed, cx);
            }
        }
    }

    fn accept(&mut self, channel: ChannelId, response: Payload) {
        let Some(joined) = self.joined(channel) else { return };
        let response = match joined.begin(response) {
            Ok(response) => response,
            Err(error) => return self.refuse(channel, JoinRefusal::Crashed(error.into())),
        };
        let accepted = self.session.accept_join(channel, &response);
        self.checked(accepted);
        self.transmit();
        self.with_route(channel, |metrics| metrics.joins_ok.increment(1));
        let connection = self.mailbox.id.owner();
        if let Some(joined) = self.joined(channel) {
            tracing::info!(connection, topic = ?&*joined.topic, "joined");
        }
    }

    fn refuse(&mut self, channel: ChannelId, refusal: JoinRefusal) {
        let response = match refusal {
            JoinRefusal::Refused(response) => {
                self.with_route(channel, |metrics| metrics.joins_refused.increment(1));
                let topic = self.joined(channel).map(|joined| joined.topic.clone());
                tracing::info!(connection = self.mailbox.id.owner(), ?topic, "refused join");
                response
            }
            JoinRefusal::Crashed(error) => {
                self.with_route(channel, |metrics| {
                    metrics.joins_crashed.increment(1);
                    metrics.crashes_in_join.increment(1);
                });
                self.log_crash("join crashed", channel, &error);
                Payload::Json(br#"{"reason":"join crashed"}"#.as_slice().into())
            }
        };
        if let Some(joined) = self.remove(channel.index as usize) {
            discard(joined);
        }
        let refused = self.session.refuse_join(channel, &response);
        self.checked(refused);
        self.transmit();
    }

    fn stop(&mut self, channel: ChannelId, reason: StopReason, cx: &mut Context<'_>) {
        match reason {
            StopReason::Normal | StopReason::Shutdown => {
                let stopped = self.session.stop(channel);
                self.finish(channel, stopped, TerminateReason::Stopped(reason), cx);
            }
            StopReason::Failure(ref text) => {
                self.crashed(channel, text);
                self.fail(channel, TerminateReason::Stopped(reason), cx);
            }
        }
    }

    /// Ends a channel in good order: what `terminate` sends comes after the `phx_close`.
    fn finish(
        &mut self,
        channel: ChannelId,
        told: Result<(), SessionError>,
        reason: TerminateReason,
        cx: &mut Context<'_>,
    ) {
        self.checked(told);
        self.transmit();
        if let Some(joined) = self.remove(channel.index as usize) {
            self.terminate(joined, reason, cx);
        }
    }

    /// Ends a channel that failed: what `terminate` sends comes before the `phx_error`.
    fn fail(&mut self, channel: ChannelId, reason: TerminateReason, cx: &mut Context<'_>) {
        if let Some(joined) = self.remove(channel.index as usize) {
            self.terminate(joined, reason, cx);
        }
        self.drain_mailbox();
        let crashed = self.session.crash(channel);
        self.checked(crashed);
        self.transmit();
    }

    fn terminate(&mut self, joined: Joined, reason: TerminateReason, cx: &mut Context<'_>) {
        let route = joined.route;
        let Some(channel) = joined.into_channel() else { return };
        match guarded(|| AnyChannel::terminate(channel, reason)) {
            Ok(future) => {
                let mut ending = Ending { future, route };
                if ending.poll(&self.mount, cx).is_pending() {
                    self.ending.push(ending);
                }
            }
            Err(panic) => log_terminate(&self.mount, route, &panic),
        }
    }

    fn poll_endings(&mut self, cx: &mut Context<'_>) {
        let mount = &self.mount;
        self.ending.retain_mut(|ending| ending.poll(mount, cx).is_pending());
    }

    /// Replies; a reply that the client's version cannot carry is the channel's failure.
    fn reply_or_crash(
        &mut self,
        channel: ChannelId,
        reply: &Reply,
        reference: Option<&Ref>,
        cx: &mut Context<'_>,
    ) {
        if let Err(error) = self.reply(channel, reply, reference) {
            self.crashed(channel, &error);
            self.fail(channel, TerminateReason::Crashed, cx);
        }
    }

    fn reply(
        &mut self,
        channel: ChannelId,
        reply: &Reply,
        reference: Option<&Ref>,
    ) -> Result<(), EncodeError> {
        let join_ref = self.session.join_ref(channel);
        let Some(joined) = self.joined(channel) else { return Ok(()) };
        let topic = joined.topic.clone();
        let frame = self.session.serializer().encode_reply(
            join_ref.as_ref(),
            reference,
            &topic,
            &reply.status,
            &reply.response,
        )?;
        self.emit(frame);
        Ok(())
    }

    /// Sorts what other threads and the own handlers sent; true if there was anything.
    fn drain_mailbox(&mut self) -> bool {
        match self.mailbox.drain() {
            Drained::Items(items) => {
                let any = !items.is_empty();
                items.into_iter().for_each(|item| self.sort(item));
                any
            }
            Drained::Overflowed(dropped) => {
                tracing::warn!(
                    connection = self.mailbox.id.owner(),
                    "the client reads too slowly and is disconnected"
                );
                let dropped = dropped + std::mem::take(&mut self.outbox).len();
                self.transport_metrics().dropped_frames.increment(dropped as u64);
                self.close_with(close::TRY_AGAIN_LATER);
                self.mailbox.close();
                false
            }
        }
    }

    fn sort(&mut self, item: Item) {
        let size = item.size();
        match item {
            // These were counted when they were sent, and stay counted in the outbox.
            Item::Frame(frame) => self.outbox.push_back(frame),
            Item::Reply { channel, frame } if self.joined(channel).is_some() => self.outbox.push_back(frame),
            Item::Fastlane { channel, frame } if self.joined(channel).is_some() => match self.joined(channel)
            {
                Some(joined) if joined.holds_broadcasts() => self.enqueue(channel, Waiting::Frame(frame)),
                _ => self.outbox.push_back(frame),
            },
            Item::Out { channel, delivery } if self.joined(channel).is_some() => {
                self.enqueue(channel, Waiting::Input(Input::Out(delivery)));
            }
            Item::Info { channel, info } if self.joined(channel).is_some() => {
                self.enqueue(channel, Waiting::Input(Input::Info(info)));
            }
            Item::Drain => self.draining = true,
            Item::Close(code) => self.close_with(code),
            stale @ (Item::Reply { .. } | Item::Fastlane { .. } | Item::Out { .. } | Item::Info { .. }) => {
                self.mailbox.sent(size);
                discard(stale);
            }
        }
    }

    fn transmit(&mut self) {
        while let Some(frame) = self.session.poll_transmit() {
            self.emit(frame);
        }
    }

    fn emit(&mut self, frame: Frame) {
        self.mailbox.queued(frame.len());
        self.outbox.push_back(frame);
    }

    /// A session that cannot go on closes the connection.
    fn checked(&mut self, result: Result<(), SessionError>) {
        if let Err(error) = result {
            tracing::debug!(
                connection = self.mailbox.id.owner(),
                error = &error as &dyn std::error::Error,
                "closing with 1011"
            );
            self.close_with(close::INTERNAL_ERROR);
        }
    }

    /// The first reason to close is the one that counts.
    pub(crate) fn close_with(&mut self, code: u16) {
        if self.close.is_none() {
            self.close = Some(code);
            self.cause = Cause::of_close_code(code);
        }
    }

    /// Notes why it ends, where no close code tells.
    pub(crate) fn ended_by(&mut self, cause: Cause) {
        self.cause = cause;
    }

    /// What logs call it.
    pub(crate) fn id(&self) -> u64 {
        self.mailbox.id.owner()
    }

    /// The longest message that the client may send, in bytes.
    pub(crate) fn max_frame_size(&self) -> usize {
        self.mount.options.limits.max_frame_size
    }

    pub(crate) fn transport_metrics(&self) -> &TransportMetrics {
        self.mount.metrics.transport(self.transport)
    }

    fn joined(&mut self, channel: ChannelId) -> Option<&mut Joined> {
        let joined = self.channels.get_mut(channel.index as usize)?.as_mut()?;
        (joined.generation == channel.generation).then_some(joined)
    }

    fn remove(&mut self, index: usize) -> Option<Joined> {
        let mut joined = self.channels.get_mut(index)?.take()?;
        self.mailbox.released(joined.backlog_bytes());
        joined.clear_waiting();
        Some(joined)
    }

    fn with_route(&mut self, channel: ChannelId, record: impl FnOnce(&RouteMetrics)) {
        if let Some(route) = self.joined(channel).map(|joined| joined.route) {
            record(self.mount.metrics.route(route as usize));
        }
    }

    fn crashed(&mut self, channel: ChannelId, error: &dyn std::fmt::Display) {
        self.with_route(channel, |metrics| metrics.crashes_in_handler.increment(1));
        self.log_crash("a channel crashed", channel, error);
    }

    fn log_crash(&mut self, what: &str, channel: ChannelId, error: &dyn std::fmt::Display) {
        let topic = self.joined(channel).map(|joined| joined.topic.clone());
        let topic = topic.as_deref().unwrap_or_default();
        tracing::error!(connection = self.mailbox.id.owner(), topic = ?topic, %error, "{what}");
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let metrics = self.transport_metrics();
        metrics.connections.decrement(1);
        metrics.disconnect(self.cause);
        tracing::info!(connection = self.mailbox.id.owner(), cause = self.cause.as_str(), "disconnected");
        self.mailbox.close();
        if let Some(id) = &self.socket_id {
            let token = self.mailbox.id.with_token(SOCKET_TOKEN);
            self.endpoint.pubsub().remove_subscriber(id, token);
        }
        self.endpoint.connections().unregister(&self.mailbox);
        self.channels.drain(..).for_each(discard);
    }
}

impl Ending {
    /// Polls it; a panic is logged and ends it.
    fn poll(&mut self, mount: &Mount, cx: &mut Context<'_>) -> Poll<()> {
        guarded(|| self.future.as_mut().poll(cx)).unwrap_or_else(|panic| {
            log_terminate(mount, self.route, &panic);
            Poll::Ready(())
        })
    }
}

fn log_terminate(mount: &Mount, route: u32, panic: &str) {
    mount.metrics.route(route as usize).crashes_in_terminate.increment(1);
    tracing::error!(channel = mount.routes[route as usize].pattern, panic, "terminate panicked");
}
