//! Integers beyond 64 bits.

use std::cmp::Ordering;

/// An integer that does not fit into an `i64`, of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BigInteger {
    negative: bool,
    /// The magnitude, the lowest byte first, without zeros at the end.
    digits: Vec<u8>,
}

impl BigInteger {
    /// The number of this magnitude, whose lowest byte comes first; an `Err` holds it if it fits into an `i64`.
    pub(super) fn new(negative: bool, digits: &[u8]) -> Result<Self, i64> {
        let len = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
        let big = BigInteger { negative, digits: digits[..len].to_vec() };
        match big.to_i128().and_then(|value| i64::try_from(value).ok()) {
            Some(small) => Err(small),
            None => Ok(big),
        }
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The magnitude, the lowest byte first, without zeros at the end.
    #[must_use]
    pub fn magnitude(&self) -> &[u8] {
        &self.digits
    }

    /// The value, where 128 bits with a sign hold it.
    #[must_use]
    pub fn to_i128(&self) -> Option<i128> {
        let magnitude = self.to_magnitude()?;
        if self.negative { 0_i128.checked_sub_unsigned(magnitude) } else { i128::try_from(magnitude).ok() }
    }

    /// The value, where 128 bits without a sign hold it.
    #[must_use]
    pub fn to_u128(&self) -> Option<u128> {
        if self.negative { None } else { self.to_magnitude() }
    }

    fn to_magnitude(&self) -> Option<u128> {
        let mut bytes = [0; 16];
        bytes.get_mut(..self.digits.len())?.copy_from_slice(&self.digits);
        Some(u128::from_le_bytes(bytes))
    }
}

impl Ord for BigInteger {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_magnitude = || {
            let lengths = self.digits.len().cmp(&other.digits.len());
            lengths.then_with(|| self.digits.iter().rev().cmp(other.digits.iter().rev()))
        };
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => by_magnitude(),
            (true, true) => by_magnitude().reverse(),
        }
    }
}

impl PartialOrd for BigInteger {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
