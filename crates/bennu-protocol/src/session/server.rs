//! One connection's session on the server's side.
//!
//! ```text
//!            phx_join            accept_join             phx_leave
//! (absent) ───────────▶ Joining ─────────────▶ Joined ─────────────▶ Leaving
//!     ▲                    │ refuse_join         │ stop, crash          │ left, stop, crash
//!     └────────────────────┴─────────────────────┴──────────────────────┘
//! ```
//!
//! A `phx_join` for a topic that is joined or being left replaces the channel:
//! the old one ends, and the answer to the new join goes out before the
//! `phx_close` of the old. While a channel is joining, messages for its topic
//! wait and are looked at again, in order, once the join is answered; all other
//! topics and the heartbeat go on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::slots::{Joining, Refs, Slots, State};
use crate::encoding::Encoding;
use crate::error::{DecodeError, EncodeError};
use crate::event::Event;
use crate::frame::Frame;
use crate::incoming::Incoming;
use crate::message::{Message, Name, NameRef, Status};
use crate::payload::Payload;
use crate::refs::Ref;
use crate::serializer::ReplyParts;
use crate::topic::{Topic, TopicPattern};

/// Bytes of topics and refs that a session keeps for its channels, times the channels that it may hold:
/// far beyond what clients need, and far below the frames that they could fill with them.
const NAMES_PER_CHANNEL: usize = 4096;

/// What all sessions of one mount share.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Which topics can be joined, tried in order; the index of the first match is the route.
    pub patterns: Vec<TopicPattern>,
    /// How many channels one connection may hold.
    pub max_channels: usize,
    /// Which join refs later messages of a channel may carry.
    pub join_ref_rule: JoinRefRule,
    /// Silence from the client after which the session asks to be closed; `None` waits for ever.
    pub idle_timeout: Option<Duration>,
    /// Whether a push to a topic that is not joined ends the channel that it believed in: a
    /// `phx_error` for its `join_ref` follows the `unmatched topic`. For transports whose old clients
    /// lose their session without noticing, and would push in vain for ever.
    pub errors_unmatched: bool,
}

/// Which `join_ref` a message may carry to reach a joined channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JoinRefRule {
    /// The join's `join_ref`, the join's `ref`, or null. Deployed clients need this.
    #[default]
    Lenient,
    /// The join's `join_ref` or null, as Phoenix 1.8.12.
    Strict,
}

/// Names one channel of one session, and never a later one on the same topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelId {
    /// Its place in the session's table; places are used again.
    pub index: u32,
    /// Counts the channels of the session.
    pub generation: u32,
}

/// What the server must act on.
#[derive(Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A client wants to join; answer with `accept_join` or `refuse_join`.
    Join {
        /// The new channel.
        channel: ChannelId,
        /// Index of the pattern that matched.
        route: usize,
        /// The topic to join.
        topic: Topic,
        /// What the client sent along.
        payload: Payload,
    },
    /// A message for a joined channel.
    Message {
        /// The channel it is for.
        channel: ChannelId,
        /// Its event.
        event: Name,
        /// What it carries.
        payload: Payload,
        /// What a reply must echo.
        reference: Option<Ref>,
    },
    /// A client leaves; answer with `left`.
    Leave {
        /// The channel that is left.
        channel: ChannelId,
        /// What the reply must echo.
        reference: Option<Ref>,
    },
    /// The channel has been replaced by a new join; end it now and silently.
    Replaced {
        /// The channel that ended.
        channel: ChannelId,
        /// Its topic, which the session keeps for the new join alone.
        topic: Topic,
        /// The `join_ref` that its pushes carried.
        join_ref: Option<Ref>,
    },
    /// The client sent a new credential; answer with `answer_renewal`. Only comes after `accept_renewals`.
    Renew {
        /// What an answer needs.
        renewal: Renewal,
        /// What the client sent: an object that holds the credential.
        payload: Payload,
    },
    /// The client has been silent for longer than the idle timeout.
    Idle,
}

/// A client's message with a new credential, as far as its answer needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The channel it came on; none for the topic `phoenix`.
    channel: Option<ChannelId>,
    topic: Name,
    reference: Option<Ref>,
}

impl Renewal {
    /// Bytes that it keeps beside its own place.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        self.topic.len() + self.reference.as_ref().map_or(0, Ref::heap_size)
    }
}

