//! What crosses between nodes, byte for byte.
//!
//! A packet is a version (1), flags (0), the sender's incarnation (16 bytes), the number of its first frame (8), how many
//! frames there are (2), the frames, and an authentication code (16). A frame is a kind (1), the lengths of topic (2), type
//! (2) and body (4), and these. Integers are big-endian. The code is HMAC-SHA256 over the subject's name with dots, a zero byte,
//! and everything before it, cut to 16 bytes.

use bytes::{Bytes, BytesMut};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::node::Incarnation;

pub(crate) const VERSION: u8 = 1;
const MAC: usize = 16;
const HEADER: usize = 1 + 1 + 16 + 8 + 2;
const FRAME_HEADER: usize = 1 + 2 + 2 + 4;
/// Bytes of a packet beside its frames.
pub(crate) const OVERHEAD: usize = HEADER + MAC;
/// Frames that one packet can count.
pub(crate) const MAX_FRAMES: usize = u16::MAX as usize;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    Beacon,
}

/// A frame of a packet that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) topic: Bytes,
    pub(crate) type_name: Bytes,
    pub(crate) body: Bytes,
}

/// Why a packet is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refused {
    Version,
    Mac,
    Malformed,
}

impl Refused {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Refused::Version => "version",
            Refused::Mac => "mac",
            Refused::Malformed => "malformed",
        }
    }
}

/// The cluster's key.
#[derive(Clone)]
pub(crate) struct Key(Hmac<Sha256>);

impl Key {
    /// Clusters with another secret or namespace have another key.
    pub(crate) fn derive(secret: &[u8], namespace: &str) -> Self {
        let mut derivation = keyed(secret);
        derivation.update(b"bennu pubsub 1\0");
        derivation.update(namespace.as_bytes());
        Key(keyed(&derivation.finalize().into_bytes()))
    }

    fn code(&self, subject: &str, packet: &[u8]) -> Hmac<Sha256> {
        let mut code = self.0.clone();
        code.update(subject.as_bytes());
        code.update(&[0]);
        code.update(packet);
        code
    }
}

#[allow(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// Writes a frame. `None` when a part is longer than its length can say.
pub(crate) fn encode_frame(
    kind: Kind,
    topic: &str,
    type_name: &str,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), crate::CodecError>,
) -> Result<Vec<u8>, crate::CodecError> {
    let topic_len = u16::try_from(topic.len()).map_err(|_| "the topic is longer than 65,535 bytes")?;
    let type_len =
        u16::try_from(type_name.len()).map_err(|_| "the type's name is longer than 65,535 bytes")?;
    let mut frame = Vec::with_capacity(FRAME_HEADER + topic.len() + type_name.len() + 128);
    frame.push(match kind {
        Kind::Message => 0,
        Kind::Beacon => 1,
    });
    frame.extend_from_slice(&topic_len.to_be_bytes());
    frame.extend_from_slice(&type_len.to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(topic.as_bytes());
    frame.extend_from_slice(type_name.as_bytes());
    let before = frame.len();
    body(&mut frame)?;
    let body_len = u32::try_from(frame.len() - before).map_err(|_| "the message is longer than 4 GiB")?;
    frame[5..9].copy_from_slice(&body_len.to_be_bytes());
    Ok(frame)
}

/// A packet in the making.
#[derive(Debug)]
pub(crate) struct Builder {
    bytes: BytesMut,
    frames: u16,
}

impl Builder {
    pub(crate) fn new(sender: Incarnation, first: u64) -> Self {
        let mut bytes = BytesMut::with_capacity(512);
        bytes.extend_from_slice(&[VERSION, 0]);
        bytes.extend_from_slice(&sender.0.to_be_bytes());
        bytes.extend_from_slice(&first.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        Builder { bytes, frames: 0 }
    }

    /// Whether another frame of this size fits into a packet of `max` bytes.
    pub(crate) fn fits(&self, frame: usize, max: usize) -> bool {
        usize::from(self.frames) < MAX_FRAMES && self.bytes.len() + frame + MAC <= max
    }

    pub(crate) fn push(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.bytes.extend_from_slice(frame);
    }

    pub(crate) fn finish(mut self, key: &Key, subject: &str) -> Bytes {
        self.bytes[HEADER - 2..HEADER].copy_from_slice(&self.frames.to_be_bytes());
        let code = key.code(subject, &self.bytes).finalize().into_bytes();
        self.bytes.extend_from_slice(&code[..MAC]);
        self.bytes.freeze()
    }
}

/// A packet that was received and is genuine.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) sender: Incarnation,
    /// The number of the first frame.
    pub(crate) first: u64,
    pub(crate) frames: u16,
    rest: Bytes,
}

/// Who sent it, before anything is proven: enough to drop one's own echo.
pub(crate) fn sender(packet: &[u8]) -> Option<Incarnation> {
    Some(Incarnation(u128::from_be_bytes(packet.get(2..18)?.try_into().ok()?)))
}

impl Received {
    pub(crate) fn open(mut packet: Bytes, key: &Key, subject: &str) -> Result<Self, Refused> {
        if packet.first() != Some(&VERSION) {
            return Err(if packet.is_empty() { Refused::Malformed } else { Refused::Version });
        }
        if packet.len() < OVERHEAD {
            return Err(Refused::Malformed);
        }
        let code = packet.split_off(packet.len() - MAC);
        key.code(subject, &packet).verify_truncated_left(&code).map_err(|_| Refused::Mac)?;
        if packet[1] != 0 {
            return Err(Refused::Version);
        }
        let malformed = |_| Refused::Malformed;
        Ok(Received {
            sender: sender(&packet).ok_or(Refused::Malformed)?,
            first: u64::from_be_bytes(packet[18..26].try_into().map_err(malformed)?),
            frames: u16::from_be_bytes(packet[26..28].try_into().map_err(malformed)?),
            rest: packet.split_off(HEADER),
        })
    }
}

impl Iterator for Received {
    type Item = Result<Frame, Refused>;

    /// The frames in order; after one that is malformed there are no more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let frame = read_frame(&mut self.rest);
        if frame.is_none() {
            self.rest.clear();
        }
        Some(frame.ok_or(Refused::Malformed))
    }
}

