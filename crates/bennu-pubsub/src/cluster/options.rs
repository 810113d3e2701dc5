//! How a node takes part in its cluster.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::node::NodeName;

/// Who this node is, and what it shares with the others of its cluster.
#[derive(Clone)]
pub struct ClusterOptions {
    pub(crate) secret: Vec<u8>,
    pub(crate) node: Option<String>,
    pub(crate) namespace: String,
    pub(crate) buckets: u16,
    pub(crate) queue: usize,
    pub(crate) linger: Duration,
}

/// Why a cluster cannot be joined with these options.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClusterOptionsError {
    /// The secret is too short.
    #[error("the secret of a cluster needs 20 bytes at least, this one has {0}")]
    ShortSecret(usize),
    /// The node's name is empty, too long, or has control characters.
    #[error("a node's name has 1 to 128 bytes and no control characters")]
    NodeName,
    /// The namespace has characters that an engine would take for its own.
    #[error("a namespace has 1 to 64 letters, digits, '-' and '_'")]
    Namespace,
    /// There are too few or too many buckets.
    #[error("a cluster has 1 to 16,384 buckets")]
    Buckets,
    /// Nothing runs the link.
    #[error("a cluster is joined within a tokio runtime")]
    NoRuntime,
}

impl ClusterOptions {
    /// Most buckets: how far a node is in all of them fits into a packet.
    pub const MAX_BUCKETS: u16 = 16_384;

    /// Shortest secret, in bytes.
    pub const MIN_SECRET: usize = 20;

    /// Options with the secret that all nodes of the cluster share: what it does not authenticate is not taken.
    ///
    /// It proves that a packet comes from a node, and hides nothing: whoever can read the engine can read messages.
    #[must_use]
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        ClusterOptions {
            secret: secret.as_ref().to_vec(),
            node: None,
            namespace: "default".to_owned(),
            buckets: 1_024,
            queue: 16 << 20,
            linger: Duration::from_secs(10),
        }
    }

    /// What this node is called; random when not given. No two nodes of a cluster may share a name.
    #[must_use]
    #[doc(alias = "node_name")]
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// Keeps clusters on one engine apart; `default` when not given. 1 to 64 letters, digits, `-` and `_`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Over how many subjects of the engine topics are spread, 16,384 at most; 1,024 when not given, and the same on all nodes. A node subscribes to those that
    /// its own topics fall into, and hears of other topics that fall into the same.
    #[must_use]
    pub fn buckets(mut self, buckets: u16) -> Self {
        self.buckets = buckets;
        self
    }

    /// Bytes that may wait for the engine; 16 MiB when not given. When more come, the oldest are dropped and counted.
    #[must_use]
    pub fn queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// How long a subject stays subscribed to when its last topic has lost its last subscriber; 10 s when not given. It should be longer than
    /// a packet is on its way: one that comes late for an earlier subscription is taken for the first of a new one.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    pub(crate) fn check(&self) -> Result<NodeName, ClusterOptionsError> {
        if self.secret.len() < Self::MIN_SECRET {
            return Err(ClusterOptionsError::ShortSecret(self.secret.len()));
        }
        let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if !(1..=64).contains(&self.namespace.len()) || !self.namespace.bytes().all(fits) {
            return Err(ClusterOptionsError::Namespace);
        }
        if !(1..=Self::MAX_BUCKETS).contains(&self.buckets) {
            return Err(ClusterOptionsError::Buckets);
        }
        match &self.node {
            Some(name) => NodeName::new(name.as_str()).ok_or(ClusterOptionsError::NodeName),
            None => Ok(NodeName::random()),
        }
    }
}

impl fmt::Debug for ClusterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterOptions")
            .field("node", &self.node)
            .field("namespace", &self.namespace)
            .field("buckets", &self.buckets)
            .finish_non_exhaustive()
    }
}
