//! What a topic keeps, so that a client that comes back gets what it missed.

mod following;
mod position;
mod replay;
mod ring;
mod rings;

use std::time::Duration;

pub(crate) use following::Following;
pub(crate) use replay::Replay;
pub(crate) use ring::Ring;
pub(crate) use rings::Rings;

/// The member that tells clients the offset of a kept broadcast.
const OFFSET: &str = "phx_offset";

/// How much of a topic's broadcasts is kept in memory; see [`Channels::history`](crate::Channels::history).
///
/// A client that joins such a topic is told its position, `epoch` and `offset`, in the join
/// reply's response. Every kept broadcast carries its own offset as the member `phx_offset` of its
/// payload. A client that joins with the param `recover: {epoch, offset}` is told
/// `recovered: true` and gets exactly what it missed, or `recovered: false` and gets none of it.
///
/// ```
/// use std::time::Duration;
/// use bennu_server::History;
///
/// // The last 100 chat messages of the last two minutes.
/// let history = History::last(100).max_age(Duration::from_secs(120)).events(["message:new"]);
/// # drop(history);
/// ```
///
/// Kept is what goes through a channel's or the endpoint's `broadcast` and `broadcast_from`. The
/// payload of such a broadcast must be a JSON object without a `phx_offset` of its own; any other
/// is the broadcaster's [`EncodeError`](bennu_protocol::EncodeError). What is put on the PubSub without the endpoint is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "replay")]
#[doc(alias = "recover")]
pub struct History {
    max_messages: usize,
    max_age: Duration,
    max_bytes: usize,
    /// `None` for all that are not the framework's.
    events: Option<Vec<String>>,
}

impl History {
    /// Keeps the last so many broadcasts of a topic, for five minutes at most.
    #[must_use]
    pub fn last(messages: usize) -> Self {
        History {
            max_messages: messages,
            max_age: Duration::from_secs(300),
            max_bytes: 1 << 20,
            events: None,
        }
    }

    /// Keeps the broadcasts of the last such time, however many they are.
    #[must_use]
    pub fn within(age: Duration) -> Self {
        History { max_age: age, ..History::last(usize::MAX) }
    }

    /// How long a broadcast is kept, and how long the topic is remembered after its last
    /// channel has gone; five minutes by default.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Bytes of memory that one topic may take; 1 MiB by default.
    ///
    /// A broadcast counts as what it takes with the frames for both protocol versions:
    /// three times its payload and some 600 bytes.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Keeps broadcasts of these events only; by default all whose event does not
    /// start with `phx_` or `presence_`.
    #[must_use]
    pub fn events(mut self, events: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.events = Some(events.into_iter().map(Into::into).collect());
        self
    }

    pub(crate) fn keeps(&self, event: &str) -> bool {
        match &self.events {
            Some(events) => events.iter().any(|kept| kept == event),
            None => !event.starts_with("phx_") && !event.starts_with("presence_"),
        }
    }
}

/// What became of a client's wish to get what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// It did not ask, or the topic keeps no history: it knows nothing yet.
    NotAsked,
    /// It gets all that it missed, which may be nothing, so it needs no state from the start.
    Recovered,
    /// It asked, but what it missed is not there any more: its state is stale.
    Lost,
}

impl Recovery {
    /// Whether the client's state is up to date after the replay.
    #[must_use]
    pub fn is_recovered(self) -> bool {
        self == Recovery::Recovered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_events_are_kept_but_the_frameworks_or_just_the_named_ones() {
        let (all, named) = (History::last(1), History::last(1).events(["message:new"]));
        for (event, by_all, by_named) in [
            ("message:new", true, true),
            ("message:news", true, false),
            ("presence_diff", false, false),
            ("phx_error", false, false),
            ("", true, false),
        ] {
            assert_eq!((all.keeps(event), named.keeps(event)), (by_all, by_named), "{event:?}");
        }
    }
}
