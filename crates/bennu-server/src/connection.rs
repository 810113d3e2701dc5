//! One client: drives its session and its channels, whatever carries its frames.

mod channels;
mod credentials;
mod lane;
mod outbox;
mod slow_readers;
mod steps;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bennu_protocol::websocket::close;
use bennu_protocol::{
    ChannelId, Frame, Incoming, Payload, Ref, ServerSession, SessionError, SessionEvent, Topic,
};
use bennu_pubsub::{Delivery, Place};

use self::channels::Channels;
use self::outbox::Outbox;
use self::steps::{Ended, Ending};
use crate::channel::TerminateReason;
use crate::context::Client;
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::history::Following;
use crate::joined::{Contexts, Input, Joined, Step, Waiting, discard};
use crate::mailbox::{Drained, Item, Mailbox, SOCKET_TOKEN, Subscription};
use crate::metrics::{Cause, TransportMetrics};
use crate::mount::Mount;
use crate::router::JoinStart;
use crate::socket::{AnyConnected, Refusal, TransportKind};
use crate::turn::{self, Counts};

/// Bytes of client messages that may wait for handlers before nothing more is read.
const MAX_WAITING: usize = 256 * 1024;

/// Bytes that a transport has taken and not sent, from which on it gets no more.
const MAX_TAKEN: usize = 64 * 1024;

/// How many handlers one turn of a connection runs, so that one that never runs out of
/// messages does not hold up the other connections of its thread.
const STEPS_PER_TURN: u32 = 256;

