//! Reading terms from bytes.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::{BigInteger, MAX_DEPTH, MAX_INFLATED, Map, Term, TermError};

/// The first byte of every external term.
pub(super) const VERSION: u8 = 131;

/// What stands before the term, or before the whole when it is compressed.
pub(super) mod tag {
    pub(in crate::term) const NEW_FLOAT: u8 = 70;
    pub(in crate::term) const BIT_BINARY: u8 = 77;
    pub(in crate::term) const COMPRESSED: u8 = 80;
    pub(in crate::term) const SMALL_INTEGER: u8 = 97;
    pub(in crate::term) const INTEGER: u8 = 98;
    pub(in crate::term) const ATOM_LATIN1: u8 = 100;
    pub(in crate::term) const SMALL_TUPLE: u8 = 104;
    pub(in crate::term) const LARGE_TUPLE: u8 = 105;
    pub(in crate::term) const NIL: u8 = 106;
    pub(in crate::term) const STRING: u8 = 107;
    pub(in crate::term) const LIST: u8 = 108;
    pub(in crate::term) const BINARY: u8 = 109;
    pub(in crate::term) const SMALL_BIG: u8 = 110;
    pub(in crate::term) const LARGE_BIG: u8 = 111;
    pub(in crate::term) const SMALL_ATOM_LATIN1: u8 = 115;
    pub(in crate::term) const MAP: u8 = 116;
    pub(in crate::term) const ATOM_UTF8: u8 = 118;
    pub(in crate::term) const SMALL_ATOM_UTF8: u8 = 119;
}

impl Term {
    /// Reads one term, which must be all of the bytes.
    ///
    /// It takes the forms of every Erlang since 17, compressed or not, and is safe on bytes
    /// from anywhere: memory grows with the bytes that are there, not with what they announce.
    ///
    /// # Errors
    ///
    /// [`TermError`] when they are something else, nest deeper than [`MAX_DEPTH`] or inflate
    /// to more than [`MAX_INFLATED`].
    #[doc(alias = "binary_to_term")]
    #[doc(alias = "non_executable_binary_to_term")]
    pub fn decode(bytes: &[u8]) -> Result<Self, TermError> {
        match bytes {
            [VERSION, tag::COMPRESSED, rest @ ..] => whole(&inflate(rest)?),
            [VERSION, rest @ ..] => whole(rest),
            _ => Err(TermError::Version),
        }
    }
}

fn whole(bytes: &[u8]) -> Result<Term, TermError> {
    let mut decoder = Decoder { bytes };
    let term = decoder.term(0)?;
    if decoder.bytes.is_empty() { Ok(term) } else { Err(TermError::Trailing(decoder.bytes.len())) }
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, TermError> {
    let (size, stream) = bytes
        .split_first_chunk::<4>()
        .ok_or(TermError::Truncated { needed: 4, left: bytes.len() })
        .map(|(size, stream)| (u32::from_be_bytes(*size) as usize, stream))?;
    if size > MAX_INFLATED {
        return Err(TermError::TooLarge(size));
    }
    let mut inflated = Vec::new();
    let mut limited = ZlibDecoder::new(stream).take(size as u64 + 1);
    limited.read_to_end(&mut inflated).map_err(|_| TermError::Inflate)?;
    if inflated.len() == size { Ok(inflated) } else { Err(TermError::Inflate) }
}

struct Decoder<'a> {
    bytes: &'a [u8],
}

