//! What the client holds, as far as the server needs to know it.

use std::hash::{BuildHasher as _, Hash};
use std::sync::LazyLock;

use super::template::Template;

/// What the client has in one hole. Texts are hashes: nothing that was rendered is kept.
#[derive(Debug, Default)]
pub(super) enum Print {
    /// Nothing was sent for it.
    #[default]
    Nothing,
    Text(u64),
    Node(Box<NodePrint>),
    List(Box<ListPrint>),
    /// The client has the statics, and entries of which the server remembers nothing; and the stream's number.
    Stream(Box<(u64, usize)>),
}

/// One rendering of a template.
#[derive(Debug)]
pub(super) struct NodePrint {
    pub(super) fingerprint: u64,
    pub(super) holes: Box<[Print]>,
}

/// The entries of a loop, in their order: the key of each, hashed, and its holes, one entry's behind the other's.
#[derive(Debug)]
pub(super) struct ListPrint {
    pub(super) fingerprint: u64,
    pub(super) keys: Vec<u64>,
    pub(super) holes: Vec<Print>,
}

impl Print {
    /// The holes of a node of this template, and whether the client has none of them yet.
    pub(super) fn node(&mut self, template: &Template) -> (&mut [Print], bool) {
        let known = matches!(self, Self::Node(node) if node.fingerprint == template.fingerprint);
        if !known {
            *self = Self::Node(Box::new(NodePrint::new(template)));
        }
        match self {
            Self::Node(node) => (&mut node.holes, !known),
            // It was made one above.
            _ => (&mut [], true),
        }
    }
}

impl NodePrint {
    pub(super) fn new(template: &Template) -> Self {
        Self { fingerprint: template.fingerprint, holes: nothing(template.holes()).collect() }
    }
}

/// Holes of which the client has nothing.
pub(super) fn nothing(holes: usize) -> impl Iterator<Item = Print> {
    std::iter::repeat_with(Print::default).take(holes)
}

/// Tells texts and keys apart. The seed is another in each process, so that nobody can prepare two texts that look the same.
pub(super) fn hash(value: impl Hash) -> u64 {
    static STATE: LazyLock<foldhash::quality::RandomState> = LazyLock::new(Default::default);
    STATE.hash_one(value)
}
