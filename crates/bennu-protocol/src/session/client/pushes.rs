//! Pushes: held until they can go, sent once, and ended once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;

use super::ClientSession;
use super::buffer::{Outgoing, Place};
use super::channels::{ChannelId, State};
use super::config::{SendBuffer, WhenFull};
use super::event::{ClientEvent, PushOutcome};
use super::link::HEARTBEAT;
use super::timers::Timer;
use crate::error::EncodeError;
use crate::event::Event;
use crate::frame::Frame;
use crate::message::{NameRef, Status};
use crate::payload::Payload;
use crate::refs::Ref;
use crate::serializer::MessageParts;
use crate::topic::Topic;

/// Names one push of a session; it is its ref as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(pub(super) u64);

impl PushId {
    /// The ref that the push has on the wire.
    #[must_use]
    pub fn reference(self) -> Ref {
        Ref::from_number(self.0)
    }
}

/// What to push, and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    event: Event,
    payload: Payload,
    timeout: Option<Duration>,
    awaits: Awaits,
    unconfirmed: Unconfirmed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Reply,
    Sending,
}

/// What becomes of a push that was sent and not answered when its connection or channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unconfirmed {
    Ended,
    Retried,
}

impl Push {
    /// A push that waits for a reply, as long as the configuration says, and is sent once at most.
    #[must_use]
    pub fn new(event: impl Into<Event>, payload: Payload) -> Self {
        let (awaits, unconfirmed) = (Awaits::Reply, Unconfirmed::Ended);
        Push { event: event.into(), payload, timeout: None, awaits, unconfirmed }
    }

    /// Its event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// What it carries.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// How long it may take, from now on and whether or not it can be sent, until its reply comes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// It ends with [`PushOutcome::Sent`] as soon as the transport takes it: for events that the server does not reply to.
    #[doc(alias = "push_async")]
    #[must_use]
    pub fn without_reply(mut self) -> Self {
        self.awaits = Awaits::Sending;
        self
    }

    /// If its connection or channel ends before the reply, it is sent again on the next join, as long as its time lasts. The server may then
    /// see it twice. If there is no room for it in the buffer, it ends with [`PushOutcome::Unconfirmed`] all the same.
    #[must_use]
    pub fn retry_unconfirmed(mut self) -> Self {
        self.unconfirmed = Unconfirmed::Retried;
        self
    }
}

/// Why a push was refused. It has no [`PushId`], and nothing else is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PushError {
    /// The channel was left or closed.
    #[error("the channel is closed")]
    ChannelClosed,
    /// No more may wait to be sent, and nothing may give way.
    #[error("the send buffer is full")]
    BufferFull,
    /// The event belongs to the protocol, as `phx_join` does.
    #[error("the event belongs to the protocol")]
    ReservedEvent,
    /// The version of the protocol cannot carry it.
    #[error("the push cannot be written")]
    Encode(#[from] EncodeError),
}

/// All pushes that have not ended, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    all: BTreeMap<PushId, Box<Pending>>,
    by_channel: BTreeSet<(Option<ChannelId>, PushId)>,
    /// Those that wait to be sent and count towards the buffer.
    unsent: BTreeSet<PushId>,
    unsent_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) channel: Option<ChannelId>,
    pub(super) topic: Topic,
    pub(super) push: Push,
    origin: Origin,
    /// That of the join it is queued or sent for, or the raw message's.
    join_ref: Option<Ref>,
    pub(super) started: Duration,
    stage: Stage,
    /// Whether a transport has taken it, be it an earlier one.
    pub(super) was_sent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Channel,
    Raw,
    Ping,
    Leave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Until its channel is joined, or for a raw message until the socket opens.
    Held,
    /// Until the transport takes it.
    Queued(Place),
    /// Until its reply comes.
    Sent,
}

impl Pending {
    /// Bytes that it counts for in the buffer.
    fn size(&self) -> usize {
        size(&self.topic, &self.push)
    }
}

fn size(topic: &str, push: &Push) -> usize {
    topic.len() + push.event.as_str().len() + push.payload.len()
}

impl Pushes {
    pub(super) fn iter(&self) -> impl Iterator<Item = (PushId, &Pending)> {
        self.all.iter().map(|(id, pending)| (*id, &**pending))
    }

    /// How many wait to be sent, and their bytes.
    pub(super) fn buffered(&self) -> (usize, usize) {
        (self.unsent.len(), self.unsent_bytes)
    }

    fn insert(&mut self, id: PushId, pending: Pending) {
        self.by_channel.insert((pending.channel, id));
        self.all.insert(id, Box::new(pending));
    }

