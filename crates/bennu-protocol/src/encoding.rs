//! How one client is written to.

use crate::error::EncodeError;
use crate::frame::Frame;
use crate::message::Status;
use crate::payload::Payload;
use crate::refs::Ref;
use crate::serializer::Serializer;

/// What the bytes for a client depend on: its version of the protocol, and whether they are compressed.
///
/// Clients of one encoding can be sent the same bytes. There are few encodings, so
/// that what goes to many is kept in a table with [`COUNT`](Self::COUNT) places,
/// one for each [`index`](Self::index).
///
/// ```
/// use bennu_protocol::{Broadcast, Encoding, Payload, Serializer};
///
/// let plain = Encoding::from(Serializer::V2);
/// let text = format!(r#"{{"text":"{}"}}"#, "long ".repeat(1_000));
/// let broadcast = Broadcast::new("room:1", "msg", Payload::Json(text.into()));
/// let whole = broadcast.frame(plain).unwrap();
/// let compressed = broadcast.frame(plain.compressed(1024)).unwrap();
/// assert!(compressed.is_compressed() && compressed.len() < whole.len() / 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Encoding {
    serializer: Serializer,
    /// From how many bytes on a message is compressed, in the 32 bits that connections can spare.
    threshold: u32,
}

/// The threshold of clients that did not negotiate compression.
const NEVER: u32 = u32::MAX;

impl Encoding {
    /// How many there are, thresholds aside.
    pub const COUNT: usize = 2 * Serializer::COUNT;

    /// The same, compressing messages of `threshold` bytes and more, for a client
    /// that negotiated permessage-deflate (RFC 7692).
    ///
    /// A message that would not become shorter goes out as it is.
    #[must_use]
    pub const fn compressed(self, threshold: usize) -> Self {
        let threshold = if threshold < NEVER as usize { threshold as u32 } else { NEVER - 1 };
        Encoding { threshold, ..self }
    }

    /// Its place in a table of [`COUNT`](Self::COUNT) places.
    ///
    /// The threshold makes no difference: one endpoint has one threshold.
    #[must_use]
    pub const fn index(self) -> usize {
        2 * self.serializer.index() + self.is_compressed() as usize
    }

    /// The version of the protocol.
    #[must_use]
    pub const fn serializer(self) -> Serializer {
        self.serializer
    }

    /// Whether long messages are compressed.
    #[must_use]
    pub const fn is_compressed(self) -> bool {
        self.threshold != NEVER
    }

    /// Writes a push of a channel to its client.
    ///
    /// # Errors
    ///
    /// As [`Serializer::encode_push`].
    pub fn encode_push(
        self,
        join_ref: Option<&Ref>,
        topic: &str,
        event: &str,
        payload: &Payload,
    ) -> Result<Frame, EncodeError> {
        let frame = self.serializer.encode_push(join_ref, topic, event, payload)?;
        Ok(self.finish(frame))
    }

    /// Writes the reply to one message.
    ///
    /// # Errors
    ///
    /// As [`Serializer::encode_reply`].
    pub fn encode_reply(
        self,
        join_ref: Option<&Ref>,
        reference: Option<&Ref>,
        topic: &str,
        status: &Status,
        response: &Payload,
    ) -> Result<Frame, EncodeError> {
        let frame = self.serializer.encode_reply(join_ref, reference, topic, status, response)?;
        Ok(self.finish(frame))
    }

    /// Compresses a frame that is long enough for it.
    pub(crate) fn finish(self, frame: Frame) -> Frame {
        match self.is_compressed() && frame.payload_len() >= self.threshold as usize {
            true => frame.compressed().unwrap_or(frame),
            false => frame,
        }
    }

    /// The same without compression.
    pub(crate) const fn uncompressed(self) -> Self {
        Encoding { threshold: NEVER, ..self }
    }
}

impl From<Serializer> for Encoding {
    /// Without compression.
    fn from(serializer: Serializer) -> Self {
        Encoding { serializer, threshold: NEVER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_has_a_place_of_its_own() {
        let plain = [Serializer::V1, Serializer::V2].map(Encoding::from);
        let all = plain.iter().flat_map(|encoding| [*encoding, encoding.compressed(0)]);
        let mut places: Vec<usize> = all.map(Encoding::index).collect();
        places.sort_unstable();
        assert_eq!(places, Vec::from_iter(0..Encoding::COUNT));
    }

    #[test]
    fn a_message_is_compressed_from_the_threshold_on() {
        let encoding = Encoding::from(Serializer::V2);
        let reply = |encoding: Encoding| {
            let response = Payload::Json(format!(r#"{{"text":"{}"}}"#, "ab".repeat(100)).into());
            encoding.encode_reply(None, None, "room:1", &Status::Ok, &response).unwrap()
        };
        let length = reply(encoding).payload().len();
        for (threshold, is_compressed) in [(0, true), (length, true), (length + 1, false)] {
            let frame = reply(encoding.compressed(threshold));
            assert_eq!(frame.is_compressed(), is_compressed, "{threshold}");
        }
    }
}
