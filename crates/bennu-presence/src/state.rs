//! What a client that joins is told.

use std::fmt;

use bennu_protocol::Payload;
use bennu_protocol::presence::STATE;

use crate::wire;

/// What a client that joins is to be told, as events with their payloads, to be pushed in this order.
///
/// ```text
/// for (event, payload) in self.presence.state(cx.topic()).await {
///     cx.push(event, payload)?;
/// }
/// ```
#[must_use = "a client that is not sent the state does not understand the diffs"]
pub struct State {
    presences: Option<Payload>,
    count: Option<usize>,
}

impl State {
    pub(crate) fn new(presences: Option<Payload>, count: Option<usize>) -> Self {
        State { presences, count }
    }

    /// The payload of `presence_state`, unless clients are only [told how many](crate::Crowd::Count) there are.
    #[must_use]
    pub fn presences(&self) -> Option<&Payload> {
        self.presences.as_ref()
    }

    /// How many keys there are, unless clients are [told all of them](crate::Crowd::Full).
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        self.count
    }
}

impl IntoIterator for State {
    type Item = (&'static str, Payload);
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<(&'static str, Payload)>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        let presences = self.presences.map(|presences| (STATE, presences));
        let count = self.count.map(|count| (wire::COUNT, wire::count(count)));
        [presences, count].into_iter().flatten()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("presences", &self.presences).field("count", &self.count).finish()
    }
}
