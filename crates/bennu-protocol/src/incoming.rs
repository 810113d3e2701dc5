//! What a transport has received.

use std::ops::{Deref, Range};

use bytes::Bytes;

use crate::frame::{Frame, FrameKind};

/// A message as it arrived: one that is read where it lies is copied once, piece by piece, and not as a whole before.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Text or binary.
    pub kind: FrameKind,
    /// The serialized message.
    pub data: Data<'a>,
}

/// Bytes in the buffer they were read into, or in memory of their own.
#[derive(Clone)]
pub enum Data<'a> {
    /// They are overwritten by the next read.
    Here(&'a [u8]),
    /// They can be shared.
    Own(Bytes),
}

impl Data<'_> {
    /// The bytes in memory of their own.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Data::Here(bytes) => Bytes::copy_from_slice(bytes),
            Data::Own(bytes) => bytes,
        }
    }

    /// Some of the bytes. They are copied when they are few, which costs less than to count who holds the memory of
    /// all, and when they are little of all, which would stay for them.
    pub(crate) fn part(&self, range: Range<usize>) -> Bytes {
        match self {
            Data::Own(all) if range.len() >= SHARED && range.len() >= all.len() / 2 => all.slice(range),
            Data::Own(_) | Data::Here(_) => Bytes::copy_from_slice(&self[range]),
        }
    }
}

/// From how many bytes on a part may share the memory of all.
const SHARED: usize = 1024;

impl Deref for Data<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Data::Here(bytes) => bytes,
            Data::Own(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for Data<'_> {
    /// Shows the length: payloads may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Data({} bytes)", self.len())
    }
}

impl From<Frame> for Incoming<'static> {
    fn from(frame: Frame) -> Self {
        Incoming { kind: frame.kind(), data: Data::Own(frame.into_payload()) }
    }
}