    fn remove(&mut self, id: PushId) -> Option<Pending> {
        self.uncount(id);
        let pending = self.all.remove(&id)?;
        self.by_channel.remove(&(pending.channel, id));
        if self.all.is_empty() {
            // An emptied tree keeps its root.
            *self = Pushes::default();
        }
        Some(*pending)
    }

    /// From now on it waits to be sent.
    fn count(&mut self, id: PushId) {
        if let Some(pending) = self.all.get(&id)
            && self.unsent.insert(id)
        {
            self.unsent_bytes += pending.size();
        }
    }

    /// It is to be sent once more.
    fn hold_again(&mut self, id: PushId) {
        if let Some(pending) = self.all.get_mut(&id) {
            pending.stage = Stage::Held;
        }
        self.count(id);
    }

    fn uncount(&mut self, id: PushId) {
        if let Some(pending) = self.all.get(&id)
            && self.unsent.remove(&id)
        {
            self.unsent_bytes -= pending.size();
        }
    }

    pub(super) fn get(&self, id: PushId) -> Option<&Pending> {
        self.all.get(&id).map(|pending| &**pending)
    }

    /// Those of one channel, or of none.
    pub(super) fn of(&self, channel: Option<ChannelId>) -> Vec<PushId> {
        let range = (channel, PushId(0))..=(channel, PushId(u64::MAX));
        self.by_channel.range(range).map(|(_, id)| *id).collect()
    }

    fn has_room(&self, buffer: &SendBuffer, bytes: usize) -> bool {
        self.unsent.len() < buffer.max_pushes && self.unsent_bytes.saturating_add(bytes) <= buffer.max_bytes
    }
}

impl ClientSession {
    /// Pushes to a channel: now if it is joined, else as soon as it is. Its time runs from now. Its end comes as
    /// [`ClientEvent::PushEnded`].
    ///
    /// # Errors
    ///
    /// [`PushError`] when it can never be sent; it has then left no trace.
    pub fn push(&mut self, channel: ChannelId, push: Push, now: Duration) -> Result<PushId, PushError> {
        self.advance(now);
        let Some(found) = self.channels.get(channel) else { return Err(PushError::ChannelClosed) };
        if !matches!(push.event, Event::Custom(_)) {
            return Err(PushError::ReservedEvent);
        }
        let is_joined = matches!(found.state, State::Joined { .. });
        let topic = found.topic.clone();
        let id = self.admit(Some(channel), topic, push, Origin::Channel)?;
        // While the connection is closing it waits for the next one.
        if is_joined && self.link.is_open() {
            self.queue(id);
        }
        Ok(id)
    }

    /// Sends a message that belongs to no channel, as soon as the socket is open, with the `join_ref` that it is given. Its time runs from then on. Replies to it are told
    /// as of any push; whatever else it makes the server send reaches channels alone.
    ///
    /// # Errors
    ///
    /// [`PushError`] when it can never be sent; it has then left no trace.
    pub fn push_raw(
        &mut self,
        topic: impl Into<Topic>,
        join_ref: Option<Ref>,
        push: Push,
        now: Duration,
    ) -> Result<PushId, PushError> {
        self.advance(now);
        let id = self.admit(None, topic.into(), push, Origin::Raw)?;
        if let Some(pending) = self.pushes.all.get_mut(&id) {
            pending.join_ref = join_ref;
        }
        match self.link.is_open() {
            true => self.queue(id),
            false => self.timers.clear(Timer::Push(id)),
        }
        Ok(id)
    }

    /// Sends a heartbeat beside those that the session sends by itself; the time that its reply takes is the round trip. `None` when the socket is
    /// not open.
    pub fn ping(&mut self, now: Duration) -> Option<PushId> {
        self.advance(now);
        if !self.link.is_open() {
            return None;
        }
        let push = Push::new(HEARTBEAT, Payload::empty());
        let id = self.start_push(None, Topic::from(Topic::PHOENIX), push, Origin::Ping);
        self.queue(id);
        Some(id)
    }

    /// Takes back all pushes that wait to be sent, in order; each ends with [`PushOutcome::Dropped`], or with [`PushOutcome::Unconfirmed`] if it
    /// was sent before and waits to be retried. Leaves stay.
    #[doc(alias = "pop_all_to_send")]
    pub fn take_buffered(&mut self, now: Duration) -> Vec<(PushId, Topic, Push)> {
        self.advance(now);
        let waiting = Vec::from_iter(self.pushes.unsent.iter().copied());
        let taken = waiting.into_iter().filter_map(|id| {
            let pending = self.end_push(id, PushOutcome::Dropped)?;
            Some((id, pending.topic, pending.push))
        });
        taken.collect()
    }

