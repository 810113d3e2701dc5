//! Channels: joining, rejoining, leaving, and what the server sends on them.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use super::buffer::{Outgoing, Place};
use super::event::{ChannelEnd, ChannelFault, ClientEvent, JoinFailure};
use super::pushes::PushId;
use super::status::ChannelStatus;
use super::timers::Timer;
use super::{ClientSession, belongs};
use crate::error::EncodeError;
use crate::event::Event;
use crate::frame::Frame;
use crate::message::{NameRef, Status, Text};
use crate::payload::Payload;
use crate::refs::Ref;
use crate::serializer::MessageParts;
use crate::topic::Topic;

/// Names one channel of one client session, through all its joins, and never a later one on the same topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(u64);

/// Why a topic was not joined.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The topic is joined or joining.
    #[error("the topic is joined already")]
    AlreadyJoined {
        /// By this channel.
        channel: ChannelId,
    },
}

/// Why a join was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendJoinError {
    /// Its join is not due: it was left, its time ran out, or the connection has ended.
    #[error("no join is due on the channel")]
    NotDue,
    /// The params cannot be written. The join is still due.
    #[error("the params cannot be written")]
    Encode(#[from] EncodeError),
}

/// All channels that are wanted, one for each topic.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_id: BTreeMap<ChannelId, Box<Channel>>,
    by_topic: BTreeMap<Topic, ChannelId>,
    last: u64,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) topic: Topic,
    pub(super) state: State,
    pub(super) params: Option<Payload>,
    pub(super) started: Duration,
    /// Attempts since it was last joined, or since the socket opened.
    pub(super) tries: u32,
    /// Attempts of its life.
    attempt: u32,
    timeout: Duration,
    /// The status that was told last.
    told: ChannelStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// For the socket to open.
    Waiting,
    /// For the caller's params.
    Due,
    /// For the reply; `queued` until the transport has taken the join.
    Joining {
        join_ref: u64,
        queued: Option<Place>,
    },
    Joined {
        join_ref: u64,
    },
    /// For the next attempt.
    Errored,
}

impl State {
    /// Ref of the join that the server knows of.
    pub(super) fn join_ref(self) -> Option<u64> {
        match self {
            State::Joining { join_ref, queued: None } | State::Joined { join_ref } => Some(join_ref),
            State::Waiting | State::Due | State::Joining { queued: Some(_), .. } | State::Errored => None,
        }
    }
}

impl Channels {
    pub(super) fn get(&self, channel: ChannelId) -> Option<&Channel> {
        self.by_id.get(&channel).map(|channel| &**channel)
    }

    pub(super) fn find(&self, topic: &str) -> Option<ChannelId> {
        self.by_topic.get(topic).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.by_id.iter().map(|(id, channel)| (*id, &**channel))
    }

    pub(super) fn join_was_sent(&mut self, channel: ChannelId) {
        let state = self.by_id.get_mut(&channel).map(|channel| &mut channel.state);
        if let Some(State::Joining { queued, .. }) = state {
            *queued = None;
        }
    }

    fn attempt(&self, channel: ChannelId) -> u32 {
        self.get(channel).map_or(0, |channel| channel.attempt)
    }

    /// Whether the server has let any of them in.
    pub(super) fn any_joined(&self) -> bool {
        self.by_id.values().any(|channel| matches!(channel.state, State::Joined { .. }))
    }

    /// Whether the server has let all of them in.
    fn all_joined(&self) -> bool {
        self.by_id.values().all(|channel| matches!(channel.state, State::Joined { .. }))
    }

    fn ids(&self) -> Vec<ChannelId> {
        self.by_id.keys().copied().collect()
    }