/// On the topic `phoenix`, the event that carries a new credential.
const TOKEN: &str = "token";

/// On any joined channel, the event that carries a new credential, as Supabase's clients send it.
const ACCESS_TOKEN: &str = "access_token";

/// The server's side of one connection.
///
/// Feed it with [`handle_frame`](Self::handle_frame) and
/// [`handle_timeout`](Self::handle_timeout); after each, take out
/// [`poll_event`](Self::poll_event) and [`poll_transmit`](Self::poll_transmit)
/// until both are empty.
#[derive(Debug)]
pub struct ServerSession {
    encoding: Encoding,
    config: Arc<SessionConfig>,
    slots: Slots,
    parked_bytes: usize,
    renewals: Renewals,
    last_received: Instant,
    transmit: VecDeque<Frame>,
    events: VecDeque<SessionEvent>,
}

/// Whether `token` and `access_token` are messages to the session or to channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewals {
    Ordinary,
    Accepted,
}

impl ServerSession {
    /// A session that begins at `now`.
    #[must_use]
    pub fn new(encoding: impl Into<Encoding>, config: Arc<SessionConfig>, now: Instant) -> Self {
        ServerSession {
            encoding: encoding.into(),
            config,
            slots: Slots::default(),
            parked_bytes: 0,
            renewals: Renewals::Ordinary,
            last_received: now,
            transmit: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// From now on the event `token` on the topic `phoenix`, and `access_token` on a joined
    /// channel, are a new credential of the connection. Before, they are messages like any other.
    pub fn accept_renewals(&mut self) {
        self.renewals = Renewals::Accepted;
    }

    /// Takes in one frame.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the frame is no message, or [`EncodeError`] when
    /// the answer cannot be written: both end the connection with 1011.
    pub fn handle_frame<'a>(&mut self, frame: impl Into<Incoming<'a>>) -> Result<(), SessionError> {
        let message = self.encoding.serializer().decode(frame)?;
        let event = self.dispatch(message)?;
        self.events.extend(event);
        Ok(())
    }

    /// Takes in one frame, as [`handle_frame`](Self::handle_frame) does, and gives out the first event at once: the
    /// only one that a message for a joined channel makes needs no queue then.
    ///
    /// # Errors
    ///
    /// As [`handle_frame`](Self::handle_frame).
    pub fn receive<'a>(
        &mut self,
        frame: impl Into<Incoming<'a>>,
    ) -> Result<Option<SessionEvent>, SessionError> {
        let message = self.encoding.serializer().decode(frame)?;
        let event = self.dispatch(message)?;
        if self.events.is_empty() {
            return Ok(event);
        }
        self.events.extend(event);
        Ok(self.poll_event())
    }

    /// Notes that the client sent bytes at `now`, be it only a ping.
    pub fn handle_received(&mut self, now: Instant) {
        self.last_received = self.last_received.max(now);
    }

