//! The loop of a shard's thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bennu_pubsub::PubSub;
use futures_util::future::BoxFuture;
use mio::{Events, Interest, Token};
use slab::Slab;

use super::batch::Batch;
use super::input::Input;
use super::stream::ShardStream;
use super::topics::{Flight, Key, Visited};
use super::{Arrival, Seat, Shard};
use crate::joined::{discard, guarded};
use crate::mailbox::Mailbox;
use crate::transport::websocket::{End, WebSocket};
use crate::turn;

/// What the poll calls a wake-up by another thread.
pub(super) const WAKER: Token = Token(usize::MAX);

/// Readiness of so many sockets is taken from the kernel at a time.
const EVENTS: usize = 1024;

/// Whether the kernel tells of a socket once for each look; some tell of reading and writing by themselves.
const ONCE_EACH: bool = cfg!(target_os = "linux");

/// After so many subscribers of one flight or of several others are looked after.
const SLICE: usize = 256;

/// Deadlines are not looked at more often.
const TICK: Duration = Duration::from_millis(20);

/// Owns a shard's connections, and runs them.
pub(super) struct Runner {
    poll: mio::Poll,
    events: Events,
    shard: Arc<Shard>,
    slots: Slab<Slot>,
    /// The subscribers of a slice.
    subs: Vec<Visited>,
    /// What was read and has yet to be handled.
    input: Input,
    /// When the next connection's deadline may be.
    next_deadline: Option<Instant>,
    /// How many looks in a row have found as many sockets as one can.
    full_looks: usize,
    stops: bool,
    pubsub: PubSub,
}

struct Slot {
    mailbox: Arc<Mailbox>,
    /// The mailbox as well; each turn would count it anew.
    waker: Waker,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "nearly all slots are open")]
enum State {
    Open(WebSocket<ShardStream>),
    Closing(BoxFuture<'static, ()>),
    /// Only while the state changes.
    Gone,
}

impl Runner {
    pub(super) fn new(poll: mio::Poll, shard: Arc<Shard>, pubsub: PubSub) -> Self {
        Runner {
            poll,
            events: Events::with_capacity(EVENTS),
            shard,
            slots: Slab::new(),
            subs: Vec::new(),
            input: Input::default(),
            next_deadline: None,
            full_looks: 0,
            stops: false,
            pubsub,
        }
    }

