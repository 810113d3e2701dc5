//! Making frames.

use bytes::{BufMut, Bytes};

use super::deflate::deflate;
use super::{EncodedHeader, FrameHeader, Opcode, frame, mask};

/// The header of an unfragmented frame, to be followed by its payload.
///
/// With a `mask` the payload must be masked with the same key. For a fragment,
/// encode a [`FrameHeader`] with `fin` off.
///
/// # Panics
///
/// If `opcode` is a control frame's and `payload_len` exceeds 125.
pub fn encode_header(opcode: Opcode, payload_len: usize, mask: Option<[u8; 4]>) -> EncodedHeader {
    assert!(
        !opcode.is_control() || payload_len <= frame::MAX_CONTROL_LEN,
        "a control frame carries at most 125 bytes"
    );
    FrameHeader { mask, ..FrameHeader::new(opcode, payload_len as u64) }.encode()
}

/// A whole unmasked frame in one piece, for all subscribers to share.
///
/// # Panics
///
/// As [`encode_header`].
pub fn encode_frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    encode(opcode, payload, None)
}

/// A whole frame as a client sends it, masked with `key`.
///
/// The key must be fresh and unpredictable for each frame (RFC 6455, 5.3).
///
/// # Panics
///
/// As [`encode_header`].
pub fn encode_masked(opcode: Opcode, payload: &[u8], key: [u8; 4]) -> Bytes {
    encode(opcode, payload, Some(key))
}

/// A whole frame with its payload compressed (RFC 7692), masked if there is a key;
/// `None` if that would be no shorter.
///
/// Only for a connection that negotiated it, and a text or binary message.
///
/// # Panics
///
/// If `opcode` is not one that begins a message.
pub fn encode_compressed(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) -> Option<Bytes> {
    assert!(matches!(opcode, Opcode::Text | Opcode::Binary), "only a message is compressed");
    deflate(payload, |payload| {
        let header = FrameHeader::new(opcode, payload.len() as u64);
        let header = FrameHeader { compressed: true, mask, ..header }.encode();
        let mut out = Vec::with_capacity(header.len() + payload.len());
        put_frame(&mut out, &header, payload, mask);
        out.into()
    })
}

fn encode(opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) -> Bytes {
    let header = encode_header(opcode, payload.len(), key);
    // Exactly the length, so that `Bytes` takes the vector over as it is.
    let mut out = Vec::with_capacity(header.len() + payload.len());
    put_frame(&mut out, &header, payload, key);
    out.into()
}

/// Appends a whole frame to `out`, masked if there is a key.
///
/// # Panics
///
/// As [`encode_header`], or if `out` cannot grow and is too small.
pub fn encode_into(out: &mut impl BufMut, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    let header = encode_header(opcode, payload.len(), mask);
    put_frame(out, &header, payload, mask);
}

fn put_frame(out: &mut impl BufMut, header: &[u8], payload: &[u8], key: Option<[u8; 4]>) {
    out.put_slice(header);
    match key {
        Some(key) => mask::put_masked(out, payload, key),
        None => out.put_slice(payload),
    }
}

/// An unmasked close frame with a code and no reason, as a server sends it.
///
/// A client, or a close with a reason, encodes
/// [`CloseFrame::to_payload`](super::CloseFrame::to_payload).
pub fn close_frame(code: u16) -> Bytes {
    encode_frame(Opcode::Close, &code.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// The first two are the examples of RFC 6455, 5.7.
    #[test]
    fn whole_frames() {
        for (name, frame, bytes) in [
            ("unmasked text", encode_frame(Opcode::Text, b"Hello"), &b"\x81\x05Hello"[..]),
            (
                "masked text",
                encode_masked(Opcode::Text, b"Hello", KEY),
                b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
            ),
            ("empty binary", encode_frame(Opcode::Binary, b""), b"\x82\0"),
            ("close", close_frame(1001), b"\x88\x02\x03\xe9"),
        ] {
            assert_eq!(frame, bytes, "{name}");
        }
    }

    #[test]
    fn buffers_collect_frames() {
        let mut vec = Vec::new();
        let mut bytes = BytesMut::new();
        for mask in [None, Some(KEY)] {
            encode_into(&mut vec, Opcode::Ping, b"x", mask);
            encode_into(&mut bytes, Opcode::Ping, b"x", mask);
        }
        assert_eq!(vec, b"\x89\x01x\x89\x81\x37\xfa\x21\x3d\x4f");
        assert_eq!(vec, bytes);
    }

    #[test]
    #[should_panic(expected = "at most 125 bytes")]
    fn long_control_frame_is_refused() {
        encode_frame(Opcode::Ping, &[0; 126]);
    }
}
