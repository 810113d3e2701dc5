//! A message to all subscribers of a topic, encoded once.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::encoding::Encoding;
use crate::error::EncodeError;
use crate::event::Event;
use crate::frame::Frame;
use crate::payload::{self, Payload};
use crate::topic::Topic;

/// A message for everyone on a topic.
///
/// The frame of each encoding is built at most once, by whoever needs it
/// first, and shared by all subscribers: this is the fastlane.
#[derive(Debug, Serialize, Deserialize)]
pub struct Broadcast {
    topic: Topic,
    event: Event,
    #[serde(serialize_with = "payload::serialize", deserialize_with = "payload::deserialize")]
    payload: Payload,
    #[serde(skip)]
    encoded: [OnceLock<Result<Frame, EncodeError>>; Encoding::COUNT],
}

impl Broadcast {
    /// A broadcast of `payload` to `topic`.
    #[must_use]
    pub fn new(topic: impl Into<Topic>, event: impl Into<Event>, payload: Payload) -> Self {
        Broadcast { topic: topic.into(), event: event.into(), payload, encoded: Default::default() }
    }

    /// Where it goes.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Its event.
    #[must_use]
    pub fn event(&self) -> &str {
        self.event.as_str()
    }

    /// What it carries.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The frame for clients of this encoding, built on first use.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when their version cannot carry it; remembered like a frame.
    pub fn frame(&self, encoding: impl Into<Encoding>) -> Result<&Frame, &EncodeError> {
        let encoding = encoding.into();
        self.encoded[encoding.index()].get_or_init(|| self.encode(encoding)).as_ref()
    }

    fn encode(&self, encoding: Encoding) -> Result<Frame, EncodeError> {
        if encoding.is_compressed() {
            let frame = self.frame(encoding.uncompressed()).map_err(Clone::clone)?;
            return Ok(encoding.finish(frame.clone()));
        }
        encoding.serializer().encode_broadcast(&self.topic, self.event(), &self.payload)
    }

    /// The first error of the encodings that were asked so far.
    #[must_use]
    pub fn encode_error(&self) -> Option<&EncodeError> {
        self.encoded.iter().filter_map(OnceLock::get).find_map(|result| result.as_ref().err())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serializer::Serializer;

    #[test]
    fn a_frame_is_encoded_once_and_shared() {
        let broadcast = Broadcast::new("room:1", "msg", Payload::empty());
        let first = broadcast.frame(Serializer::V2).unwrap().payload();
        let second = broadcast.frame(Serializer::V2).unwrap().payload();
        assert_eq!(first.as_ptr(), second.as_ptr());
    }

    #[test]
    fn a_frame_is_compressed_once_and_only_when_asked_for() {
        let payload = Payload::Json(format!(r#"{{"text":"{}"}}"#, "ab".repeat(1_000)).into());
        let broadcast = Broadcast::new("room:1", "msg", payload);
        let plain = Encoding::from(Serializer::V2);
        assert!(!broadcast.frame(plain).unwrap().is_compressed());
        let built = broadcast.encoded.iter().filter(|slot| slot.get().is_some());
        assert_eq!(built.count(), 1);

        let compressed = plain.compressed(1024);
        let first = broadcast.frame(compressed).unwrap();
        assert!(first.is_compressed());
        let second = broadcast.frame(compressed).unwrap();
        assert_eq!(first.payload().as_ptr(), second.payload().as_ptr());
    }

    #[test]
    fn what_is_not_compressed_is_the_same_bytes_for_all() {
        let plain = Encoding::from(Serializer::V2);
        let broadcast = Broadcast::new("room:1", "msg", Payload::empty());
        let short = broadcast.frame(plain.compressed(1024)).unwrap();
        assert!(!short.is_compressed());
        assert_eq!(short.payload().as_ptr(), broadcast.frame(plain).unwrap().payload().as_ptr());
    }

    #[test]
    fn serde_keeps_json_and_bytes() {
        for payload in [Payload::Json(r#"{"a":1.10}"#.into()), Payload::binary(vec![0, 255])] {
            let text = serde_json::to_vec(&Broadcast::new("room:1", "msg", payload.clone())).unwrap();
            let back: Broadcast = serde_json::from_slice(&text).unwrap();
            assert_eq!((back.topic().as_str(), back.event()), ("room:1", "msg"));
            assert_eq!(back.payload(), &payload);
        }
    }

    #[test]
    fn what_a_version_cannot_carry_is_an_error_of_that_version_alone() {
        let broadcast = Broadcast::new("room:1", "msg", Payload::json("text").unwrap());
        assert!(broadcast.frame(Serializer::V1).is_ok());
        assert_eq!(broadcast.encode_error(), None);
        assert_eq!(broadcast.frame(Serializer::V2), Err(&EncodeError::NotAnObject));
        assert_eq!(broadcast.encode_error(), Some(&EncodeError::NotAnObject));
    }
}
