//! Random bytes of the operating system, drawn for many uses at once.

use std::cell::Cell;

/// Enough for the mask keys of 256 frames.
const DRAWN: usize = 1024;

struct Pool {
    bytes: [u8; DRAWN],
    used: usize,
}

thread_local! {
    static POOL: Cell<Option<Box<Pool>>> = const { Cell::new(None) };
}

/// Bytes that nobody can foretell and that are used once: mask keys must be such (RFC 6455, 5.3 and 10.3).
pub(super) fn random<const COUNT: usize>() -> [u8; COUNT] {
    const { assert!(COUNT <= DRAWN) };
    let mut pool = POOL.take().unwrap_or_else(|| Box::new(Pool { bytes: [0; DRAWN], used: DRAWN }));
    if pool.used + COUNT > DRAWN {
        getrandom::fill(&mut pool.bytes).expect("the operating system has random numbers");
        pool.used = 0;
    }
    let mut taken = [0; COUNT];
    taken.copy_from_slice(&pool.bytes[pool.used..pool.used + COUNT]);
    pool.used += COUNT;
    POOL.set(Some(pool));
    taken
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_handed_out_twice() {
        let drawn: HashSet<[u8; 16]> = (0..1_000).map(|_| random()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