fn read_frame(rest: &mut Bytes) -> Option<Frame> {
    if rest.len() < FRAME_HEADER {
        return None;
    }
    let header = rest.split_to(FRAME_HEADER);
    let kind = match header[0] {
        0 => Kind::Message,
        1 => Kind::Beacon,
        _ => return None,
    };
    let length = |range: std::ops::Range<usize>| {
        header[range].iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte))
    };
    let (topic, type_name, body) = (length(1..3), length(3..5), length(5..9));
    if rest.len() < topic.checked_add(type_name)?.checked_add(body)? {
        return None;
    }
    Some(Frame {
        kind,
        topic: rest.split_to(topic),
        type_name: rest.split_to(type_name),
        body: rest.split_to(body),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::derive(b"a secret of some length", "test")
    }

    fn frame(topic: &str, body: &[u8]) -> Vec<u8> {
        encode_frame(Kind::Message, topic, "type", |out| {
            out.extend_from_slice(body);
            Ok(())
        })
        .unwrap()
    }

    fn packet(bodies: &[&[u8]]) -> Bytes {
        let mut builder = Builder::new(Incarnation(7), 41);
        bodies.iter().for_each(|body| builder.push(&frame("room:1", body)));
        builder.finish(&key(), "bennu.test.b1")
    }

    fn open(bytes: impl Into<Bytes>) -> Result<Vec<Frame>, Refused> {
        Received::open(bytes.into(), &key(), "bennu.test.b1")?.collect()
    }

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let received = Received::open(packet(&[b"one", b"", b"three"]), &key(), "bennu.test.b1").unwrap();
        assert_eq!((received.sender, received.first, received.frames), (Incarnation(7), 41, 3));
        let bodies: Vec<Bytes> = received.map(|frame| frame.unwrap().body).collect();
        assert_eq!(bodies, [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn another_key_subject_or_version_is_refused() {
        let packet = packet(&[b"one"]);
        let stranger = Key::derive(b"another secret", "test");
        let refused = |key: &Key, subject: &str| Received::open(packet.clone(), key, subject).unwrap_err();
        assert_eq!(refused(&stranger, "bennu.test.b1"), Refused::Mac);
        assert_eq!(refused(&Key::derive(b"a secret of some length", "prod"), "bennu.test.b1"), Refused::Mac);
        assert_eq!(refused(&key(), "bennu.test.b2"), Refused::Mac);
        let mut newer = packet.to_vec();
        newer[0] = 2;
        assert_eq!(open(newer), Err(Refused::Version));
        assert_eq!(open(Bytes::new()), Err(Refused::Malformed));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let packet = packet(&[b"one", b"two"]).to_vec();
        for bit in 0..packet.len() * 8 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(changed).is_err(), "bit {bit}");
        }
        for length in 0..packet.len() {
            assert!(open(packet[..length].to_vec()).is_err(), "{length} bytes");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_of_a_member_break_the_reader(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut builder = Builder::new(Incarnation(7), 1);
            builder.push(&body);
            let packet = builder.finish(&key(), "bennu.test.b1");
            let frames = Received::open(packet, &key(), "bennu.test.b1").unwrap();
            let read: usize = frames.filter_map(Result::ok).map(|frame| {
                FRAME_HEADER + frame.topic.len() + frame.type_name.len() + frame.body.len()
            }).sum();
            prop_assert!(read <= body.len());
        }
    }
}
