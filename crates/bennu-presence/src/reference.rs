//! `phx_ref`: the name of one meta.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Makes refs that no other tracker makes.
#[derive(Debug)]
pub(crate) struct References {
    /// Tells this tracker from others that make refs in the same nanosecond.
    tracker: u16,
    next: AtomicU16,
}

impl References {
    pub(crate) fn new() -> Self {
        // A fresh RandomState hashes everything differently; 16 bits of that will do.
        let tracker = RandomState::new().hash_one("tracker") as u16;
        References { tracker, next: AtomicU16::new(0) }
    }

    /// 64 bits of wall-clock nanoseconds, 16 of the tracker, 16 of a counter, as
    /// 16 characters of base64url, like Phoenix's.
    pub(crate) fn next(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Nanoseconds fit into 64 bits until the year 2554.
        let nanoseconds = now.as_nanos() as u64;
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&nanoseconds.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.tracker.to_be_bytes());
        bytes[10..].copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn refs_are_unique_and_16_characters_long() {
        let references = References::new();
        let all: HashSet<String> = (0..10_000).map(|_| references.next()).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|reference| reference.len() == 16));
    }
}
