//! The socket: connecting, closing, reconnecting, heartbeats.

use std::time::Duration;

use super::ClientSession;
use super::buffer::Outgoing;
use super::config::ReconnectRule;
use super::event::{ChannelFault, ClientEvent, ConnectionEnd, Heartbeat};
use super::status::SocketStatus;
use super::timers::Timer;
use crate::message::NameRef;
use crate::payload::Payload;
use crate::refs::Ref;
use crate::serializer::MessageParts;
use crate::topic::Topic;
use crate::websocket::close;

/// How long a transport that was asked to close may take, 1.5 s; then the session goes on as if it had.
pub const CLOSE_PATIENCE: Duration = Duration::from_millis(1_500);

/// The event of a heartbeat, on the topic `phoenix`.
pub(super) const HEARTBEAT: &str = "heartbeat";

/// Where the socket stands.
#[derive(Debug)]
pub(super) enum Link {
    Closed,
    Connecting { attempt: u32 },
    Open { heartbeat: Option<Beat> },
    Closing { then: Then },
    Waiting { attempt: u32, at: Duration },
}

/// A heartbeat that is not answered yet.
#[derive(Debug)]
pub(super) struct Beat {
    reference: u64,
    sent_at: Duration,
}

/// What follows once a transport has closed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Then {
    Stop,
    Reconnect,
    Connect,
}

impl Link {
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Link::Open { .. })
    }

    /// Whether what the server sends can belong to a connection that opened.
    pub(super) fn carries(&self) -> bool {
        matches!(self, Link::Open { .. } | Link::Closing { .. })
    }

    pub(super) fn status(&self) -> SocketStatus {
        match *self {
            Link::Closed => SocketStatus::Closed,
            Link::Connecting { attempt } => SocketStatus::Connecting { attempt },
            Link::Open { .. } => SocketStatus::Open,
            Link::Closing { .. } => SocketStatus::Closing,
            Link::Waiting { attempt, at } => SocketStatus::Reconnecting { attempt, at },
        }
    }
}

impl ClientSession {
    /// Makes a connection, at once if the next one is waited for. Without effect while there is one; while one is closing, the new one
    /// follows it.
    pub fn connect(&mut self, now: Duration) {
        self.advance(now);
        match &mut self.link {
            Link::Closed => {
                self.tries = 0;
                self.begin_connect(0);
            }
            Link::Waiting { attempt, .. } => {
                let attempt = *attempt;
                self.tries = attempt;
                self.begin_connect(attempt);
            }
            Link::Closing { then } => *then = Then::Connect,
            Link::Connecting { .. } | Link::Open { .. } => {}
        }
    }

    /// Closes the connection that there is or is being made, and makes another one; without effect where none is wanted.
    pub fn reconnect(&mut self, now: Duration) {
        self.advance(now);
        match &mut self.link {
            Link::Closed | Link::Closing { then: Then::Stop } => {}
            Link::Waiting { .. } => self.connect(now),
            Link::Closing { then } => *then = Then::Connect,
            Link::Connecting { .. } | Link::Open { .. } => self.close(close::NORMAL, "", Then::Connect),
        }
    }

    /// Closes the connection, with a code and reason for the server, and makes no other. Channels and what is buffered stay for the next
    /// `connect`; times run on.
    pub fn disconnect(&mut self, code: u16, reason: &str, now: Duration) {
        self.advance(now);
        match &mut self.link {
            Link::Closed => {}
            Link::Waiting { .. } => self.set_link(Link::Closed),
            Link::Closing { then } => *then = Then::Stop,
            Link::Connecting { .. } | Link::Open { .. } => self.close(code, reason, Then::Stop),
        }
    }

