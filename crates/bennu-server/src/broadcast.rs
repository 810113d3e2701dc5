//! How broadcasts to clients cross nodes, and what keeps one from it.

use std::fmt;
use std::time::Duration;

use bennu_protocol::{Broadcast, EncodeError, Payload};
use bennu_pubsub::{Codec, CodecError, CrossingError, PubSub};
use bytes::Bytes;
use thiserror::Error;

/// Why a broadcast did not reach everyone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The payload has no JSON form, the topic's history cannot number it, or the protocol version of some
    /// subscriber cannot carry it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It did not leave this node, most often since it is larger than the engine between the nodes carries. Clients of this
    /// node have got it.
    #[error(transparent)]
    Crossing(#[from] CrossingError),
}

/// Topic and event, each behind its length, what kind of payload it is, and the payload: nothing of it is escaped, and the payload
/// is never copied where it arrives.
pub(crate) const CODEC: Codec<Broadcast> = Codec { name: "bennu.broadcast.1", encode, decode };

const JSON: u8 = 0;
const BINARY: u8 = 1;

/// Bytes of another node that are no broadcast.
#[derive(Debug, PartialEq, Eq)]
struct Unreadable(&'static str);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unreadable {}

fn encode(broadcast: &Broadcast, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let (kind, payload) = match broadcast.payload() {
        Payload::Json(text) => (JSON, text),
        Payload::Binary(bytes) => (BINARY, bytes),
    };
    let (topic, event) = (broadcast.topic().as_bytes(), broadcast.event().as_bytes());
    out.reserve(9 + topic.len() + event.len() + payload.len());
    for text in [topic, event] {
        out.extend_from_slice(&u32::try_from(text.len())?.to_be_bytes());
        out.extend_from_slice(text);
    }
    out.push(kind);
    out.extend_from_slice(payload);
    Ok(())
}

fn decode(mut bytes: Bytes) -> Result<Broadcast, CodecError> {
    let (topic, event) = (take_text(&mut bytes)?, take_text(&mut bytes)?);
    let (topic, event) = (text(&topic)?, text(&event)?);
    let kind = *bytes.first().ok_or(Unreadable("it has no payload"))?;
    let payload = bytes.slice(1..);
    let payload = match kind {
        // Clients would not survive a text frame that is none. Whether it is JSON, its own node has made sure of.
        JSON => text(&payload).map(|_| Payload::Json(payload.clone()))?,
        BINARY => Payload::Binary(payload),
        _ => return Err(Unreadable("its payload is of no known kind").into()),
    };
    Ok(Broadcast::new(topic, event, payload))
}

fn take_text(bytes: &mut Bytes) -> Result<Bytes, Unreadable> {
    let cut_off = Unreadable("it is cut off");
    let Some((length, _)) = bytes.split_first_chunk::<4>() else { return Err(cut_off) };
    let length = u32::from_be_bytes(*length) as usize;
    let end = length.checked_add(4).filter(|end| *end <= bytes.len()).ok_or(cut_off)?;
    let text = bytes.slice(4..end);
    *bytes = bytes.slice(end..);
    Ok(text)
}

fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable("it has text that is no UTF-8"))
}

/// Longest wait of a client that joins or connects until other nodes reach it.
const SETTLE: Duration = Duration::from_secs(2);

/// Waits until what other nodes broadcast to a topic arrives; false if that takes too long. A client is better served late than
/// never, and in an outage of the engine at once.
pub(crate) async fn settle(pubsub: &PubSub, topic: &str) -> bool {
    let settled = tokio::time::timeout(SETTLE, pubsub.settle(topic)).await.is_ok();
    if !settled {
        tracing::warn!(
            ?topic,
            "the engine has not confirmed a subscription in time: what other nodes broadcast may be missed"
        );
    }
    settled
}

#[cfg(test)]
mod tests {
    use bennu_protocol::Serializer;
    use proptest::prelude::*;

    use super::*;

    fn crossed(broadcast: &Broadcast) -> (Broadcast, Bytes) {
        let mut out = Vec::new();
        encode(broadcast, &mut out).unwrap();
        let bytes = Bytes::from(out);
        (decode(bytes.clone()).unwrap(), bytes)
    }

    fn payloads() -> impl Strategy<Value = Payload> {
        let binary = proptest::collection::vec(any::<u8>(), 0..300).prop_map(Payload::binary);
        let json = ".{0,100}".prop_map(|text| Payload::json(&serde_json::json!({ "text": text })).unwrap());
        prop_oneof![binary, json]
    }

    proptest! {
        #[test]
        fn a_broadcast_is_the_same_on_the_other_node(topic in ".{0,40}", event in ".{0,40}", payload in payloads()) {
            let broadcast = Broadcast::new(&*topic, &*event, payload);
            let (there, bytes) = crossed(&broadcast);
            prop_assert_eq!((there.topic(), there.event(), there.payload()), (broadcast.topic(), broadcast.event(), broadcast.payload()));
            prop_assert_eq!(there.frame(Serializer::V1), broadcast.frame(Serializer::V1));
            let (Payload::Json(payload) | Payload::Binary(payload)) = there.payload();
            prop_assert!(bytes.as_ptr_range().contains(&payload.as_ptr()) || payload.is_empty(), "it was copied");
        }

        #[test]
        fn any_bytes_are_a_broadcast_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(bytes.into());
        }

        #[test]
        fn a_broadcast_that_is_cut_or_damaged_harms_nobody(payload in payloads(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let (_, bytes) = crossed(&Broadcast::new("room:1", "msg", payload));
            let at = at.index(bytes.len());
            let _ = decode(bytes.slice(..at));
            let mut damaged = bytes.to_vec();
            damaged[at] = byte;
            if let Ok(broadcast) = decode(damaged.into()) {
                let _ = broadcast.frame(Serializer::V2);
            }
        }
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        for bytes in
            [&[][..], &[0, 0, 0], &[255; 8], &[0; 8], &[0, 0, 0, 0, 0, 0, 0, 0, 7], b"\0\0\0\0\0\0\0\0\0\xff"]
        {
            assert!(decode(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
