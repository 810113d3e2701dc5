//! The names of the topics that the connections of a run join.

/// Joined by every connection of a run that shares a topic.
pub(crate) const SHARED: &str = "room:bench-0";

/// Joined by every client of the `presence` mode.
pub(crate) const PRESENCE: &str = "presence:bench";

/// Which topics a connection joins: the first, second, … of its own list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topics {
    /// The same list for all.
    Shared,
    /// Topics that no other connection joins. The number is that of the process, so that processes do not share.
    Own { process: usize },
    /// First one of its own, then one that all share.
    OwnThenShared,
    /// The presence topic alone, with a key for each connection.
    Presence,
}

impl Topics {
    /// The name of the topic at `index` in the list of connection `link`.
    pub(crate) fn name(self, link: usize, index: usize) -> String {
        match self {
            Self::Shared => format!("room:bench-{index}"),
            Self::Own { process } => format!("room:own-{process}-{link}-{index}"),
            Self::OwnThenShared if index == 1 => SHARED.to_owned(),
            Self::OwnThenShared => format!("room:own-0-{link}-{index}"),
            Self::Presence => PRESENCE.to_owned(),
        }
    }

    /// What the join of connection `link` carries.
    pub(crate) fn join_payload(self, link: usize) -> String {
        match self {
            Self::Shared | Self::Own { .. } | Self::OwnThenShared => "{}".to_owned(),
            Self::Presence => format!(r#"{{"name":"{}"}}"#, presence_key(link)),
        }
    }
}

/// The key under which connection `link` is present.
pub(crate) fn presence_key(link: usize) -> String {
    format!("bench-{link:07}")
}