    /// The transport that the last [`ClientEvent::Connect`] asked for is open.
    pub fn handle_open(&mut self, now: Duration) {
        self.advance(now);
        if !matches!(self.link, Link::Connecting { .. }) {
            return;
        }
        self.tries = 0;
        self.opened = self.opened.saturating_add(1);
        self.events.push_back(ClientEvent::Opened);
        self.set_link(Link::Open { heartbeat: None });
        self.await_heartbeat();
        self.queue_held(None);
        self.join_all();
    }

    /// The transport has closed, or could not be opened.
    pub fn handle_close(&mut self, end: ConnectionEnd, now: Duration) {
        self.advance(now);
        let then = match (&self.link, self.config.reconnect) {
            (Link::Closed | Link::Waiting { .. }, _) => return,
            (Link::Closing { then }, _) => *then,
            (Link::Connecting { .. } | Link::Open { .. }, ReconnectRule::Never) => Then::Stop,
            (Link::Connecting { .. } | Link::Open { .. }, ReconnectRule::Always) => Then::Reconnect,
            (Link::Connecting { .. } | Link::Open { .. }, ReconnectRule::UnlessNormal) => match end.code {
                close::NORMAL => Then::Stop,
                _ => Then::Reconnect,
            },
        };
        self.end_connection(end, then);
    }

    /// The transport reports an error: what is joined or joining has failed. [`handle_close`](Self::handle_close) follows; if it does not within
    /// [`CLOSE_PATIENCE`], the transport is given up.
    pub fn handle_error(&mut self, reason: impl Into<String>, now: Duration) {
        self.advance(now);
        if !matches!(self.link, Link::Connecting { .. }) && !self.link.carries() {
            return;
        }
        let opened_before = self.opened;
        self.events.push_back(ClientEvent::ConnectionError { reason: reason.into(), opened_before });
        self.fail_all(&ChannelFault::ConnectionError);
        if !matches!(self.link, Link::Closing { .. }) {
            self.timers.set(Timer::Link, self.after(CLOSE_PATIENCE));
        }
    }

    /// Where the socket stands.
    #[must_use]
    pub fn status(&self) -> SocketStatus {
        self.link.status()
    }

    /// The time has come to connect, or a transport does not close.
    pub(super) fn link_is_due(&mut self) {
        match self.link {
            Link::Waiting { attempt, .. } => {
                self.tries = attempt;
                self.begin_connect(attempt);
            }
            Link::Closing { then } => self.end_connection(ConnectionEnd::lost(), then),
            // It has reported an error.
            Link::Connecting { .. } | Link::Open { .. } => self.handle_close(ConnectionEnd::lost(), self.now),
            Link::Closed => {}
        }
    }

    /// Sends a heartbeat, or gives the connection up because of the last one.
    pub(super) fn heartbeat_is_due(&mut self) {
        match self.link {
            Link::Open { heartbeat: None } => self.send_heartbeat(),
            Link::Open { heartbeat: Some(_) } => {
                self.events.push_back(ClientEvent::Heartbeat(Heartbeat::TimedOut));
                self.fail_all(&ChannelFault::HeartbeatTimeout);
                self.give_up("heartbeat timeout");
            }
            Link::Closed | Link::Connecting { .. } | Link::Closing { .. } | Link::Waiting { .. } => {}
        }
    }

    /// Gives up a connection on which heartbeats are answered and joins are not.
    pub(super) fn judge_silence(&mut self) {
        let (Some(since), Some(deadline)) = (self.unanswered_since, self.config.join_deadline) else {
            return;
        };
        let silence = self.now.saturating_sub(since);
        if self.link.is_open() && silence >= deadline && !self.channels.any_joined() {
            self.events.push_back(ClientEvent::JoinsUnanswered(silence));
            self.fail_all(&ChannelFault::JoinsUnanswered);
            self.give_up("joins unanswered");
        }
    }

    /// Closes a connection that is no good, for another one.
    fn give_up(&mut self, reason: &str) {
        let then = match self.config.reconnect {
            ReconnectRule::Never => Then::Stop,
            ReconnectRule::UnlessNormal | ReconnectRule::Always => Then::Reconnect,
        };
        self.close(close::NORMAL, reason, then);
    }

