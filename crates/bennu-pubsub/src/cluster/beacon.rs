//! What each node tells all others from time to time.
//!
//! The body of its frame: flags (1: bit 0 complete, bit 1 leaving), the length of the name (2), the name, how many buckets it asks
//! about (2), these (2 each), and for each bucket that it tells of its number (2) and how many frames it was sent (8).

use super::node::NodeName;

/// How far a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beacon {
    pub(crate) name: NodeName,
    /// Buckets that the node listens to from now on: how far the others are there is where it begins to count.
    pub(crate) asks: Vec<u16>,
    /// The number of the last frame of each bucket.
    pub(crate) reached: Vec<(u16, u64)>,
    /// Buckets that are not listed were sent nothing so far.
    pub(crate) complete: bool,
    /// The node ends.
    pub(crate) leaving: bool,
}

impl Beacon {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.complete) | u8::from(self.leaving) << 1);
        // A name has 128 bytes at most.
        out.extend_from_slice(&(self.name.as_str().len() as u16).to_be_bytes());
        out.extend_from_slice(self.name.as_str().as_bytes());
        // There are no more than 16,384 buckets.
        out.extend_from_slice(&(self.asks.len() as u16).to_be_bytes());
        self.asks.iter().for_each(|bucket| out.extend_from_slice(&bucket.to_be_bytes()));
        for (bucket, number) in &self.reached {
            out.extend_from_slice(&bucket.to_be_bytes());
            out.extend_from_slice(&number.to_be_bytes());
        }
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let (flags, rest) = body.split_first()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (asks, rest) = rest.split_first_chunk::<2>()?;
        let (asks, rest) = rest.split_at_checked(2 * usize::from(u16::from_be_bytes(*asks)))?;
        let asks = asks.chunks_exact(2).map(|bucket| u16::from_be_bytes([bucket[0], bucket[1]]));
        let entries = rest.chunks_exact(10);
        if !entries.remainder().is_empty() {
            return None;
        }
        let reached = entries.map(|entry| {
            let bucket = u16::from_be_bytes([entry[0], entry[1]]);
            let number = entry[2..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            (bucket, number)
        });
        Some(Beacon {
            name: NodeName::new(std::str::from_utf8(name).ok()?)?,
            asks: asks.collect(),
            reached: reached.collect(),
            complete: flags & 1 != 0,
            leaving: flags & 2 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beacon_is_read_as_it_was_written_and_never_in_part() {
        let name = NodeName::new("web-1").unwrap();
        let reached = vec![(0, 1), (1_023, u64::MAX)];
        let beacon = Beacon { name, asks: vec![3, 700], reached, complete: true, leaving: false };
        let mut body = Vec::new();
        beacon.encode(&mut body);
        assert_eq!(Beacon::decode(&body), Some(beacon));
        let whole = [14, 24, 34];
        for length in (0..body.len()).filter(|length| !whole.contains(length)) {
            assert_eq!(Beacon::decode(&body[..length]), None, "{length}");
        }
    }
}
