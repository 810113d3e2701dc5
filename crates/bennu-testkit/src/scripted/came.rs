//! What came from a client, in order, and what the test has made of it.

use std::fmt;

use bennu_protocol::client::ConnectionEnd;
use bennu_protocol::{DecodeError, Frame, Message, Name, Payload, Ref, Serializer, Topic};

use crate::received::shown;

/// Everything that came over one connection.
#[derive(Default)]
pub(super) struct Log {
    entries: Vec<Entry>,
}

struct Entry {
    came: Came,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing has asked for it.
    Open,
    /// An expectation has taken it; it counts for no other.
    Taken,
    /// The server answered it without being asked.
    Answered,
}

/// One thing that came.
#[derive(Clone)]
pub(super) enum Came {
    Message(Said),
    /// A frame that no server could read.
    Unreadable(DecodeError),
    /// The client has closed the connection, or dropped it.
    Ended(ConnectionEnd),
}

/// A message of the client.
#[derive(Clone)]
pub(super) struct Said {
    pub(super) kind: Kind,
    pub(super) topic: String,
    pub(super) event: String,
    pub(super) payload: Payload,
    pub(super) join_ref: Option<Ref>,
    pub(super) reference: Option<Ref>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Join,
    Leave,
    Push,
    Heartbeat,
}

/// What an expectation asks for.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    Join { topic: &'a str },
    Leave { topic: &'a str },
    Push { topic: &'a str, event: &'a str },
    Heartbeat,
    End,
    Anything,
}

enum Verdict {
    Match,
    Differs(String),
    Other,
}

impl Said {
    pub(super) fn read(serializer: Serializer, frame: Frame) -> Result<Self, DecodeError> {
        let Message { join_ref, reference, topic, event, payload } = serializer.decode(frame)?;
        let (topic, event) = (text(&topic), text(&event));
        let kind = match (topic.as_str(), event.as_str()) {
            (Topic::PHOENIX, "heartbeat") => Kind::Heartbeat,
            (_, "phx_join") => Kind::Join,
            (_, "phx_leave") => Kind::Leave,
            _ => Kind::Push,
        };
        Ok(Said { kind, topic, event, payload, join_ref, reference })
    }
}

fn text(name: &Name) -> String {
    match name {
        Name::Text(text) => text.as_str().to_owned(),
        Name::Other(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

impl Log {
    pub(super) fn push(&mut self, came: Came, fate: Fate) {
        self.entries.push(Entry { came, fate });
    }

    /// Takes the first that is wanted and was not taken.
    pub(super) fn take(&mut self, wanted: Wanted<'_>) -> Option<Came> {
        let mut open = self.entries.iter_mut().filter(|entry| entry.fate == Fate::Open);
        let entry = open.find(|entry| matches!(wanted.judge(&entry.came), Verdict::Match))?;
        entry.fate = Fate::Taken;
        Some(entry.came.clone())
    }

    /// All that came, a line each, with why it is not what is wanted.
    pub(super) fn list(&self, wanted: Wanted<'_>) -> String {
        if self.entries.is_empty() {
            return "nothing came".to_owned();
        }
        let mut list = "what came, in order:".to_owned();
        for Entry { came, fate } in &self.entries {
            list.push_str(&format!("\n  {came}"));
            match (fate, wanted.judge(came)) {
                (Fate::Taken, _) => list.push_str("  (taken by an earlier expectation)"),
                (Fate::Answered, _) => list.push_str("  (answered automatically)"),
                (Fate::Open, Verdict::Differs(why)) => list.push_str(&format!("  <- {why}")),
                (Fate::Open, Verdict::Match | Verdict::Other) => {}
            }
        }
        list
    }
}

impl Wanted<'_> {
    fn judge(self, came: &Came) -> Verdict {
        let said = match (self, came) {
            (Wanted::Anything, _) | (Wanted::End, Came::Ended(_)) => return Verdict::Match,
            (_, Came::Message(said)) => said,
            (_, Came::Unreadable(_) | Came::Ended(_)) => return Verdict::Other,
        };
        let (kind, topic) = match self {
            Wanted::Join { topic } => (Kind::Join, topic),
            Wanted::Leave { topic } => (Kind::Leave, topic),
            Wanted::Push { topic, .. } => (Kind::Push, topic),
            Wanted::Heartbeat => (Kind::Heartbeat, Topic::PHOENIX),
            Wanted::End | Wanted::Anything => return Verdict::Other,
        };
        let event = match self {
            Wanted::Push { event, .. } => event,
            _ => &said.event,
        };
        match (said.kind == kind, said.topic == topic, said.event == event) {
            (true, true, true) => Verdict::Match,
            (true, true, false) => Verdict::Differs(format!("the event is not {event:?}")),
            (true, false, true) => Verdict::Differs(format!("the topic is not {topic:?}")),
            (true, false, false) | (false, _, _) => Verdict::Other,
        }
    }
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Join { topic } => write!(f, "a join of {topic:?}"),
            Wanted::Leave { topic } => write!(f, "a leave of {topic:?}"),
            Wanted::Push { topic, event } => write!(f, "a push {event:?} on {topic:?}"),
            Wanted::Heartbeat => f.write_str("a heartbeat"),
            Wanted::End => f.write_str("the client to close the connection"),
            Wanted::Anything => f.write_str("anything"),
        }
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Came::Message(Said { kind: Kind::Heartbeat, .. }) => f.write_str("heartbeat"),
            Came::Message(Said { kind: Kind::Join, topic, payload, .. }) => {
                write!(f, "join       {topic}  {}", shown(payload))
            }
            Came::Message(Said { kind: Kind::Leave, topic, .. }) => write!(f, "leave      {topic}"),
            Came::Message(Said { kind: Kind::Push, topic, event, payload, .. }) => {
                write!(f, "push       {topic}  {event}  {}", shown(payload))
            }
            Came::Unreadable(error) => write!(f, "unreadable {error}"),
            Came::Ended(end) if end.was_clean => write!(f, "closed     {} {:?}", end.code, end.reason),
            Came::Ended(_) => f.write_str("dropped    the connection, without a close"),
        }
    }
}