    fn insert(&mut self, topic: Topic, timeout: Duration) -> ChannelId {
        self.last += 1;
        let id = ChannelId(self.last);
        self.by_topic.insert(topic.clone(), id);
        let (state, started, told) = (State::Waiting, Duration::ZERO, ChannelStatus::Closed);
        let params = None;
        let channel = Channel { topic, state, params, started, tries: 0, attempt: 0, timeout, told };
        self.by_id.insert(id, Box::new(channel));
        id
    }

    fn remove(&mut self, channel: ChannelId) -> Option<Channel> {
        let removed = self.by_id.remove(&channel)?;
        self.by_topic.remove(&removed.topic);
        Some(*removed)
    }
}

impl ClientSession {
    /// Wants a topic joined, from now until `leave`: through failures and reconnects. The first attempt may take `timeout`, which counts
    /// from now, also while there is no connection; so may each further one. `None` is the configuration's.
    ///
    /// On a topic whose last attempt failed, this tries again at once, and gives the same channel.
    ///
    /// # Errors
    ///
    /// [`JoinError::AlreadyJoined`] when the topic is joined or joining.
    #[doc(alias = "channel_join")]
    pub fn join(
        &mut self,
        topic: impl Into<Topic>,
        timeout: Option<Duration>,
        now: Duration,
    ) -> Result<ChannelId, JoinError> {
        self.advance(now);
        let topic = topic.into();
        let timeout = timeout.unwrap_or(self.config.timeout);
        let Some(channel) = self.channels.find(&topic) else { return Ok(self.join_new(topic, timeout)) };
        match self.channels.by_id.get_mut(&channel) {
            Some(errored) if errored.state == State::Errored => {
                errored.timeout = timeout;
                self.begin_join(channel);
                Ok(channel)
            }
            Some(_) | None => Err(JoinError::AlreadyJoined { channel }),
        }
    }

    /// Wants a topic joined, as [`join`](Self::join) does, after leaving the channel that has it.
    #[doc(alias = "leaveOpenTopic")]
    pub fn join_replacing(
        &mut self,
        topic: impl Into<Topic>,
        timeout: Option<Duration>,
        now: Duration,
    ) -> ChannelId {
        self.advance(now);
        let topic = topic.into();
        if let Some(old) = self.channels.find(&topic) {
            self.end_channel(old, ChannelEnd::Replaced);
        }
        self.join_new(topic, timeout.unwrap_or(self.config.timeout))
    }

    /// Answers [`ClientEvent::JoinDue`] with the params to send.
    ///
    /// # Errors
    ///
    /// [`SendJoinError::NotDue`] when the join is not due any more, [`SendJoinError::Encode`] when the params cannot be written.
    pub fn send_join(
        &mut self,
        channel: ChannelId,
        params: Payload,
        now: Duration,
    ) -> Result<(), SendJoinError> {
        self.advance(now);
        let due = self.channels.by_id.get_mut(&channel).filter(|channel| channel.state == State::Due);
        let Some(due) = due else { return Err(SendJoinError::NotDue) };
        let join_ref = self.last_ref + 1;
        let reference = Ref::from_number(join_ref);
        let frame = self.serializer.encode_message_parts(&MessageParts {
            join_ref: Some(&reference),
            reference: Some(&reference),
            topic: NameRef::Text(&due.topic),
            event: NameRef::Text(Event::Join.as_str()),
            payload: &params,
        })?;
        self.last_ref = join_ref;
        due.params = Some(params);
        let queued = Some(self.outbox.push(Outgoing::Join(channel, frame)));
        due.state = State::Joining { join_ref, queued };
        Ok(())
    }

    /// Fails the attempt of a join that is due, as there are no params for it; the next one comes by itself.
    pub fn refuse_join(&mut self, channel: ChannelId, reason: impl Into<String>, now: Duration) {
        self.advance(now);
        let due = self.channels.by_id.get_mut(&channel).filter(|channel| channel.state == State::Due);
        let Some(due) = due else { return };
        due.state = State::Errored;
        self.timers.clear(Timer::Channel(channel));
        self.join_failed(channel, JoinFailure::NoParams(reason.into()));
    }

