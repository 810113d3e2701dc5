//! Writing terms as Erlang/OTP 27 does.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::decode::{VERSION, is_atom, tag};
use super::{BigInteger, MAX_DEPTH, Term, TermError};

impl Term {
    /// The bytes that `term_to_binary` of Erlang/OTP 27 gives.
    ///
    /// Maps are written in the order that they have: what was read comes out as it came in.
    ///
    /// # Errors
    ///
    /// [`TermError`] for a float that is not finite, an atom of more than 255 characters, a bitstring
    /// that is none, what nests deeper than [`MAX_DEPTH`], and what has 2³² elements or bytes.
    #[doc(alias = "term_to_binary")]
    pub fn encode(&self) -> Result<Vec<u8>, TermError> {
        let mut bytes = vec![VERSION];
        put(&mut bytes, self, 0)?;
        Ok(bytes)
    }

    /// As [`encode`](Self::encode), compressed where that makes it shorter.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_compressed(&self) -> Result<Vec<u8>, TermError> {
        let plain = self.encode()?;
        let term = &plain[1..];
        let mut bytes = vec![VERSION, tag::COMPRESSED];
        put_len(&mut bytes, term.len())?;
        let mut encoder = ZlibEncoder::new(bytes, Compression::default());
        let written = encoder.write_all(term).and_then(|()| encoder.finish());
        let compressed = written.map_err(|_| TermError::Inflate)?;
        // What cannot be read again must not be written.
        let worthwhile = compressed.len() < plain.len() && term.len() <= super::MAX_INFLATED;
        Ok(if worthwhile { compressed } else { plain })
    }
}

fn put(bytes: &mut Vec<u8>, term: &Term, depth: usize) -> Result<(), TermError> {
    if depth > MAX_DEPTH {
        return Err(TermError::Depth);
    }
    match term {
        Term::Integer(value) => put_integer(bytes, *value),
        Term::BigInteger(big) => return put_big(bytes, big),
        Term::Float(value) if value.is_finite() => {
            bytes.push(tag::NEW_FLOAT);
            bytes.extend(value.to_be_bytes());
        }
        Term::Float(_) => return Err(TermError::NotFinite),
        Term::Atom(name) => return put_atom(bytes, name),
        Term::Binary(content) => {
            bytes.push(tag::BINARY);
            put_len(bytes, content.len())?;
            bytes.extend(content);
        }
        Term::Bitstring { bytes: content, last_bits } => return put_bitstring(bytes, content, *last_bits),
        Term::Tuple(elements) => {
            match u8::try_from(elements.len()) {
                Ok(arity) => bytes.extend([tag::SMALL_TUPLE, arity]),
                Err(_) => {
                    bytes.push(tag::LARGE_TUPLE);
                    put_len(bytes, elements.len())?;
                }
            }
            return put_all(bytes, elements, depth);
        }
        Term::List(elements) => return put_list(bytes, elements, depth),
        Term::ImproperList(elements, tail) if elements.is_empty() => return put(bytes, tail, depth),
        Term::ImproperList(elements, tail) => {
            bytes.push(tag::LIST);
            put_len(bytes, elements.len())?;
            put_all(bytes, elements, depth)?;
            return put(bytes, tail, depth + 1);
        }
        Term::Map(map) => {
            bytes.push(tag::MAP);
            put_len(bytes, map.len())?;
            for (key, value) in map.iter() {
                put(bytes, key, depth + 1)?;
                put(bytes, value, depth + 1)?;
            }
        }
    }
    Ok(())
}

fn put_all(bytes: &mut Vec<u8>, terms: &[Term], depth: usize) -> Result<(), TermError> {
    terms.iter().try_for_each(|term| put(bytes, term, depth + 1))
}

fn put_len(bytes: &mut Vec<u8>, len: usize) -> Result<(), TermError> {
    let len = u32::try_from(len).map_err(|_| TermError::TooLarge(len))?;
    bytes.extend(len.to_be_bytes());
    Ok(())
}

fn put_integer(bytes: &mut Vec<u8>, value: i64) {
    if let Ok(byte) = u8::try_from(value) {
        bytes.extend([tag::SMALL_INTEGER, byte]);
    } else if let Ok(small) = i32::try_from(value) {
        bytes.push(tag::INTEGER);
        bytes.extend(small.to_be_bytes());
    } else {
        let digits = value.unsigned_abs().to_le_bytes();
        let len = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
        bytes.extend([tag::SMALL_BIG, len as u8, u8::from(value < 0)]);
        bytes.extend(&digits[..len]);
    }
}

fn put_big(bytes: &mut Vec<u8>, big: &BigInteger) -> Result<(), TermError> {
    let digits = big.magnitude();
    match u8::try_from(digits.len()) {
        Ok(len) => bytes.extend([tag::SMALL_BIG, len]),
        Err(_) => {
            bytes.push(tag::LARGE_BIG);
            put_len(bytes, digits.len())?;
        }
    }
    bytes.push(u8::from(big.is_negative()));
    bytes.extend(digits);
    Ok(())
}

fn put_atom(bytes: &mut Vec<u8>, name: &str) -> Result<(), TermError> {
    if !is_atom(name) {
        return Err(TermError::Atom);
    }
    match u8::try_from(name.len()) {
        Ok(len) => bytes.extend([tag::SMALL_ATOM_UTF8, len]),
        // 255 characters have 1,020 bytes at most.
        Err(_) => {
            bytes.push(tag::ATOM_UTF8);
            bytes.extend((name.len() as u16).to_be_bytes());
        }
    }
    bytes.extend(name.as_bytes());
    Ok(())
}

fn put_bitstring(bytes: &mut Vec<u8>, content: &[u8], last_bits: u8) -> Result<(), TermError> {
    let Some((last, rest)) = content.split_last().filter(|_| (1..=7).contains(&last_bits)) else {
        return Err(TermError::Bits(last_bits));
    };
    bytes.push(tag::BIT_BINARY);
    put_len(bytes, content.len())?;
    bytes.push(last_bits);
    bytes.extend(rest);
    bytes.push(last & !(0xff >> last_bits));
    Ok(())
}

/// Lists of up to 65,535 bytes have a form of their own.
fn put_list(bytes: &mut Vec<u8>, elements: &[Term], depth: usize) -> Result<(), TermError> {
    if elements.is_empty() {
        bytes.push(tag::NIL);
        return Ok(());
    }
    let as_byte = |term: &Term| term.as_integer().and_then(|value| u8::try_from(value).ok());
    let text: Option<Vec<u8>> = elements.iter().map(as_byte).collect();
    if let (Some(text), Ok(len)) = (text, u16::try_from(elements.len())) {
        bytes.push(tag::STRING);
        bytes.extend(len.to_be_bytes());
        bytes.extend(text);
        return Ok(());
    }
    bytes.push(tag::LIST);
    put_len(bytes, elements.len())?;
    put_all(bytes, elements, depth)?;
    bytes.push(tag::NIL);
    Ok(())
}