    /// The leave of a channel, behind all that was pushed on it.
    pub(super) fn push_leave(&mut self, channel: ChannelId, topic: Topic, join_ref: u64) -> PushId {
        let push = Push::new(Event::Leave, Payload::empty());
        let id = self.start_push(Some(channel), topic, push, Origin::Leave);
        if let Some(pending) = self.pushes.all.get_mut(&id) {
            pending.join_ref = Some(Ref::from_number(join_ref));
        }
        self.queue(id);
        id
    }

    /// Writes a push whose turn has come, unless it cannot be written any more.
    pub(super) fn transmit_push(&mut self, id: PushId) -> Option<Frame> {
        let pending = self.pushes.all.get(&id)?;
        let frame = match self.write_push(id, pending) {
            Ok(frame) => frame,
            Err(error) => {
                self.end_push(id, PushOutcome::Unsendable(error));
                return None;
            }
        };
        self.pushes.uncount(id);
        let pending = self.pushes.all.get_mut(&id)?;
        pending.stage = Stage::Sent;
        pending.was_sent = true;
        match (pending.push.awaits, pending.push.unconfirmed) {
            (Awaits::Sending, _) => drop(self.end_push(id, PushOutcome::Sent)),
            (Awaits::Reply, Unconfirmed::Ended) => pending.push.payload = Payload::empty(),
            (Awaits::Reply, Unconfirmed::Retried) => {}
        }
        Some(frame)
    }

    fn write_push(&self, id: PushId, pending: &Pending) -> Result<Frame, EncodeError> {
        self.serializer.encode_message_parts(&MessageParts {
            join_ref: pending.join_ref.as_ref(),
            reference: Some(&id.reference()),
            topic: NameRef::Text(&pending.topic),
            event: NameRef::Text(pending.push.event.as_str()),
            payload: &pending.push.payload,
        })
    }

    /// Its channel is joined, or the socket is open: what was held for that goes out, in order.
    pub(super) fn queue_held(&mut self, channel: Option<ChannelId>) {
        for id in self.pushes.of(channel) {
            if self.pushes.all.get(&id).is_some_and(|pending| pending.stage == Stage::Held) {
                self.queue(id);
            }
        }
    }

    /// What is held for a channel that was left is never sent.
    pub(super) fn close_held(&mut self, channel: ChannelId) {
        for id in self.pushes.of(Some(channel)) {
            if self.pushes.all.get(&id).is_some_and(|pending| pending.stage == Stage::Held) {
                self.end_push(id, PushOutcome::Closed);
            }
        }
    }

    /// The join that a channel's pushes were for has ended.
    pub(super) fn settle(&mut self, channel: ChannelId) {
        for id in self.pushes.of(Some(channel)) {
            self.settle_push(id);
        }
    }

    /// The connection has ended.
    pub(super) fn unsend_all(&mut self) {
        self.outbox.clear();
        for id in Vec::from_iter(self.pushes.all.keys().copied()) {
            self.settle_push(id);
        }
    }

    /// The time of a push is over.
    pub(super) fn push_is_due(&mut self, id: PushId) {
        let Some(pending) = self.pushes.all.get(&id) else { return };
        let (was_sent, late) = (pending.was_sent, self.late_leave(id, pending));
        self.end_push(id, PushOutcome::TimedOut { was_sent });
        if let Some((place, frame)) = late {
            self.outbox.put(place, Outgoing::Frame(frame));
        }
    }

    /// A leave that the transport has not taken yet, as a frame in its place. The server has to hear of it however late that is: nothing else ends
    /// its channel on this connection.
    fn late_leave(&self, id: PushId, pending: &Pending) -> Option<(Place, Frame)> {
        match (pending.origin, pending.stage) {
            (Origin::Leave, Stage::Queued(place)) => Some((place, self.write_push(id, pending).ok()?)),
            _ => None,
        }
    }

    /// Ends the push that a reply answers; gives the reply back if it can only be a join's.
    pub(super) fn answer_push(
        &mut self,
        join_ref: Option<&Ref>,
        number: u64,
        topic: &str,
        status: Status,
        response: Payload,
    ) -> Option<(Status, Payload)> {
        let id = PushId(number);
        let Some(pending) = self.pushes.all.get(&id) else { return Some((status, response)) };
        let is_of_join =
            pending.join_ref.is_none() || join_ref.is_none_or(|it| pending.join_ref.as_ref() == Some(it));
        if pending.stage != Stage::Sent || *pending.topic != *topic || !is_of_join {
            return None;
        }
        let answered = self.end_push(id, PushOutcome::Reply { status, response })?;
        if answered.origin == Origin::Leave {
            let took = self.now.saturating_sub(answered.started);
            self.events.push_back(ClientEvent::LeaveAnswered { topic: answered.topic, took });
            // The server's channel has ended: it answers nothing more.
            answered.channel.into_iter().for_each(|channel| self.settle(channel));
        }
        None
    }