    /// Leaves a channel: it is closed at once, and the server is told if it knows of it. Pushes that are under way go first and may still be
    /// answered; those that are held end with [`PushOutcome::Closed`](super::PushOutcome::Closed).
    ///
    /// Returns the leave itself as a push, whose reply says that the server has let go; none if there was nothing to send.
    #[doc(alias = "channel_leave")]
    pub fn leave(&mut self, channel: ChannelId, now: Duration) -> Option<PushId> {
        self.advance(now);
        self.end_channel(channel, ChannelEnd::Left)
    }

    /// Joins a joined channel anew, because what this side has made of it is lost: the server is told to let go, and the next join follows at
    /// once. To pushes that were sent it is like the end of a connection. A channel that is not joined is about to be, and nothing happens; returns
    /// whether it was.
    pub fn rejoin(&mut self, channel: ChannelId, now: Duration) -> bool {
        self.advance(now);
        let state = self.channels.get(channel).map(|channel| channel.state);
        let Some(State::Joined { join_ref }) = state else { return false };
        self.forget_join(channel);
        self.unjoin(channel, join_ref);
        self.settle(channel);
        let attempt = self.channels.attempt(channel);
        self.events.push_back(ClientEvent::ChannelErrored {
            channel,
            attempt,
            fault: ChannelFault::Rejoined,
        });
        self.begin_join(channel);
        true
    }

    /// The channel that is wanted on a topic.
    #[must_use]
    pub fn channel(&self, topic: &str) -> Option<ChannelId> {
        self.channels.find(topic)
    }

    /// Which attempt a channel is at, the first being 1: the one that is under way or has it joined; the next one, if the last has failed.
    #[must_use]
    pub fn join_attempt(&self, channel: ChannelId) -> Option<u32> {
        let found = self.channels.get(channel)?;
        let is_over = found.state == State::Errored;
        Some(found.attempt.saturating_add(u32::from(is_over)))
    }

    /// Where a channel stands.
    #[must_use]
    pub fn channel_status(&self, channel: ChannelId) -> ChannelStatus {
        let Some(found) = self.channels.get(channel) else { return ChannelStatus::Closed };
        match found.state {
            State::Waiting | State::Due | State::Joining { .. } => ChannelStatus::Joining,
            State::Joined { .. } => ChannelStatus::Joined,
            State::Errored => ChannelStatus::Errored { retry_at: self.timers.at(Timer::Channel(channel)) },
        }
    }

    /// The socket has opened: all that is not joined is joined now.
    pub(super) fn join_all(&mut self) {
        for id in self.channels.ids() {
            let Some(channel) = self.channels.by_id.get_mut(&id) else { continue };
            channel.tries = 0;
            match channel.state {
                // Its time runs since it was asked for.
                State::Waiting => self.ask_for_params(id),
                State::Errored => self.begin_join(id),
                State::Due | State::Joining { .. } | State::Joined { .. } => {}
            }
        }
    }

    /// What was joined or joining has failed, for a reason that all share.
    pub(super) fn fail_all(&mut self, fault: &ChannelFault) {
        for id in self.channels.ids() {
            self.fail(id, fault.clone());
        }
    }

    /// The time for an attempt is over, or the time for the next one has come.
    pub(super) fn channel_is_due(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.by_id.get_mut(&id) else { return };
        match channel.state {
            State::Errored => {
                channel.tries = channel.tries.saturating_add(1);
                self.begin_join(id);
            }
            State::Waiting | State::Due | State::Joining { .. } => self.time_out_join(id),
            State::Joined { .. } => {}
        }
    }

