//! What can be set for compression.

/// How messages are compressed for clients that ask for it (permessage-deflate, RFC 7692).
///
/// ```
/// use bennu_server::{Compression, SocketOptions};
///
/// let options = SocketOptions::default().compression(Compression::default().threshold(512));
/// ```
///
/// No connection keeps a context: each message is compressed by itself, with a context that
/// belongs to the thread (380 KB once the thread has compressed a message, and 48 KB once it
/// has inflated one). So compression costs an idle connection nothing, and a broadcast is
/// compressed once for all its subscribers; similar short messages become no shorter, though,
/// as they would with a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "deflate_options")]
pub struct Compression {
    pub(crate) threshold: usize,
    pub(crate) max_inflated_size: Option<usize>,
}

impl Default for Compression {
    fn default() -> Self {
        Compression { threshold: 1024, max_inflated_size: None }
    }
}

impl Compression {
    /// From how many bytes on a message to a client is compressed; 1,024 by default.
    ///
    /// Compressing a message of 1 KB takes some tens of microseconds, and may well spare no packet. A
    /// broadcast may go to several mounts and is compressed once, so that an endpoint has one
    /// threshold: the lowest of its mounts.
    #[must_use]
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// What a compressed message of a client may become, in bytes; by default as much as
    /// [`max_frame_size`](crate::SocketOptions::max_frame_size). Inflating stops there, and the
    /// connection is closed with 1009.
    #[must_use]
    #[doc(alias = "max_inflate_size")]
    pub fn max_inflated_size(mut self, bytes: usize) -> Self {
        self.max_inflated_size = Some(bytes);
        self
    }
}
