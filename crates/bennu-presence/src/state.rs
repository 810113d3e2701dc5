//! What a client that joins is told.

use std::fmt;

use bennu_protocol::Payload;

/// What a client that joins is to be told, as events with their payloads, to be pushed in this order.
///
/// ```text
/// for (event, payload) in self.presence.state(cx.topic()).await {
///     cx.push(event, payload)?;
/// }
/// ```
#[must_use = "a client that is not sent the state does not understand the diffs"]
pub struct State {
    presences: Option<(&'static str, Payload)>,
    count: Option<(&'static str, Payload)>,
}

impl State {
    pub(crate) fn new(
        presences: Option<(&'static str, Payload)>,
        count: Option<(&'static str, Payload)>,
    ) -> Self {
        State { presences, count }
    }
}

impl IntoIterator for State {
    type Item = (&'static str, Payload);
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<(&'static str, Payload)>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        [self.presences, self.count].into_iter().flatten()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = [&self.presences, &self.count].into_iter().flatten().map(|(event, _)| event);
        f.debug_list().entries(events).finish()
    }
}
