//! The order in which Erlang keeps the keys of a small map.

use std::cmp::Ordering;

use super::{Map, Term};

impl Term {
    /// Integers come first, then floats, atoms, tuples, maps, the empty list, lists, bits.
    fn rank(&self) -> u8 {
        match self {
            Term::Integer(_) | Term::BigInteger(_) => 0,
            Term::Float(_) => 1,
            Term::Atom(_) => 2,
            Term::Tuple(_) => 3,
            Term::Map(_) => 4,
            Term::List(elements) if elements.is_empty() => 5,
            Term::List(_) | Term::ImproperList(..) => 6,
            Term::Binary(_) | Term::Bitstring { .. } => 7,
        }
    }

    /// The elements of a list and, if it is improper, its tail.
    fn list_parts(&self) -> Option<(&[Term], Option<&Term>)> {
        match self {
            Term::List(elements) => Some((elements, None)),
            Term::ImproperList(elements, tail) => Some((elements, Some(tail))),
            _ => None,
        }
    }

    /// The bytes of bits, and how many bits of the last byte count.
    fn bits(&self) -> Option<(&[u8], u8)> {
        match self {
            Term::Binary(bytes) => Some((bytes, 8)),
            Term::Bitstring { bytes, last_bits } => Some((bytes, *last_bits)),
            _ => None,
        }
    }
}

impl Ord for Term {
    fn cmp(&self, other: &Self) -> Ordering {
        let (Some(own), Some(others)) = (self.list_parts(), other.list_parts()) else {
            return compare_others(self, other);
        };
        own.cmp(&others)
    }
}

fn compare_others(a: &Term, b: &Term) -> Ordering {
    if let (Some(a), Some(b)) = (a.bits(), b.bits()) {
        return a.cmp(&b);
    }
    match (a, b) {
        (Term::Integer(a), Term::Integer(b)) => a.cmp(b),
        (Term::BigInteger(a), Term::BigInteger(b)) => a.cmp(b),
        (Term::Integer(_), Term::BigInteger(big)) if big.is_negative() => Ordering::Greater,
        (Term::Integer(_), Term::BigInteger(_)) => Ordering::Less,
        (Term::BigInteger(big), Term::Integer(_)) if big.is_negative() => Ordering::Less,
        (Term::BigInteger(_), Term::Integer(_)) => Ordering::Greater,
        (Term::Float(a), Term::Float(b)) => a.total_cmp(b),
        (Term::Atom(a), Term::Atom(b)) => a.cmp(b),
        (Term::Tuple(a), Term::Tuple(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        (Term::Map(a), Term::Map(b)) => a.cmp(b),
        (a, b) => a.rank().cmp(&b.rank()),
    }
}

impl PartialOrd for Term {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Term {}

impl Ord for Map {
    /// By size, then keys, then values; the order of the entries does not count.
    fn cmp(&self, other: &Self) -> Ordering {
        self.len().cmp(&other.len()).then_with(|| {
            let (own, others) = (self.sorted(), other.sorted());
            let keys = own.iter().map(|entry| &entry.0).cmp(others.iter().map(|entry| &entry.0));
            keys.then_with(|| own.iter().map(|entry| &entry.1).cmp(others.iter().map(|entry| &entry.1)))
        })
    }
}

impl PartialOrd for Map {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Map {}
