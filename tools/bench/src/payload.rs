//! What the messages carry: a stamp in a fixed place, and known bytes behind it.

use thiserror::Error;

const FILL: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const HEAD: &[u8] = br#"{"t":""#;
const TAIL: &[u8] = br#""}"#;
const SENDER_DIGITS: usize = 6;
const SEQUENCE_DIGITS: usize = 10;

/// Who sent a message, and which of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Number of the sender, below a million.
    pub(crate) sender: u32,
    /// Messages that the sender sent before.
    pub(crate) sequence: u64,
}

/// Why bytes are no payload of ours.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("corrupted payload {0:?}")]
pub(crate) struct Corrupted(String);

/// Makes and checks payloads of one size.
///
/// A payload is `{"t":"SENDER.SEQUENCE.FILL"}`. What fills it depends on the
/// sequence, so that pieces of two messages never make a third.
#[derive(Debug)]
pub(crate) struct Payloads {
    size: usize,
    /// The fill of every sequence, as a window into it.
    fill: Vec<u8>,
}

impl Payloads {
    /// The smallest payload, in bytes.
    pub(crate) const MIN_SIZE: usize = HEAD.len() + SENDER_DIGITS + SEQUENCE_DIGITS + 2 + TAIL.len();

    /// Payloads of `size` bytes, the braces included.
    ///
    /// # Panics
    ///
    /// If `size` is below [`MIN_SIZE`](Self::MIN_SIZE).
    pub(crate) fn new(size: usize) -> Self {
        assert!(size >= Self::MIN_SIZE, "the stamp must fit");
        let fill = FILL.iter().copied().cycle().take(FILL.len() + size - Self::MIN_SIZE).collect();
        Self { size, fill }
    }

    /// Appends the payload of `stamp`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, stamp: Stamp) {
        out.extend_from_slice(HEAD);
        put_digits::<SENDER_DIGITS>(out, u64::from(stamp.sender));
        out.push(b'.');
        put_digits::<SEQUENCE_DIGITS>(out, stamp.sequence);
        out.push(b'.');
        out.extend_from_slice(self.fill_of(stamp.sequence));
        out.extend_from_slice(TAIL);
    }

    /// The stamp of a payload, every byte of which is as it was sent.
    pub(crate) fn read(&self, payload: &[u8]) -> Result<Stamp, Corrupted> {
        self.parse(payload).ok_or_else(|| Corrupted(String::from_utf8_lossy(payload).into_owned()))
    }

    fn parse(&self, payload: &[u8]) -> Option<Stamp> {
        if payload.len() != self.size {
            return None;
        }
        let rest = payload.strip_prefix(HEAD)?;
        let (sender, rest) = rest.split_first_chunk::<SENDER_DIGITS>()?;
        let rest = rest.strip_prefix(b".")?;
        let (sequence, rest) = rest.split_first_chunk::<SEQUENCE_DIGITS>()?;
        let rest = rest.strip_prefix(b".")?;
        let sequence = digits(sequence)?;
        let fill = rest.strip_suffix(TAIL)?;
        let sender = u32::try_from(digits(sender)?).ok()?;
        (fill == self.fill_of(sequence)).then_some(Stamp { sender, sequence })
    }

    fn fill_of(&self, sequence: u64) -> &[u8] {
        let start = (sequence % FILL.len() as u64) as usize;
        &self.fill[start..start + self.size - Self::MIN_SIZE]
    }
}

fn put_digits<const N: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&text);
}

fn digits(text: &[u8]) -> Option<u64> {
    let mut number = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(size: usize, stamp: Stamp) -> Vec<u8> {
        let mut out = Vec::new();
        Payloads::new(size).write(&mut out, stamp);
        out
    }

    #[test]
    fn payloads_have_their_size_and_are_read_back() {
        for size in [Payloads::MIN_SIZE, 64, 100, 16 * 1024] {
            for (sender, sequence) in [(0, 0), (1, 61), (999_999, 9_999_999_999)] {
                let stamp = Stamp { sender, sequence };
                let payload = payload(size, stamp);
                assert_eq!(payload.len(), size);
                assert_eq!(Payloads::new(size).read(&payload), Ok(stamp));
                assert!(serde_json::from_slice::<serde_json::Value>(&payload).is_ok());
            }
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let stamp = Stamp { sender: 7, sequence: 1234 };
        let right = payload(64, stamp);
        for at in 0..right.len() {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            // A changed sender is another valid payload: who expects which sender tells.
            let read = Payloads::new(64).read(&wrong);
            assert_ne!(read, Ok(stamp), "byte {at}");
        }
        assert!(Payloads::new(64).read(&right[..63]).is_err());
    }
}
