//! What a decoder takes.

/// How much a peer may send at once.
///
/// Both are decided by what a header announces, before any of it is stored.
/// More than 4 GiB means 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame in bytes, header and payload; 10,000,000 by default.
    pub max_frame_size: usize,
    /// The largest sum of the fragments of one message, in bytes; 8,000,000 by
    /// default. A message that comes in one frame has only the limit above.
    pub max_message_size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_frame_size: 10_000_000, max_message_size: 8_000_000 }
    }
}
