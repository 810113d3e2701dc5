//! Topics and the patterns that route them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of a conversation, such as `room:42`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Topic(Arc<str>);

impl Topic {
    /// The reserved topic of heartbeats.
    pub const PHOENIX: &'static str = "phoenix";

    /// The topic as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::ops::Deref for Topic {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Topic {
    fn from(text: &str) -> Self {
        Topic(text.into())
    }
}

impl From<String> for Topic {
    fn from(text: String) -> Self {
        Topic(text.into())
    }
}

impl From<&Topic> for Topic {
    fn from(topic: &Topic) -> Self {
        topic.clone()
    }
}

impl From<Arc<str>> for Topic {
    fn from(text: Arc<str>) -> Self {
        Topic(text)
    }
}

impl From<Topic> for Arc<str> {
    fn from(topic: Topic) -> Self {
        topic.0
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> Self {
        topic.as_str().to_owned()
    }
}

/// Which topics a channel serves: one topic exactly, or all with a prefix.
///
/// ```
/// use bennu_protocol::TopicPattern;
///
/// let rooms: TopicPattern = "room:*".parse()?;
/// assert!(rooms.matches("room:1") && rooms.matches("room:"));
/// assert!(!rooms.matches("room"));
/// # Ok::<(), bennu_protocol::TopicPatternError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicPattern {
    /// Matches this topic and no other.
    Exact(Box<str>),
    /// Matches every topic that starts so; empty matches all.
    Prefix(Box<str>),
}

impl TopicPattern {
    /// Whether `topic` is served.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            TopicPattern::Exact(text) => **text == *topic,
            TopicPattern::Prefix(prefix) => topic.starts_with(&**prefix),
        }
    }
}

/// Why a text is no topic pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("topic pattern {0:?} has a `*` before its end; it may only be the last character")]
pub struct TopicPatternError(pub String);

impl std::str::FromStr for TopicPattern {
    type Err = TopicPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, wildcard) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if prefix.contains('*') {
            return Err(TopicPatternError(text.to_owned()));
        }
        Ok(match wildcard {
            true => TopicPattern::Prefix(prefix.into()),
            false => TopicPattern::Exact(prefix.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_phoenix() {
        for (pattern, topic, expected) in [
            ("room:*", "room:1", true),
            ("room:*", "room:", true),
            ("room:*", "room", false),
            ("*", "", true),
            ("*", "anything", true),
            ("exact", "exact", true),
            ("exact", "exact2", false),
        ] {
            let pattern: TopicPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(topic), expected, "{pattern:?} {topic}");
        }
    }

    #[test]
    fn a_wildcard_is_only_allowed_at_the_end() {
        for text in ["ro*om", "*room", "a**"] {
            assert!(text.parse::<TopicPattern>().is_err(), "{text}");
        }
    }
}