    pub(super) fn dispatch_event(
        &mut self,
        join_ref: Option<&Ref>,
        topic: &str,
        event: Text,
        payload: Payload,
    ) {
        let Some(id) = self.channels.find(topic) else { return };
        let known = self.channels.get(id).and_then(|channel| channel.state.join_ref());
        if !known.is_some_and(|known| belongs(join_ref, known)) {
            return;
        }
        match Event::reserved(event.as_str()) {
            Some(Event::Close) => self.close_channel(id, payload),
            Some(Event::Error) => self.fail(id, ChannelFault::Crashed(payload)),
            // A reply of another shape than replies have answers nothing.
            Some(Event::Reply) => {}
            Some(Event::Join | Event::Leave | Event::Custom(_)) | None => {
                self.events.push_back(ClientEvent::Message { channel: id, event, payload });
            }
        }
    }

    pub(super) fn dispatch_reply(
        &mut self,
        join_ref: Option<&Ref>,
        number: u64,
        topic: &str,
        status: Status,
        response: Payload,
    ) {
        if topic == Topic::PHOENIX && self.answers_heartbeat(number) {
            return;
        }
        let Some((status, response)) = self.answer_push(join_ref, number, topic, status, response) else {
            return;
        };
        let Some(id) = self.channels.find(topic) else { return };
        let state = self.channels.get(id).map(|channel| channel.state);
        if state == Some(State::Joining { join_ref: number, queued: None }) && belongs(join_ref, number) {
            self.join_answered(id, number, status, response);
        }
    }

    fn join_new(&mut self, topic: Topic, timeout: Duration) -> ChannelId {
        let id = self.channels.insert(topic, timeout);
        self.begin_join(id);
        id
    }

    /// Begins an attempt, now or when the socket opens; its time runs from here.
    fn begin_join(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.by_id.get_mut(&id) else { return };
        channel.started = self.now;
        channel.attempt = channel.attempt.saturating_add(1);
        channel.state = State::Waiting;
        let ends_at = self.now.saturating_add(channel.timeout);
        self.timers.set(Timer::Channel(id), ends_at);
        self.tell_status(id);
        if self.link.is_open() {
            self.ask_for_params(id);
        }
    }

    fn ask_for_params(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.by_id.get_mut(&id) else { return };
        channel.state = State::Due;
        self.events.push_back(ClientEvent::JoinDue { channel: id, topic: channel.topic.clone() });
    }

    fn join_answered(&mut self, id: ChannelId, join_ref: u64, status: Status, response: Payload) {
        self.timers.clear(Timer::Channel(id));
        let Some(channel) = self.channels.by_id.get_mut(&id) else { return };
        if status == Status::Ok {
            channel.state = State::Joined { join_ref };
            channel.tries = 0;
            let took = self.now.saturating_sub(channel.started);
            let attempt = channel.attempt;
            self.events.push_back(ClientEvent::Joined { channel: id, attempt, response, took });
            self.tell_status(id);
            self.queue_held(Some(id));
        } else {
            channel.state = State::Errored;
            self.join_failed(id, JoinFailure::Refused { status, response });
        }
    }

    /// No answer came: the server is told to forget the join, which it may still accept.
    fn time_out_join(&mut self, id: ChannelId) {
        let state = self.forget_join(id);
        if let Some(join_ref) = state.and_then(State::join_ref) {
            self.unjoin(id, join_ref);
        }
        self.join_failed(id, JoinFailure::TimedOut);
        self.judge_silence();
    }

    fn join_failed(&mut self, id: ChannelId, failure: JoinFailure) {
        let attempt = self.channels.attempt(id);
        self.events.push_back(ClientEvent::JoinFailed { channel: id, attempt, failure });
        self.schedule_rejoin(id);
        self.tell_status(id);
    }

    /// Tries again after a while; without a connection, when there is one.
    fn schedule_rejoin(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get(id).filter(|_| self.link.is_open()) else { return };
        let attempt = channel.tries.saturating_add(1);
        let delay = self.config.rejoin_backoff.delay(attempt, &mut self.random);
        self.timers.set(Timer::Channel(id), self.after(delay));
    }

