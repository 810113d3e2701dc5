//! What a transport carries.

use bytes::{Buf as _, Bytes};

use crate::websocket::{self, FrameHeader};

/// Whether a [`Frame`] holds text or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// One serialized message, as a transport receives or sends it.
///
/// An outgoing frame is built with the WebSocket header of a server in front of
/// its payload, in one allocation, so that the same bytes can be written to
/// every subscriber without another copy.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    kind: FrameKind,
    /// Length in bytes of the WebSocket header in front of the payload; 0 when none is attached.
    header: u8,
    compressed: bool,
    bytes: Bytes,
}

impl Frame {
    /// A text frame, as it arrives.
    #[must_use]
    pub fn text(payload: impl Into<Bytes>) -> Self {
        Frame { kind: FrameKind::Text, header: 0, compressed: false, bytes: payload.into() }
    }

    /// A binary frame, as it arrives.
    #[must_use]
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Frame { kind: FrameKind::Binary, header: 0, compressed: false, bytes: payload.into() }
    }

    /// Text or binary.
    #[must_use]
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// Whether the payload is compressed (RFC 7692); only an outgoing frame is.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// The serialized message, as it travels, without a copy.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(usize::from(self.header)..)
    }

    /// The serialized message of a frame that nobody else needs.
    pub(crate) fn into_payload(self) -> Bytes {
        let mut bytes = self.bytes;
        bytes.advance(self.header.into());
        bytes
    }

    /// Bytes that this frame occupies in a queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn payload_len(&self) -> usize {
        self.bytes.len() - usize::from(self.header)
    }

    /// The same message compressed, unless that is no shorter.
    pub(crate) fn compressed(&self) -> Option<Self> {
        websocket::deflate(&self.payload(), |compressed| {
            let mut frame = FrameBuilder::with_capacity(compressed.len());
            frame.payload().extend_from_slice(compressed);
            frame.finish_compressed(self.kind)
        })
    }

    /// The frame as a WebSocket server writes it: header and payload, unmasked.
    #[must_use]
    pub fn into_websocket(self) -> Bytes {
        match self.header {
            0 => websocket::encode_frame(self.kind.into(), &self.bytes),
            _ => self.bytes,
        }
    }
}

impl std::fmt::Debug for Frame {
    /// Shows kind and length: payloads may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let compressed = if self.compressed { ", compressed" } else { "" };
        write!(f, "Frame::{:?}({} bytes{compressed})", self.kind, self.payload_len())
    }
}

impl From<FrameKind> for websocket::Opcode {
    fn from(kind: FrameKind) -> Self {
        match kind {
            FrameKind::Text => websocket::Opcode::Text,
            FrameKind::Binary => websocket::Opcode::Binary,
        }
    }
}

/// An outgoing frame while it is written: room for the header, then the payload.
pub(crate) struct FrameBuilder {
    buffer: Vec<u8>,
}

/// The longest header that a server writes: two bytes and a 64-bit length (RFC 6455, 5.2).
const HEADER_ROOM: usize = 10;

impl FrameBuilder {
    pub(crate) fn with_capacity(payload: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_ROOM + payload);
        buffer.resize(HEADER_ROOM, 0);
        FrameBuilder { buffer }
    }

    pub(crate) fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(crate) fn finish(self, kind: FrameKind) -> Frame {
        self.with_header(kind, false)
    }

    fn finish_compressed(self, kind: FrameKind) -> Frame {
        self.with_header(kind, true)
    }

    fn with_header(mut self, kind: FrameKind, compressed: bool) -> Frame {
        let payload_len = (self.buffer.len() - HEADER_ROOM) as u64;
        let header = FrameHeader { compressed, ..FrameHeader::new(kind.into(), payload_len) }.encode();
        let start = HEADER_ROOM - header.len();
        self.buffer[start..HEADER_ROOM].copy_from_slice(&header);
        // Ten bytes at most, so the cast keeps the value.
        let header = header.len() as u8;
        let mut bytes = Bytes::from(self.buffer);
        bytes.advance(start);
        Frame { kind, header, compressed, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attached_header_equals_one_made_later() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let payload = vec![b'x'; length];
            let mut builder = FrameBuilder::with_capacity(length);
            builder.payload().extend_from_slice(&payload);
            let built = builder.finish(FrameKind::Text);
            assert_eq!(built.payload(), payload);
            assert_eq!(built.into_websocket(), Frame::text(payload).into_websocket(), "{length}");
        }
    }
}