    /// Takes a push into the buffer, or says why not.
    fn admit(
        &mut self,
        channel: Option<ChannelId>,
        topic: Topic,
        push: Push,
        origin: Origin,
    ) -> Result<PushId, PushError> {
        let serializer = match self.link.carries() {
            true => self.serializer,
            false => self.config.serializer,
        };
        serializer.check_message(&topic, push.event.as_str(), &push.payload)?;
        self.make_room(size(&topic, &push))?;
        let id = self.start_push(channel, topic, push, origin);
        self.pushes.count(id);
        Ok(id)
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), PushError> {
        let buffer = self.config.send_buffer;
        let fits_alone = buffer.max_pushes > 0 && bytes <= buffer.max_bytes;
        while !self.pushes.has_room(&buffer, bytes) {
            let oldest = match buffer.when_full {
                WhenFull::DropOldest if fits_alone => self.pushes.unsent.first().copied(),
                WhenFull::DropOldest | WhenFull::Refuse => None,
            };
            let Some(oldest) = oldest else { return Err(PushError::BufferFull) };
            self.end_push(oldest, PushOutcome::Dropped);
        }
        Ok(())
    }

    /// Its time runs from here.
    fn start_push(&mut self, channel: Option<ChannelId>, topic: Topic, push: Push, origin: Origin) -> PushId {
        let id = PushId(self.next_ref());
        let ends_at = self.after(push.timeout.unwrap_or(self.config.timeout));
        self.timers.set(Timer::Push(id), ends_at);
        let (join_ref, started, stage, was_sent) = (None, self.now, Stage::Held, false);
        self.pushes.insert(id, Pending { channel, topic, push, origin, join_ref, started, stage, was_sent });
        id
    }

    /// Puts a push behind all that is to be transmitted, for the join that its channel has now.
    fn queue(&mut self, id: PushId) {
        let Some(pending) = self.pushes.all.get_mut(&id) else { return };
        if pending.origin == Origin::Raw {
            let ends_at = self.now.saturating_add(pending.push.timeout.unwrap_or(self.config.timeout));
            self.timers.set(Timer::Push(id), ends_at);
        }
        if pending.origin == Origin::Channel {
            let channel = pending.channel.and_then(|channel| self.channels.get(channel));
            pending.join_ref = channel.and_then(|channel| channel.state.join_ref()).map(Ref::from_number);
        }
        pending.stage = Stage::Queued(self.outbox.push(Outgoing::Push(id)));
    }

    /// What becomes of a push whose join or connection has ended.
    fn settle_push(&mut self, id: PushId) {
        let Some(pending) = self.pushes.all.get_mut(&id) else { return };
        let can_wait = match pending.origin {
            Origin::Channel => pending.channel.is_some_and(|channel| self.channels.get(channel).is_some()),
            Origin::Raw => true,
            Origin::Ping | Origin::Leave => false,
        };
        match pending.stage {
            Stage::Held if can_wait => {}
            Stage::Queued(place) if can_wait => {
                self.outbox.remove(place);
                pending.stage = Stage::Held;
                let is_raw = pending.origin == Origin::Raw;
                self.stop_time(id, is_raw);
            }
            Stage::Held | Stage::Queued(_) => drop(self.end_push(id, PushOutcome::Closed)),
            Stage::Sent => {
                let bytes = pending.size();
                let is_raw = pending.origin == Origin::Raw;
                let is_retried = can_wait && pending.push.unconfirmed == Unconfirmed::Retried;
                if is_retried && self.pushes.has_room(&self.config.send_buffer, bytes) {
                    self.pushes.hold_again(id);
                    self.stop_time(id, is_raw);
                } else {
                    self.end_push(id, PushOutcome::Unconfirmed);
                }
            }
        }
    }

    /// The time of a message that belongs to no channel runs from when it can be sent.
    fn stop_time(&mut self, id: PushId, is_raw: bool) {
        if is_raw {
            self.timers.clear(Timer::Push(id));
        }
    }

    /// Ends a push; only this does, and only once, as it is gone then.
    fn end_push(&mut self, id: PushId, outcome: PushOutcome) -> Option<Pending> {
        let pending = self.pushes.remove(id)?;
        self.timers.clear(Timer::Push(id));
        if let Stage::Queued(place) = pending.stage {
            self.outbox.remove(place);
        }
        let outcome = match outcome {
            // It was to be retried, so the server may have seen it all the same.
            PushOutcome::Dropped | PushOutcome::Closed | PushOutcome::Unsendable(_) if pending.was_sent => {
                PushOutcome::Unconfirmed
            }
            outcome => outcome,
        };
        let took = self.now.saturating_sub(pending.started);
        self.events.push_back(ClientEvent::PushEnded { push: id, outcome, took });
        Some(pending)
    }
}
