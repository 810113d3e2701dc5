//! Erlang's external terms: what a token holds.

mod big;
mod de;
mod decode;
mod encode;
mod from;
mod map;
mod order;
mod ser;

pub use big::BigInteger;
pub use de::from_term;
pub use map::Map;
pub use ser::to_term;

use thiserror::Error;

/// How deep terms may nest, so that neither reading nor writing one can exhaust the stack.
pub const MAX_DEPTH: usize = 128;

/// How many bytes a compressed term may have once inflated: 1 MiB.
pub const MAX_INFLATED: usize = 1 << 20;

/// A value of Erlang and Elixir, without functions, processes, ports and references.
///
/// Elixir's strings are [`Binary`](Self::Binary); `true`, `false` and `nil` are atoms.
/// Terms have a total order, the one in which Erlang keeps the keys of a small map, and
/// are equal when it says so: `0.0` and `-0.0` differ, and so do `1` and `1.0`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Term {
    /// An integer of 64 bits.
    Integer(i64),
    /// An integer that [`Integer`](Self::Integer) cannot hold.
    BigInteger(BigInteger),
    /// A finite number; writing another one fails.
    Float(f64),
    /// An atom of 255 characters at most; writing a longer one fails.
    Atom(String),
    /// Bytes, and in Elixir text.
    Binary(Vec<u8>),
    /// Bits that end within a byte: of the last byte only the upper `last_bits` count, 1 to 7.
    Bitstring {
        /// The bits, the first one in the highest bit of the first byte.
        bytes: Vec<u8>,
        /// How many bits of the last byte count.
        last_bits: u8,
    },
    /// A tuple.
    Tuple(Vec<Term>),
    /// A list; Elixir's charlists are lists of integers.
    List(Vec<Term>),
    /// A list that ends in something else than the empty list, as `[1 | 2]`.
    ImproperList(Vec<Term>, Box<Term>),
    /// A map.
    Map(Map),
}

/// Why a term cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TermError {
    /// The bytes do not start with 131.
    #[error("the bytes are no external term of version 131")]
    Version,
    /// A header announced more than is there.
    #[error("{needed} bytes are needed, {left} are left")]
    Truncated {
        /// How many the header announced.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// A function, a process, a reference, or nothing that Erlang knows.
    #[error("terms with tag {0} are not supported")]
    Tag(u8),
    /// It nests deeper than [`MAX_DEPTH`].
    #[error("the term nests deeper than {MAX_DEPTH}")]
    Depth,
    /// A compressed term is damaged, or has another size than it says.
    #[error("the compressed term cannot be inflated")]
    Inflate,
    /// Some part is larger than its encoding, or a compressed term than [`MAX_INFLATED`], allows.
    #[error("{0} bytes or elements are too many")]
    TooLarge(usize),
    /// So many bytes follow the term.
    #[error("{0} bytes follow the term")]
    Trailing(usize),
    /// An atom is not UTF-8 or has more than 255 characters.
    #[error("an atom is not UTF-8 or too long")]
    Atom,
    /// A float is infinite or not a number.
    #[error("a float is not finite")]
    NotFinite,
    /// A map has a key twice.
    #[error("a map has a key twice")]
    DuplicateKey,
    /// A bitstring has no bytes, or does not use 1 to 8 bits of its last one.
    #[error("a bitstring uses {0} bits of its last byte")]
    Bits(u8),
    /// The term and the Rust type do not fit.
    #[error("{0}")]
    Type(String),
}

impl Term {
    /// `nil`.
    #[must_use]
    pub fn nil() -> Self {
        Term::atom("nil")
    }

    /// The atom of this name.
    pub fn atom(name: impl Into<String>) -> Self {
        Term::Atom(name.into())
    }

    /// A tuple of these.
    pub fn tuple<T: Into<Term>>(elements: impl IntoIterator<Item = T>) -> Self {
        Term::Tuple(elements.into_iter().map(Into::into).collect())
    }

    /// A list of these.
    pub fn list<T: Into<Term>>(elements: impl IntoIterator<Item = T>) -> Self {
        Term::List(elements.into_iter().map(Into::into).collect())
    }

    /// A map of these; of several values of one key the last counts.
    pub fn map<K: Into<Term>, V: Into<Term>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Term::Map(entries.into_iter().collect())
    }

    /// The text of a binary that is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The bytes of a binary.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Term::Binary(bytes) = self { Some(bytes) } else { None }
    }

    /// An integer of 64 bits.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        if let Term::Integer(value) = self { Some(*value) } else { None }
    }

    /// The name of an atom.
    #[must_use]
    pub fn as_atom(&self) -> Option<&str> {
        if let Term::Atom(name) = self { Some(name) } else { None }
    }

    /// `true` or `false`.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        self.as_atom()?.parse().ok()
    }

    /// Whether it is `nil`.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        self.as_atom() == Some("nil")
    }

    /// A map.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        if let Term::Map(map) = self { Some(map) } else { None }
    }
}