    /// Lets time pass; call it when [`poll_timeout`](Self::poll_timeout) said so.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.events.push_back(SessionEvent::Idle);
        }
    }

    /// Joins the client to the topic: an ok reply.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the response cannot be written; the connection must then close with 1011.
    pub fn accept_join(&mut self, channel: ChannelId, response: &Payload) -> Result<(), SessionError> {
        let answered = self.slots.get_mut(channel).and_then(|slot| slot.answered(State::Joined));
        let Some(joining) = answered else { return Ok(()) };
        self.answer_join(channel, &Status::Ok, response, joining)
    }

    /// Refuses the join: an error reply, and the topic is free.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the response cannot be written; the connection must then close with 1011.
    pub fn refuse_join(&mut self, channel: ChannelId, response: &Payload) -> Result<(), SessionError> {
        let answered = self.slots.get_mut(channel).and_then(|slot| slot.answered(State::Leaving));
        let Some(joining) = answered else { return Ok(()) };
        self.answer_join(channel, &Status::Error, response, joining)
    }

    /// Answers a leave: an ok reply, then `phx_close`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the ref has no form in JSON; the connection must then close with 1011.
    pub fn left(&mut self, channel: ChannelId, reference: Option<&Ref>) -> Result<(), SessionError> {
        if let Some(slot) = self.slots.get(channel) {
            let (topic, join_ref) = (slot.topic.clone(), slot.shown());
            self.reply(join_ref.as_ref(), reference, NameRef::Text(&topic), &Status::Ok, &Payload::empty())?;
        }
        self.stop(channel)
    }

    /// Ends a channel: `phx_close`, after which clients do not rejoin.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the join's ref has no form in JSON.
    pub fn stop(&mut self, channel: ChannelId) -> Result<(), SessionError> {
        self.end(channel, &Event::Close, &Payload::empty())
    }

    /// Ends a channel that failed: `phx_error`, after which clients rejoin.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the join's ref has no form in JSON.
    pub fn crash(&mut self, channel: ChannelId) -> Result<(), SessionError> {
        let reason = Payload::Json(br#"{"reason":"channel_crash"}"#.as_slice().into());
        self.end(channel, &Event::Error, &reason)
    }

    /// Ends a channel whose client missed some of what was broadcast, because it read too slowly: `phx_error`,
    /// after which clients rejoin.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the join's ref has no form in JSON.
    pub fn outpace(&mut self, channel: ChannelId) -> Result<(), SessionError> {
        let reason = Payload::Json(br#"{"reason":"slow_reader"}"#.as_slice().into());
        self.end(channel, &Event::Error, &reason)
    }

    /// Answers a renewal; nothing is sent if the channel it came on has ended.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the response cannot be written; the connection must then close with 1011.
    pub fn answer_renewal(
        &mut self,
        renewal: &Renewal,
        status: &Status,
        response: &Payload,
    ) -> Result<(), SessionError> {
        let Renewal { channel, topic, reference } = renewal;
        if channel.is_some_and(|channel| !self.is_alive(channel)) {
            return Ok(());
        }
        let join_ref = channel.and_then(|channel| self.slots.get(channel)?.shown());
        self.reply(join_ref.as_ref(), reference.as_ref(), topic.as_ref(), status, response)
    }

    /// The next frame to send, until there is none.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        pop_and_free(&mut self.transmit).map(|frame| self.encoding.finish(frame))
    }

    /// The next thing the server should know, until there is none.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        pop_and_free(&mut self.events)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.config.idle_timeout.and_then(|timeout| self.last_received.checked_add(timeout))
    }

    /// How this client is written to.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Bytes of messages that wait for a join to be answered; stop reading when it grows too large.
    #[must_use]
    pub fn parked_bytes(&self) -> usize {
        self.parked_bytes
    }

    /// The topic of a channel, and the `join_ref` that its pushes and replies carry: the join's own, else its
    /// ref. Those of a channel that was replaced are known until the event that tells is taken.
    #[must_use]
    pub fn names(&self, channel: ChannelId) -> Option<(&Topic, Option<Ref>)> {
        if let Some(slot) = self.slots.get(channel) {
            return Some((&slot.topic, slot.shown()));
        }
        self.events.iter().find_map(|event| {
            let SessionEvent::Replaced { channel: replaced, topic, join_ref } = event else { return None };
            (*replaced == channel).then(|| (topic, join_ref.clone()))
        })
    }

    /// Lets a channel's topic be in the memory of an equal one, which others have already.
    pub fn share_topic(&mut self, channel: ChannelId, shared: &Topic) {
        if let Some(slot) = self.slots.get_mut(channel).filter(|slot| slot.topic == *shared) {
            slot.topic = shared.clone();
        }
    }

    /// Whether no topic is joined, nor being joined or left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.len() == 0
    }

    /// Whether this channel is joining, joined or being left.
    #[must_use]
    pub fn is_alive(&self, channel: ChannelId) -> bool {
        self.slots.get(channel).is_some()
    }

    /// The rows of the dispatch table, channels specification 7.3; the first that applies decides.
    fn dispatch(&mut self, message: Message) -> Result<Option<SessionEvent>, SessionError> {
        if message.topic.as_text() == Some(Topic::PHOENIX) {
            match message.event.as_text() {
                Some("heartbeat") => {
                    self.answer(&message, None, &Status::Ok, &Payload::empty())?;
                    return Ok(None);
                }
                Some(TOKEN) if self.renewals == Renewals::Accepted => {
                    return Ok(Some(renew(None, message)));
                }
                _ => {}
            }
        }
        let channel = message.topic.as_text().and_then(|topic| self.slots.find(topic));
        let Some(channel) = channel else {
            self.dispatch_unjoined(message)?;
            return Ok(None);
        };
        let event = message.event.as_text().and_then(Event::reserved);
        self.dispatch_to(channel, event.as_ref(), message)
    }

    fn dispatch_unjoined(&mut self, message: Message) -> Result<(), SessionError> {
        match message.event.as_text().and_then(Event::reserved) {
            Some(Event::Join) => self.join(message, None),
            Some(Event::Leave) => {
                let join_ref = message.join_ref.clone();
                self.answer(&message, join_ref.as_ref(), &Status::Ok, &Payload::empty())
            }
            _ => {
                self.unmatched(&message)?;
                self.end_unmatched(&message)
            }
        }
    }

    fn dispatch_to(
        &mut self,
        channel: ChannelId,
        event: Option<&Event>,
        message: Message,
    ) -> Result<Option<SessionEvent>, SessionError> {
        let Some(slot) = self.slots.get_mut(channel) else { return Ok(None) };
        if let Some(joining) = slot.joining() {
            self.parked_bytes += parked_size(&message);
            joining.parked.push(message);
            return Ok(None);
        }
        if event == Some(&Event::Join) {
            let replaced = self.replace(channel);
            self.join(message, Some(replaced))?;
            return Ok(None);
        }
        if !slot.accepts(message.join_ref.as_ref(), self.config.join_ref_rule) {
            return Ok(None);
        }
        if slot.is_leaving() {
            // The channel has stopped listening: as in Phoenix, what comes now has no answer.
            return Ok(None);
        }
        Ok(Some(match event {
            Some(Event::Leave) => {
                slot.leave();
                SessionEvent::Leave { channel, reference: message.reference }
            }
            _ if self.renewals == Renewals::Accepted && message.event.as_text() == Some(ACCESS_TOKEN) => {
                renew(Some(channel), message)
            }
            _ => SessionEvent::Message {
                channel,
                event: message.event,
                payload: message.payload,
                reference: message.reference,
            },
        }))
    }

    fn join(&mut self, message: Message, replaces: Option<Option<Ref>>) -> Result<(), SessionError> {
        let topic = message.topic.as_text().unwrap_or_default();
        let is_text = message.topic.as_text().is_some();
        let matching = self.config.patterns.iter().position(|pattern| is_text && pattern.matches(topic));
        let Some(route) = matching else { return self.unmatched(&message) };
        let topic = Topic::from(topic);
        let reason = if self.slots.len() >= self.config.max_channels {
            Some(br#"{"reason":"too many channels joined"}"#.as_slice())
        } else if self.names_after(&message) > NAMES_PER_CHANNEL.saturating_mul(self.config.max_channels) {
            Some(br#"{"reason":"topic or refs too long"}"#.as_slice())
        } else {
            None
        };
        if let Some(reason) = reason {
            let join_ref = message.join_ref.clone();
            self.answer(&message, join_ref.as_ref(), &Status::Error, &Payload::Json(reason.into()))?;
            return self.close_replaced(replaces, &topic);
        }
        let refs = Refs { join_ref: message.join_ref, reference: message.reference };
        let joining = Joining { replaces, parked: Vec::new() };
        let channel = self.slots.insert(topic.clone(), refs, joining);
        self.events.push_back(SessionEvent::Join { channel, route, topic, payload: message.payload });
        Ok(())
    }

    /// Ends a channel in favour of a new join, and returns its `join_ref`.
    fn replace(&mut self, channel: ChannelId) -> Option<Ref> {
        let slot = self.slots.remove(channel)?;
        let refs = slot.refs();
        let old = refs.join_ref.clone();
        self.events.push_back(SessionEvent::Replaced { channel, topic: slot.topic, join_ref: refs.shown() });
        old
    }

    fn answer_join(
        &mut self,
        channel: ChannelId,
        status: &Status,
        response: &Payload,
        joining: Joining,
    ) -> Result<(), SessionError> {
        let Some(slot) = self.slots.get(channel) else { return Ok(()) };
        let (topic, Refs { join_ref, reference }) = (slot.topic.clone(), slot.refs());
        self.reply(join_ref.as_ref(), reference.as_ref(), NameRef::Text(&topic), status, response)?;
        if *status == Status::Error {
            self.slots.remove(channel);
        }
        self.close_replaced(joining.replaces, &topic)?;
        self.unpark(joining.parked)
    }

    /// Tells that the channel which a join replaced has ended, if there was one.
    fn close_replaced(&mut self, replaced: Option<Option<Ref>>, topic: &Topic) -> Result<(), SessionError> {
        if let Some(old) = replaced {
            let frame = self.encoding.serializer().encode_end(
                old.as_ref(),
                topic,
                Event::Close.as_str(),
                &Payload::empty(),
            )?;
            self.transmit.push_back(frame);
        }
        Ok(())
    }

    /// Bytes of names that the session keeps if this join is let in.
    fn names_after(&self, join: &Message) -> usize {
        let refs = [&join.join_ref, &join.reference].into_iter().flatten().map(Ref::heap_size);
        let new = join.topic.len() + refs.sum::<usize>();
        new + self.slots.names()
    }

    /// Looks again at what waited for a join, in the order it came.
    fn unpark(&mut self, parked: Vec<Message>) -> Result<(), SessionError> {
        for message in parked {
            self.parked_bytes -= parked_size(&message);
            let event = self.dispatch(message)?;
            self.events.extend(event);
        }
        Ok(())
    }

    fn end(&mut self, channel: ChannelId, event: &Event, payload: &Payload) -> Result<(), SessionError> {
        let Some(slot) = self.slots.remove(channel) else { return Ok(()) };
        let join_ref = slot.refs().join_ref;
        let frame =
            self.encoding.serializer().encode_end(join_ref.as_ref(), &slot.topic, event.as_str(), payload)?;
        self.transmit.push_back(frame);
        Ok(())
    }

    fn unmatched(&mut self, message: &Message) -> Result<(), SessionError> {
        let reason = Payload::Json(br#"{"reason":"unmatched topic"}"#.as_slice().into());
        self.answer(message, None, &Status::Error, &reason)
    }

    /// Tells a client that believes in a channel which does not exist to join it anew.
    fn end_unmatched(&mut self, message: &Message) -> Result<(), SessionError> {
        let (Some(join_ref), Some(topic)) = (&message.join_ref, message.topic.as_text()) else {
            return Ok(());
        };
        if self.config.errors_unmatched {
            let reason = Payload::Json(br#"{"reason":"unmatched topic"}"#.as_slice().into());
            let frame = self.encoding.serializer().encode_end(
                Some(join_ref),
                topic,
                Event::Error.as_str(),
                &reason,
            )?;
            self.transmit.push_back(frame);
        }
        Ok(())
    }

    /// Replies to a message that no channel answers.
    fn answer(
        &mut self,
        message: &Message,
        join_ref: Option<&Ref>,
        status: &Status,
        response: &Payload,
    ) -> Result<(), SessionError> {
        self.reply(join_ref, message.reference.as_ref(), message.topic.as_ref(), status, response)
    }

    fn reply(
        &mut self,
        join_ref: Option<&Ref>,
        reference: Option<&Ref>,
        topic: NameRef<'_>,
        status: &Status,
        response: &Payload,
    ) -> Result<(), SessionError> {
        let reply = ReplyParts { join_ref, reference, topic, status, response };
        let frame = self.encoding.serializer().encode_reply_parts(&reply)?;
        self.transmit.push_back(frame);
        Ok(())
    }
}

/// Why a session cannot go on; the connection is closed with 1011.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The client sent something that is no message.
    #[error("the client's frame cannot be decoded")]
    Decode(#[from] DecodeError),
    /// The answer to the client cannot be written.
    #[error("the answer cannot be encoded")]
    Encode(#[from] EncodeError),
}

fn renew(channel: Option<ChannelId>, message: Message) -> SessionEvent {
    let Message { topic, reference, payload, .. } = message;
    // The renewal may wait long for its verdict, and the payload is dropped before.
    SessionEvent::Renew { renewal: Renewal { channel, topic, reference }, payload }
}

/// What a parked message holds on to, in bytes.
fn parked_size(message: &Message) -> usize {
    size_of::<Message>() + message.heap_size()
}

/// Takes the first element, and gives the memory back with the last.
fn pop_and_free<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front()?;
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
    Some(first)
}
