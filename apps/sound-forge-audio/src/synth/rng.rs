//! The synthesiser's own source of chance, the same on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, full period.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// A stream for one purpose, named by `tag`.
    ///
    /// Each instrument has its own stream, so that a change to one leaves the
    /// others as they were.
    pub(crate) fn new(seed: u64, tag: &str) -> Self {
        // FNV-1a mixes the name in.
        let mixed = tag.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut rng = Self(mixed);
        rng.word();
        rng
    }

    /// The next 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in -1..1.
    pub(crate) fn bipolar(&mut self) -> f64 {
        self.unit() * 2.0 - 1.0
    }

    /// An index below `count`, which is not 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.word() % count as u64) as usize
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_tag() {
        let words = |seed, tag| {
            let mut rng = Rng::new(seed, tag);
            [rng.word(), rng.word()]
        };
        assert_eq!(words(7, "kick"), words(7, "kick"));
        assert_ne!(words(7, "kick"), words(7, "bass"));
        assert_ne!(words(7, "kick"), words(8, "kick"));
    }

    #[test]
    fn units_fill_their_range() {
        let mut rng = Rng::new(1, "range");
        let values: Vec<f64> = (0..10_000).map(|_| rng.unit()).collect();
        let mean = values.iter().sum::<f64>() / 10_000.0;
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