    /// Runs until the shard is stopped, then drops what it has. A panic that nobody else caught, which is an error of
    /// this crate, or a poll that fails ends this shard alone; the next connection has it replaced.
    pub(super) fn run(mut self) {
        match guarded(|| self.run_until_stopped()) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "a shard cannot wait for its sockets, and closes all its connections");
            }
            Err(panic) => tracing::error!(%panic, "a shard panicked, and closes all its connections"),
        }
        // Nobody is let in any more.
        self.shard.queue.stop();
        if let Err(panic) = guarded(|| self.close()) {
            tracing::error!(%panic, "closing the connections of a shard panicked");
        }
    }

    fn run_until_stopped(&mut self) -> io::Result<()> {
        while !self.stops {
            let mut topics = self.shard.topics.lock();
            let (is_dirty, gone) = (topics.is_dirty(), topics.take_gone());
            drop(topics);
            gone.into_iter().for_each(discard);
            let timeout = match self.shard.queue.may_sleep() {
                true if is_dirty => Some(Duration::ZERO),
                true => self.next_deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
                false => Some(Duration::ZERO),
            };
            self.look(timeout)?;
            self.serve_queue();
            self.fly()?;
            self.serve_deadlines();
            turn::settle();
        }
        Ok(())
    }

    fn close(&mut self) {
        let keys: Vec<usize> = self.slots.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.remove(key as Key));
        self.shard.queue.take().arrivals.into_iter().for_each(discard);
        // What is left of them if they could not end in good order.
        let topics = std::mem::take(&mut *self.shard.topics.lock());
        topics.close_all(&self.pubsub);
        discard(topics);
        self.shard.queue.take_deliveries().into_iter().for_each(discard);
        turn::settle();
    }

    /// Takes readiness from the kernel, and runs who is ready.
    fn look(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        // Only this thread writes it.
        let turns = self.shard.turns.load(Ordering::Relaxed);
        self.shard.turns.store(turns.wrapping_add(1), Ordering::Relaxed);
        let polled = self.poll.poll(&mut self.events, timeout);
        turn::begin();
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        self.shard.queue.woke();
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut found = 0;
        for event in &events {
            found += 1;
            // A key that does not fit is the waker's, which has no slot.
            let key = event.token().0 as Key;
            if !ONCE_EACH && self.input.has(key) {
                self.serve_input();
            }
            let Some(slot) = self.slots.get_mut(event.token().0) else { continue };
            let State::Open(socket) = &mut slot.state else {
                self.run_slot(key, &mut []);
                continue;
            };
            socket.stream().ready(event);
            match socket.read_ahead(self.input.room()) {
                Some(count) => self.input.add(key, count),
                None => self.run_slot(key, &mut []),
            }
            if self.input.is_full() {
                self.serve_input();
            }
        }
        self.serve_input();
        self.full_looks = if found < EVENTS { 0 } else { self.full_looks + 1 };
        self.events = events;
        Ok(())
    }

    /// Gives what was read to the connections, and then lets them write.
    fn serve_input(&mut self) {
        let mut input = std::mem::take(&mut self.input);
        for (key, bytes) in input.pieces() {
            self.begin_turn(key, |state, cx| state.take_in(bytes, cx));
        }
        for key in input.keys() {
            self.go_on(key, |state, cx| state.poll(&mut [], cx));
            self.end_turn(key);
        }
        input.clear();
        self.input = input;
    }

    /// Lets arrivals in, and runs who was woken.
    fn serve_queue(&mut self) {
        let found = self.shard.queue.take();
        self.stops |= found.stops;
        for arrival in found.arrivals {
            self.seat(arrival);
        }
        for key in found.woken {
            self.run_slot(key, &mut []);
        }
    }

    fn seat(&mut self, arrival: Arrival) {
        let Arrival { tcp, mut early, connection, decoder, place } = arrival;
        let vacant = self.slots.vacant_entry();
        // Descriptors are far fewer than 2^32.
        let key = vacant.key() as Key;
        let mut stream = ShardStream::new(mio::net::TcpStream::from_std(tcp), place);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(stream.tcp(), Token(vacant.key()), interest) {
            tracing::error!(%error, "a shard cannot take a socket");
            self.shard.queue.left();
            return;
        }
        let mailbox = connection.mailbox().clone();
        mailbox.sit_down(Seat { shard: self.shard.clone(), key });
        let socket = WebSocket::new(stream, connection, decoder);
        let waker = Waker::from(mailbox.clone());
        vacant.insert(Slot { mailbox, waker, state: State::Open(socket) });
        self.run_slot(key, &mut early);
    }

    /// Polls a connection, at first with what came behind its handshake.
    fn run_slot(&mut self, key: Key, early: &mut [u8]) {
        self.run_with(key, |state, cx| state.poll(early, cx));
    }

    /// Runs a connection for a turn.
    fn run_with(&mut self, key: Key, run: impl FnOnce(&mut State, &mut Context<'_>) -> Poll<()>) {
        self.begin_turn(key, run);
        self.end_turn(key);
    }

    /// Who wakes the connection from now on need not tell the shard.
    fn begin_turn(&mut self, key: Key, run: impl FnOnce(&mut State, &mut Context<'_>) -> Poll<()>) {
        if let Some(slot) = self.slots.get_mut(key as usize) {
            slot.mailbox.begin_turn();
            if let State::Open(socket) = &mut slot.state {
                socket.begin_turn();
            }
            self.go_on(key, run);
        }
    }

    fn go_on(&mut self, key: Key, run: impl FnOnce(&mut State, &mut Context<'_>) -> Poll<()>) {
        let Some(slot) = self.slots.get_mut(key as usize) else { return };
        self.shard.running.store(slot.mailbox.id.owner(), Ordering::Relaxed);
        let Slot { waker, state, .. } = slot;
        let polled = guarded(|| run(state, &mut Context::from_waker(waker)));
        let is_over = polled.map_or_else(
            |panic| {
                tracing::error!(connection = slot.mailbox.id.owner(), %panic, "a connection panicked");
                true
            },
            |polled| polled.is_ready(),
        );
        if is_over {
            self.remove(key);
        }
    }

    /// A connection that is left may have been woken meanwhile.
    fn end_turn(&mut self, key: Key) {
        let Some(slot) = self.slots.get(key as usize) else { return };
        if let Some(deadline) = slot.state.deadline() {
            self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
        }
        if slot.mailbox.end_turn() {
            self.shard.queue.wake(key);
        }
    }

    /// The key is free once nothing of the connection is left.
    fn remove(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key as usize) else { return };
        discard(std::mem::replace(&mut slot.state, State::Gone));
        discard(self.slots.remove(key as usize));
        self.shard.queue.left();
        if self.slots.is_empty() {
            self.slots = Slab::new();
        }
    }

    /// Gives what was broadcast to all subscribers.
    fn fly(&mut self) -> io::Result<()> {
        let mut left = self.shard.absorbed().dirty_count();
        let mut visited = 0;
        while left > 0 {
            let Some(flight) = self.shard.topics.lock().take_off() else { break };
            self.fly_to_all(&flight, &mut visited)?;
            let landed = self.shard.topics.lock().land(&flight);
            landed.into_iter().for_each(discard);
            left -= 1;
        }
        self.shard.is_dirty.store(self.shard.topics.lock().is_dirty(), Ordering::Relaxed);
        Ok(())
    }

    fn fly_to_all(&mut self, flight: &Flight, visited: &mut usize) -> io::Result<()> {
        let mut batch = Batch::new(&flight.frames);
        let mut subs = std::mem::take(&mut self.subs);
        loop {
            subs.clear();
            let mut topics = self.shard.topics.lock();
            let goes_on = topics.visit(flight, SLICE, &mut subs);
            drop(topics);
            if !goes_on {
                break;
            }
            for sub in &subs {
                self.deliver(flight, &mut batch, sub);
            }
            *visited += subs.len();
            if *visited >= SLICE {
                *visited = 0;
                self.look(Some(Duration::ZERO))?;
                self.serve_woken();
            }
        }
        batch.record();
        subs.clear();
        self.subs = subs;
        Ok(())
    }

    fn serve_woken(&mut self) {
        for key in self.shard.queue.take_woken() {
            self.run_slot(key, &mut []);
        }
    }

    fn deliver(&mut self, flight: &Flight, batch: &mut Batch<'_>, visited: &Visited) {
        let Visited { sub, is_ordered } = visited;
        let Some(slot) = self.slots.get_mut(sub.key() as usize) else { return };
        let State::Open(socket) = &mut slot.state else { return };
        if *is_ordered {
            return self.run_slot(sub.key(), &mut []);
        }
        let run = match flight.is_whole_for(sub) && socket.is_clear_for(sub.token) {
            true => batch.run_for(&slot.mailbox, sub.token),
            false => None,
        };
        let is_sent = match run {
            Some((run, sent)) => socket.write_run(run, sub.token, sent),
            None => {
                self.shard.topics.lock().return_to(flight, sub);
                false
            }
        };
        if !is_sent {
            self.run_slot(sub.key(), &mut []);
        }
    }

    /// Tells connections whose deadline has come the time.
    fn serve_deadlines(&mut self) {
        // What a client had sent by then has been read; what it sent while a handler held up the turn has not.
        let now = turn::now();
        if self.next_deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        if self.full_looks > 0 && self.full_looks <= self.slots.len() / EVENTS {
            // Nor has what came from sockets that the last look had no room for.
            return;
        }
        let keys: Vec<usize> =
            self.slots.iter().filter(|(_, slot)| slot.state.is_due(now)).map(|(key, _)| key).collect();
        for key in keys {
            self.run_with(key as Key, |state, cx| {
                state.timeout(now, cx);
                state.poll(&mut [], cx)
            });
        }
        let earliest = self.slots.iter().filter_map(|(_, slot)| slot.state.deadline()).min();
        self.next_deadline = earliest.map(|deadline| deadline.max(now + TICK));
    }
}

impl State {
    fn poll(&mut self, early: &mut [u8], cx: &mut Context<'_>) -> Poll<()> {
        if let State::Open(socket) = self {
            let Poll::Ready(end) = socket.poll_open(early, cx) else { return Poll::Pending };
            self.close(end);
        }
        self.poll_closing(cx)
    }

    /// Runs what was read; what it leads to is written by the next poll.
    fn take_in(&mut self, bytes: &mut [u8], cx: &mut Context<'_>) -> Poll<()> {
        if let State::Open(socket) = self {
            let Err(end) = socket.take_in(bytes, cx) else { return Poll::Pending };
            self.close(end);
        }
        self.poll_closing(cx)
    }

    fn close(&mut self, end: End) {
        if let State::Open(mut socket) = std::mem::replace(self, State::Gone) {
            socket.stream().try_always();
            *self = State::Closing(Box::pin(socket.finish(end)));
        }
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            State::Closing(closing) => closing.as_mut().poll(cx),
            State::Open(_) | State::Gone => Poll::Ready(()),
        }
    }

    fn timeout(&mut self, now: Instant, cx: &mut Context<'_>) {
        if let State::Open(socket) = self {
            socket.timeout(now, cx);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            State::Open(socket) => socket.deadline(),
            State::Closing(_) | State::Gone => None,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }
}
