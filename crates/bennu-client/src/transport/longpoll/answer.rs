//! What servers answer polls and posts with: an envelope whose status is not that of HTTP.

use std::fmt;

use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The answer to a poll; that to a post has nothing but a status.
#[derive(Deserialize)]
pub(super) struct PollAnswer {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) token: Option<String>,
    /// Each is a serialized message.
    #[serde(default, deserialize_with = "messages")]
    pub(super) messages: Vec<String>,
}

/// How many messages an answer may have: in memory each takes some 100 bytes beside its text, and empty ones take 3 in the answer. Phoenix's buffer
/// for a client that does not poll is far smaller.
const MAX_MESSAGES: usize = 20_000;

/// A list that is not too long.
fn messages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Messages;

    impl<'de> Visitor<'de> for Messages {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_MESSAGES} messages")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut messages = Vec::new();
            while let Some(message) = list.next_element()? {
                if messages.len() == MAX_MESSAGES {
                    return Err(serde::de::Error::invalid_length(MAX_MESSAGES + 1, &self));
                }
                messages.push(message);
            }
            Ok(messages)
        }
    }

    deserializer.deserialize_seq(Messages)
}

impl PollAnswer {
    pub(super) fn parse(body: &Bytes) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_too_many_messages_is_none() {
        let answer = |count: usize| {
            let list = vec![r#""""#; count].join(",");
            PollAnswer::parse(&Bytes::from(format!(r#"{{"status":200,"messages":[{list}]}}"#)))
        };
        assert_eq!(answer(MAX_MESSAGES).unwrap().messages.len(), MAX_MESSAGES);
        assert!(answer(MAX_MESSAGES + 1).is_none());
    }
}