    /// What has a channel joined or joining has failed. An attempt that still waits for a connection has its time.
    fn fail(&mut self, id: ChannelId, fault: ChannelFault) {
        let Some(channel) = self.channels.get(id) else { return };
        let (state, attempt) = (channel.state, channel.attempt);
        if state == State::Waiting {
            return;
        }
        self.timers.clear(Timer::Channel(id));
        self.forget_join(id);
        if state != State::Errored {
            self.settle(id);
            let crashed = matches!(fault, ChannelFault::Crashed(_));
            self.events.push_back(ClientEvent::ChannelErrored { channel: id, attempt, fault: fault.clone() });
            if !matches!(state, State::Joined { .. }) {
                let failure = JoinFailure::Interrupted(fault);
                self.events.push_back(ClientEvent::JoinFailed { channel: id, attempt, failure });
            }
            if crashed {
                self.schedule_rejoin(id);
            }
        }
        self.tell_status(id);
    }

    /// The channel is errored, and a join that the transport has not taken is never sent. Returns what it was.
    fn forget_join(&mut self, id: ChannelId) -> Option<State> {
        let channel = self.channels.by_id.get_mut(&id)?;
        let state = std::mem::replace(&mut channel.state, State::Errored);
        if let State::Joining { queued: Some(place), .. } = state {
            self.outbox.remove(place);
        }
        Some(state)
    }

    /// Tells the server to forget a join that nobody waits for.
    fn unjoin(&mut self, id: ChannelId, join_ref: u64) {
        let reference = Ref::from_number(self.next_ref());
        let Some(channel) = self.channels.get(id) else { return };
        let frame: Result<Frame, EncodeError> = self.serializer.encode_message_parts(&MessageParts {
            join_ref: Some(&Ref::from_number(join_ref)),
            reference: Some(&reference),
            topic: NameRef::Text(&channel.topic),
            event: NameRef::Text(Event::Leave.as_str()),
            payload: &Payload::empty(),
        });
        // Text can always be written.
        if let Ok(frame) = frame {
            self.outbox.push(Outgoing::Frame(frame));
        }
    }

    /// Ends a channel from this side.
    fn end_channel(&mut self, id: ChannelId, reason: ChannelEnd) -> Option<PushId> {
        let state = self.forget_join(id)?;
        self.timers.clear(Timer::Channel(id));
        let removed = self.channels.remove(id)?;
        if self.unanswered_since.is_some() && self.channels.all_joined() {
            // Nobody waits for an answer any more.
            self.unanswered_since = None;
        }
        self.close_held(id);
        let (old, new) = (removed.told, ChannelStatus::Leaving);
        self.events.push_back(ClientEvent::ChannelStatus { channel: id, old, new });
        let leave = state.join_ref().map(|join_ref| self.push_leave(id, removed.topic, join_ref));
        self.tell_closed(id, new, reason);
        leave
    }

    /// Ends a channel because the server did.
    fn close_channel(&mut self, id: ChannelId, payload: Payload) {
        self.timers.clear(Timer::Channel(id));
        let Some(removed) = self.channels.remove(id) else { return };
        self.settle(id);
        self.tell_closed(id, removed.told, ChannelEnd::ByServer(payload));
    }

    fn tell_closed(&mut self, channel: ChannelId, old: ChannelStatus, reason: ChannelEnd) {
        self.events.push_back(ClientEvent::ChannelClosed { channel, reason });
        self.events.push_back(ClientEvent::ChannelStatus { channel, old, new: ChannelStatus::Closed });
    }

    /// Tells the status if it is another than before.
    fn tell_status(&mut self, id: ChannelId) {
        let new = self.channel_status(id);
        let Some(channel) = self.channels.by_id.get_mut(&id) else { return };
        let old = std::mem::replace(&mut channel.told, new);
        if old != new {
            self.events.push_back(ClientEvent::ChannelStatus { channel: id, old, new });
        }
    }
}
