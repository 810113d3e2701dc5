//! Rust's plain values as terms.

use super::{BigInteger, Map, Term};

macro_rules! from_small_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Term {
            fn from(value: $integer) -> Self {
                Term::Integer(value.into())
            }
        }
    )*};
}

from_small_integers!(i8, i16, i32, i64, u8, u16, u32);

impl From<i128> for Term {
    fn from(value: i128) -> Self {
        big(value < 0, value.unsigned_abs())
    }
}

impl From<u128> for Term {
    fn from(value: u128) -> Self {
        big(false, value)
    }
}

impl From<u64> for Term {
    fn from(value: u64) -> Self {
        u128::from(value).into()
    }
}

fn big(negative: bool, magnitude: u128) -> Term {
    match BigInteger::new(negative, &magnitude.to_le_bytes()) {
        Ok(big) => Term::BigInteger(big),
        Err(small) => Term::Integer(small),
    }
}

impl From<f64> for Term {
    fn from(value: f64) -> Self {
        Term::Float(value)
    }
}

impl From<bool> for Term {
    fn from(value: bool) -> Self {
        Term::atom(if value { "true" } else { "false" })
    }
}

impl From<&str> for Term {
    fn from(text: &str) -> Self {
        Term::Binary(text.as_bytes().to_vec())
    }
}

impl From<String> for Term {
    fn from(text: String) -> Self {
        Term::Binary(text.into_bytes())
    }
}

impl From<&[u8]> for Term {
    fn from(bytes: &[u8]) -> Self {
        Term::Binary(bytes.to_vec())
    }
}

impl From<Vec<Term>> for Term {
    fn from(elements: Vec<Term>) -> Self {
        Term::List(elements)
    }
}

impl From<Map> for Term {
    fn from(map: Map) -> Self {
        Term::Map(map)
    }
}

impl<T: Into<Term>> From<Option<T>> for Term {
    fn from(value: Option<T>) -> Self {
        value.map_or_else(Term::nil, Into::into)
    }
}