/// A client's session, its channels, and what is to be sent to it.
///
/// A transport feeds it with frames, calls [`poll`](Self::poll) whenever its
/// waker is woken, and takes frames out until there are none.
pub(crate) struct Connection {
    session: ServerSession,
    channels: Channels,
    /// Ends of channels that wait for something.
    ending: Vec<Ending>,
    outbox: Outbox,
    /// Bytes that the transport took and that have not left.
    unsent: usize,
    close: Option<u16>,
    /// Why it ended, in a word for metrics.
    cause: Cause,
    /// Whether nothing more is read, and the end comes once what was read is handled.
    draining: bool,
    /// Handlers that this turn may still run.
    steps_left: u32,
    mailbox: Arc<Mailbox>,
    mount: Arc<Mount>,
    client: Arc<Client>,
    transport: TransportKind,
    /// When its credential was issued, if anybody knows.
    issued_at: Option<SystemTime>,
    /// Only if they expire.
    credentials: Option<Box<Credentials>>,
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
            self.endpoint.pubsub().add_subscriber(id.clone(), token, mailbox.clone());
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
            Mailbox::new(start.session.encoding(), start.mount.clone(), start.endpoint.pubsub().clone());
        start.subscribe(&mailbox);
        // What is revoked before this is seen here, and what is revoked after it reaches the mailbox.
        let credentials = start.admit().inspect_err(|_| start.unsubscribe(&mailbox))?;
        start.endpoint.connections().register(&mailbox);
        start.mount.metrics.transport(start.transport).connections.increment(1);
        let issued_at = start.connected.issued_at;
        let client = Arc::new(Client {
            mailbox: mailbox.clone(),
            endpoint: start.endpoint,
            encoding: start.session.encoding(),
            assigns: start.connected.assigns,
            socket_id: start.connected.id,
        });
        Ok(Connection {
            session: start.session,
            channels: Channels::default(),
            ending: Vec::new(),
            outbox: Outbox::default(),
            unsent: 0,
            close: None,
            cause: Cause::Gone,
            draining: false,
            steps_left: STEPS_PER_TURN,
            client,
            mailbox,
            mount: start.mount,
            transport: start.transport,
            issued_at,
            credentials,
        })
    }

    /// Begins a turn: the transport's task is polled, or its shard comes to it.
    pub(crate) fn begin_turn(&mut self) {
        self.steps_left = STEPS_PER_TURN;
    }

    /// Takes in one frame and runs what it is for.
    pub(crate) fn receive<'a>(&mut self, message: impl Into<Incoming<'a>>, cx: &mut Context<'_>) {
        let message = message.into();
        let received_bytes = message.data.len() as u64;
        let counts = Counts { received_frames: 1, received_bytes, ..Counts::default() };
        turn::count(&self.mount, self.transport, counts);
        let handled = self.session.receive(message);
        self.transmit();
        match handled {
            Ok(Some(event)) => self.process(event, cx),
            Ok(None) => {}
            Err(error) => self.checked(Err(error)),
        }
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
        self.catch_up(cx);
        if self.draining && self.has_handled_all() {
            self.close_with(close::SERVICE_RESTART);
        }
        self.poll_endings(cx);
    }

    /// Runs what there is, and nothing that ends the connection: something that has been read is to be handled behind it.
    pub(crate) fn catch_up(&mut self, cx: &mut Context<'_>) {
        self.mailbox.register(cx.waker());
        if !self.has_work() {
            return;
        }
        loop {
            let mut progress = self.drain_mailbox();
            progress |= self.end_lost_channels(cx);
            for place in self.channels.take_active() {
                progress |= self.run_channel(place as usize, None, cx);
            }
            progress |= self.process_events(cx);
            progress |= self.run_renewal(cx);
            if !progress || self.close.is_some() {
                break;
            }
        }
    }

    /// Whether [`poll`](Self::poll) has anything to do; it mostly has not, right after a message was handled.
    fn has_work(&self) -> bool {
        let is_renewing = self.credentials.as_ref().is_some_and(|credentials| credentials.is_renewing());
        let is_ending = self.draining || !self.ending.is_empty();
        let is_active = self.channels.has_active() || self.outbox.has_lost();
        self.mailbox.is_filled() || is_active || is_ending || is_renewing
    }

    /// Whether there are frames to take.
    pub(crate) fn has_frames(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Gives out the next frames to send, as many as one write can use; what stays can still be dropped.
    /// [`sent`](Self::sent) tells when they have left.
    pub(crate) fn take_frames(&mut self, at_most: usize, take: impl FnMut(Frame)) {
        self.take(at_most, MAX_TAKEN.saturating_sub(self.unsent), take);
    }

    /// Gives out all frames.
    pub(crate) fn take_all_frames(&mut self, take: impl FnMut(Frame)) {
        self.take(usize::MAX, usize::MAX, take);
    }

    /// The frames are counted together.
    fn take(&mut self, at_most: usize, bytes: usize, take: impl FnMut(Frame)) {
        let taken = self.outbox.take(at_most, bytes, take);
        self.unsent += taken.bytes;
        self.mailbox.unheld(taken.droppable);
        if taken.frames > 0 {
            let (sent_frames, sent_bytes) = (taken.frames as u64, taken.bytes as u64);
            turn::count(&self.mount, self.transport, Counts { sent_frames, sent_bytes, ..Counts::default() });
        }
    }

    /// So many bytes of taken frames are out of this process.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.unsent = self.unsent.saturating_sub(bytes);
        self.mailbox.sent(bytes);
    }

    /// So many bytes, which the transport adds, will leave later.
    pub(crate) fn sent_later(&mut self, bytes: usize) {
        self.unsent += bytes;
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
        let waiting = self.channels.active().map(Joined::waiting_bytes).sum::<usize>();
        let waiting = waiting + self.waiting_beside_channels();
        // A client that joins and leaves would have as many wait to end as it likes.
        let room_to_end = self.ending.len() < self.mount.options.max_channels.max(1);
        !self.draining && !self.is_congested() && waiting <= MAX_WAITING && room_to_end
    }

    /// Whether no message of the client waits for a handler, and no handler for anything.
    fn has_handled_all(&self) -> bool {
        let is_renewing = self.credentials.as_ref().is_some_and(|credentials| credentials.is_renewing());
        let waits = is_renewing || self.waiting_beside_channels() > 0;
        !waits && self.channels.active().all(Joined::is_at_rest)
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
        let reason = if self.draining { TerminateReason::Draining } else { TerminateReason::Closed };
        for channel in self.channels.ids().collect::<Vec<_>>() {
            let Connection { channels, session, client, .. } = self;
            let Some(joined) = channels.get_mut(channel) else { continue };
            joined.clear_waiting();
            let contexts = Contexts { client, session, channel };
            if joined.is_running() && matches!(joined.step(&contexts, cx), Step::Pending) {
                continue;
            }
            let ended = self.remove(channel);
            self.terminate(ended, reason.clone(), cx);
        }
        self.poll_endings(cx);
        match self.ending.is_empty() && self.channels.ids().next().is_none() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Acts on what the session says; true if it said anything.
    fn process_events(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some(event) = self.session.poll_event() {
            any = true;
            self.process(event, cx);
        }
        any
    }

    fn process(&mut self, event: SessionEvent, cx: &mut Context<'_>) {
        match event {
            SessionEvent::Join { channel, route, topic, payload } => {
                self.start_join(channel, route, topic, payload);
                self.run_channel(channel.index as usize, None, cx);
            }
            SessionEvent::Message { channel, event, payload, reference } => {
                self.hand(channel, Waiting::Input(Input::In { event, payload, reference }), cx);
            }
            SessionEvent::Leave { channel, reference } => {
                self.hand(channel, Waiting::Leave { reference }, cx);
            }
            SessionEvent::Replaced { channel, topic, join_ref } => {
                let ended = self.remove_named(channel, topic, join_ref);
                self.terminate(ended, TerminateReason::Replaced, cx);
            }
            SessionEvent::Renew { renewal, payload } => self.ask_to_renew(renewal, &payload),
            SessionEvent::Idle => {
                self.close_with(close::PROTOCOL_ERROR);
                self.cause = Cause::Idle;
            }
        }
    }

    fn start_join(&mut self, channel: ChannelId, route_index: usize, topic: Topic, payload: Payload) {
        let Some(route) = self.mount.routes.get(route_index) else { return };
        let history = route.history.as_ref().map(|_| Following::new(&payload));
        let (client, transport) = (self.client.clone(), self.transport);
        let prefix = self.mount.prefixes[route_index];
        let start = JoinStart { client, topic, route: route_index, prefix, payload, transport };
        // Subscriptions name a route with 16 bits as well.
        let joined = Joined::new(channel.generation, route_index as u16, (route.start)(start), history);
        self.channels.insert(channel, joined);
    }

    /// Gives a channel what the client sent: at once, unless something is in front of it.
    fn hand(&mut self, channel: ChannelId, waiting: Waiting, cx: &mut Context<'_>) {
        let is_idle = self.joined(channel).is_some_and(|joined| joined.is_idle());
        match is_idle && self.steps_left > 0 {
            true => self.run_channel(channel.index as usize, Some(waiting), cx),
            false => {
                self.enqueue(channel, waiting);
                self.run_channel(channel.index as usize, None, cx)
            }
        };
    }

    fn enqueue(&mut self, channel: ChannelId, waiting: Waiting) {
        if let Some(joined) = self.joined(channel) {
            let before = joined.backlog_bytes();
            joined.push(waiting);
            let held = joined.backlog_bytes() - before;
            self.mailbox.held(held);
            self.channels.activate(channel.index as usize);
        }
    }

    /// The client has what was broadcast up to this place.
    fn skip(&mut self, channel: ChannelId, included: Place) {
        if let Some(joined) = self.joined(channel) {
            let before = joined.backlog_bytes();
            joined.skip(included);
            let skipped = before - joined.backlog_bytes();
            self.mailbox.released(skipped);
        }
    }

    /// Sorts what other threads and the own handlers sent; true if there was anything.
    fn drain_mailbox(&mut self) -> bool {
        if !self.mailbox.is_filled() {
            return false;
        }
        match self.mailbox.drain() {
            Drained::Items(items) => {
                let any = !items.is_empty();
                self.sort_all(items.into_iter().map(|(_, item)| item));
                any
            }
            Drained::Overflowed(dropped) => {
                self.overflow(dropped);
                false
            }
        }
    }

    /// Whether a broadcast for this subscription may go to the client at once, ahead of nothing.
    pub(crate) fn is_clear_for(&self, token: u64) -> bool {
        let Some(Subscription { channel, .. }) = Subscription::from_token(token) else { return false };
        let joined = self.channels.get(channel);
        let is_ready = joined.is_some_and(|joined| !joined.holds_broadcasts());
        // What others sent before they broadcast may be in the mailbox still.
        is_ready && self.close.is_none() && self.outbox.is_empty() && self.mailbox.backlog() == 0
    }

    /// Takes a broadcast that could not be written at once.
    pub(crate) fn deliver(&mut self, token: u64, delivery: &Delivery) {
        let item = Subscription::from_token(token).and_then(|to| self.mailbox.item(to, delivery));
        if let Some(item) = item {
            self.mailbox.queued(item.size());
            self.sort_all([item]);
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.client.endpoint
    }

    /// What other threads know of it.
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// False if the connection has to close for it.
    fn sort(&mut self, item: Item) -> bool {
        let size = item.size();
        match item {
            // These were counted when they were sent, and stay counted in the outbox.
            Item::Frame(frame) => self.outbox.push(frame),
            Item::Reply { channel, frame } if self.joined(channel).is_some() => self.outbox.push(frame),
            Item::Fastlane { channel, frame, place, delivery } if self.joined(channel).is_some() => {
                return self.sort_broadcast(channel, frame, place, delivery);
            }
            Item::Out { channel, delivery } if self.joined(channel).is_some() => {
                self.enqueue(channel, Waiting::Input(Input::Out(delivery)));
            }
            Item::Info { channel, info } if self.joined(channel).is_some() => {
                self.enqueue(channel, Waiting::Input(Input::Info(info)));
            }
            Item::Included { channel, place } => self.skip(channel, place),
            Item::Missed { channel } => return self.miss(channel),
            Item::Drain => self.draining = true,
            Item::Revoked(at) => self.revoked(at),
            Item::Close(code) => self.close_with(code),
            stale @ (Item::Reply { .. } | Item::Fastlane { .. } | Item::Out { .. } | Item::Info { .. }) => {
                self.mailbox.sent(size);
                discard(stale);
            }
        }
        true
    }

    fn transmit(&mut self) {
        while let Some(frame) = self.session.poll_transmit() {
            self.emit(frame);
        }
    }

    fn emit(&mut self, frame: Frame) {
        self.mailbox.queued(frame.len());
        self.outbox.push(frame);
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
        self.channels.get_mut(channel)
    }

    /// Takes a channel out of the table.
    fn remove(&mut self, channel: ChannelId) -> Option<Ended> {
        let (topic, join_ref) = self.session.names(channel)?;
        self.remove_named(channel, topic.clone(), join_ref)
    }

    /// Takes a channel out that the session knows no more.
    fn remove_named(&mut self, channel: ChannelId, topic: Topic, join_ref: Option<Ref>) -> Option<Ended> {
        let mut joined = self.channels.remove(channel)?;
        self.mailbox.released(joined.backlog_bytes());
        joined.clear_waiting();
        let core = joined.core(self.client.clone(), channel, topic, join_ref);
        Some(Ended { joined, core })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let metrics = self.transport_metrics();
        metrics.connections.decrement(1);
        metrics.disconnect(self.cause);
        tracing::info!(connection = self.mailbox.id.owner(), cause = self.cause.as_str(), "disconnected");
        self.mailbox.close();
        if let Some(id) = &self.client.socket_id {
            let token = self.mailbox.id.with_token(SOCKET_TOKEN);
            self.client.endpoint.pubsub().remove_subscriber(id, token);
        }
        self.client.endpoint.connections().unregister(&self.mailbox);
        for channel in self.channels.ids().collect::<Vec<_>>() {
            discard(self.remove(channel));
        }
        self.ending.drain(..).for_each(discard);
    }
}
