//! Who is in the cluster.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// What a node is called; unique in its cluster, and the same after a restart if it is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[doc(alias = "node_name")]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// Longest name, in bytes.
    pub const MAX: usize = 128;

    /// A name of 1 to 128 bytes without control characters.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Option<Self> {
        let name = name.into();
        let fits = (1..=Self::MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        fits.then_some(NodeName(name))
    }

    /// A name that no other node has.
    pub(crate) fn random() -> Self {
        NodeName(format!("{:032x}", Incarnation::random().0).into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        NodeName::new(name).ok_or("a node's name has 1 to 128 bytes and no control characters")
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.as_str().to_owned()
    }
}

impl AsRef<str> for NodeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One life of a node: random at each start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Incarnation(pub(crate) u128);

impl Incarnation {
    pub(crate) fn random() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        // 128 bits of the standard library's own random keys; they need not be secret, only different.
        let half = |salt: u8| u128::from(RandomState::new().hash_one((salt, std::process::id())));
        Incarnation(half(0) << 64 | half(1))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

/// Another node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// What it is called.
    pub name: NodeName,
    /// When something of it was heard last.
    pub last_heard: Instant,
}
