//! How much can be tracked.

/// What may be tracked at most.
///
/// A limit holds where something is tracked, for what that node knows at that moment. What another node has let in is never
/// left out here, so that all nodes list the same; when several let somebody in at once, there may be a few more than the limit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "limits do nothing until a presence is built with them"]
pub struct PresenceLimits {
    pub(crate) max_meta_bytes: usize,
    pub(crate) max_metas: usize,
    pub(crate) max_keys: usize,
}

impl Default for PresenceLimits {
    fn default() -> Self {
        PresenceLimits { max_meta_bytes: 8_192, max_metas: 100, max_keys: 100_000 }
    }
}

impl PresenceLimits {
    /// Bytes of one meta as JSON, without what presence adds; 8,192 by default. Each meta is held on each node, and sent to each client of its topic.
    pub fn max_meta_bytes(self, max_meta_bytes: usize) -> Self {
        PresenceLimits { max_meta_bytes, ..self }
    }

    /// Metas of one key on one topic, such as devices of one user; 100 by default.
    pub fn max_metas(self, max_metas: usize) -> Self {
        PresenceLimits { max_metas, ..self }
    }

    /// Keys on one topic; 100,000 by default, which is what a [list of our client](bennu_protocol::presence::PresenceLimits) holds.
    pub fn max_keys(self, max_keys: usize) -> Self {
        PresenceLimits { max_keys, ..self }
    }
}