    /// Whether this reply was the heartbeat's.
    pub(super) fn answers_heartbeat(&mut self, number: u64) -> bool {
        let Link::Open { heartbeat } = &mut self.link else { return false };
        let Some(beat) = heartbeat.take_if(|beat| beat.reference == number) else { return false };
        let round_trip = self.now.saturating_sub(beat.sent_at);
        self.events.push_back(ClientEvent::Heartbeat(Heartbeat::Answered(round_trip)));
        self.await_heartbeat();
        true
    }

    fn send_heartbeat(&mut self) {
        let reference = self.next_ref();
        let message = MessageParts {
            join_ref: None,
            reference: Some(&Ref::from_number(reference)),
            topic: NameRef::Text(Topic::PHOENIX),
            event: NameRef::Text(HEARTBEAT),
            payload: &Payload::empty(),
        };
        let Ok(frame) = self.serializer.encode_message_parts(&message) else {
            // Text and a counted ref can always be written.
            return;
        };
        self.outbox.push(Outgoing::Frame(frame));
        self.link = Link::Open { heartbeat: Some(Beat { reference, sent_at: self.now }) };
        self.events.push_back(ClientEvent::Heartbeat(Heartbeat::Sent));
        self.await_heartbeat();
    }

    /// One interval from now something is due: a heartbeat, or its reply.
    fn await_heartbeat(&mut self) {
        match self.config.heartbeat_interval {
            Some(interval) => self.timers.set(Timer::Heartbeat, self.after(interval)),
            None => self.timers.clear(Timer::Heartbeat),
        }
    }

    fn begin_connect(&mut self, attempt: u32) {
        self.unanswered_since = None;
        self.serializer = self.config.serializer;
        self.connect_started = Some(self.now);
        self.set_link(Link::Connecting { attempt });
        self.events.push_back(ClientEvent::Connect { attempt });
    }

    fn close(&mut self, code: u16, reason: &str, then: Then) {
        self.timers.clear(Timer::Heartbeat);
        self.set_link(Link::Closing { then });
        self.timers.set(Timer::Link, self.after(CLOSE_PATIENCE));
        self.events.push_back(ClientEvent::Close { code, reason: reason.to_owned() });
    }

    fn end_connection(&mut self, end: ConnectionEnd, then: Then) {
        let retry_after = end.retry_after.unwrap_or_default();
        self.timers.clear(Timer::Heartbeat);
        self.events.push_back(ClientEvent::Closed(end));
        self.fail_all(&ChannelFault::ConnectionClosed);
        self.unsend_all();
        match then {
            Then::Stop => {
                self.tries = 0;
                self.set_link(Link::Closed);
            }
            Then::Connect => {
                self.tries = 0;
                self.begin_connect(0);
            }
            Then::Reconnect => {
                let attempt = self.tries.saturating_add(1);
                let delay = self.reconnect_delay(attempt, retry_after);
                let at = self.after(delay);
                self.set_link(Link::Waiting { attempt, at });
                self.timers.set(Timer::Link, at);
            }
        }
    }

    /// Not before the server wants it, but within the bound for that, and not all at once then.
    fn reconnect_delay(&mut self, attempt: u32, retry_after: Duration) -> Duration {
        let backoff = &self.config.reconnect_backoff;
        let delay = backoff.delay(attempt, &mut self.random);
        let asked = retry_after.min(self.config.max_retry_after);
        delay.max(asked.saturating_add(backoff.spread(asked, &mut self.random)))
    }

    /// Goes over to another state, whose deadline the caller sets.
    fn set_link(&mut self, link: Link) {
        let old = self.link.status();
        self.timers.clear(Timer::Link);
        self.link = link;
        self.link_since = self.now;
        self.events.push_back(ClientEvent::SocketStatus { old, new: self.link.status() });
    }
}