impl<'a> Decoder<'a> {
    fn term(&mut self, depth: usize) -> Result<Term, TermError> {
        if depth > MAX_DEPTH {
            return Err(TermError::Depth);
        }
        match self.u8()? {
            tag::SMALL_INTEGER => Ok(Term::Integer(self.u8()?.into())),
            tag::INTEGER => Ok(Term::Integer(i32::from_be_bytes(self.array()?).into())),
            tag::SMALL_BIG => self.u8().and_then(|len| self.big(len.into())),
            tag::LARGE_BIG => self.u32().and_then(|len| self.big(len)),
            tag::NEW_FLOAT => self.float(),
            tag::ATOM_LATIN1 => self.u16().and_then(|len| self.latin1_atom(len)),
            tag::SMALL_ATOM_LATIN1 => self.u8().and_then(|len| self.latin1_atom(len.into())),
            tag::ATOM_UTF8 => self.u16().and_then(|len| self.utf8_atom(len)),
            tag::SMALL_ATOM_UTF8 => self.u8().and_then(|len| self.utf8_atom(len.into())),
            tag::BINARY => self.u32().and_then(|len| Ok(Term::Binary(self.take(len)?.to_vec()))),
            tag::BIT_BINARY => self.bitstring(),
            tag::SMALL_TUPLE => self.u8().and_then(|len| Ok(Term::Tuple(self.terms(len.into(), depth)?))),
            tag::LARGE_TUPLE => self.u32().and_then(|len| Ok(Term::Tuple(self.terms(len, depth)?))),
            tag::NIL => Ok(Term::List(Vec::new())),
            tag::STRING => self.u16().and_then(|len| Ok(Term::list(self.take(len)?.iter().copied()))),
            tag::LIST => self.u32().and_then(|len| self.list(len, depth)),
            tag::MAP => self.u32().and_then(|len| self.map(len, depth)),
            other => Err(TermError::Tag(other)),
        }
    }

    /// Elements are at least a byte each, so a false count ends with the bytes.
    fn terms(&mut self, len: usize, depth: usize) -> Result<Vec<Term>, TermError> {
        (0..len).map(|_| self.term(depth + 1)).collect()
    }

    fn list(&mut self, len: usize, depth: usize) -> Result<Term, TermError> {
        let mut elements = self.terms(len, depth)?;
        match self.term(depth + 1)? {
            Term::List(tail) => {
                elements.extend(tail);
                Ok(Term::List(elements))
            }
            Term::ImproperList(middle, tail) => {
                elements.extend(middle);
                Ok(Term::ImproperList(elements, tail))
            }
            tail if elements.is_empty() => Ok(tail),
            tail => Ok(Term::ImproperList(elements, Box::new(tail))),
        }
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Term, TermError> {
        let mut entries = Vec::new();
        for _ in 0..len {
            entries.push((self.term(depth + 1)?, self.term(depth + 1)?));
        }
        Map::from_read(entries).map(Term::Map).ok_or(TermError::DuplicateKey)
    }

    fn big(&mut self, len: usize) -> Result<Term, TermError> {
        let negative = self.u8()? != 0;
        let digits = self.take(len)?;
        Ok(BigInteger::new(negative, digits).map_or_else(Term::Integer, Term::BigInteger))
    }

    fn float(&mut self) -> Result<Term, TermError> {
        let value = f64::from_be_bytes(self.array()?);
        if value.is_finite() { Ok(Term::Float(value)) } else { Err(TermError::NotFinite) }
    }

    fn latin1_atom(&mut self, len: usize) -> Result<Term, TermError> {
        atom(self.take(len)?.iter().map(|byte| char::from(*byte)).collect())
    }

    fn utf8_atom(&mut self, len: usize) -> Result<Term, TermError> {
        let name = std::str::from_utf8(self.take(len)?).map_err(|_| TermError::Atom)?;
        atom(name.to_owned())
    }

    fn bitstring(&mut self) -> Result<Term, TermError> {
        let len = self.u32()?;
        let last_bits = self.u8()?;
        let mut bytes = self.take(len)?.to_vec();
        match (bytes.last_mut(), last_bits) {
            (Some(_), 8) => Ok(Term::Binary(bytes)),
            (Some(last), 1..=7) => {
                *last &= !(0xff >> last_bits);
                Ok(Term::Bitstring { bytes, last_bits })
            }
            _ => Err(TermError::Bits(last_bits)),
        }
    }

    fn u8(&mut self) -> Result<u8, TermError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<usize, TermError> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn u32(&mut self) -> Result<usize, TermError> {
        Ok(u32::from_be_bytes(self.array()?) as usize)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TermError> {
        let truncated = TermError::Truncated { needed: N, left: self.bytes.len() };
        let (array, rest) = self.bytes.split_first_chunk().ok_or(truncated)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], TermError> {
        let truncated = TermError::Truncated { needed: len, left: self.bytes.len() };
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(truncated)?;
        self.bytes = rest;
        Ok(taken)
    }
}

/// Erlang's atoms have 255 characters at most.
fn atom(name: String) -> Result<Term, TermError> {
    if is_atom(&name) { Ok(Term::Atom(name)) } else { Err(TermError::Atom) }
}

pub(super) fn is_atom(name: &str) -> bool {
    name.chars().nth(255).is_none()
}
