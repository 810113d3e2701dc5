//! How often one topic is told.

use std::time::Duration;

use tokio::time::Instant;

/// So many diffs of a topic go out at once before the next one has to wait for its window.
pub(crate) const BURST: u32 = 16;

/// A few diffs at once, and then one for each window. A quiet topic gets its few back, one for each window.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pace {
    /// When all of them are back.
    full: Option<Instant>,
}

impl Pace {
    /// When the next diff may go out; `None` is now.
    pub(crate) fn wait(&self, now: Instant, window: Duration) -> Option<Instant> {
        let next = self.full?.checked_sub(window * (BURST - 1))?;
        (next > now).then_some(next)
    }

    /// A diff goes out.
    pub(crate) fn tell(&mut self, now: Instant, window: Duration) {
        self.full = Some(self.full.map_or(now, |full| full.max(now)) + window);
    }

    /// Whether this pace is that of a topic which was never told.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full.is_none_or(|full| full <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);

    #[test]
    fn a_few_diffs_go_at_once_and_then_one_for_each_window() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut now = start;
        let mut at = Vec::new();
        for _ in 0..BURST + 3 {
            now = pace.wait(now, WINDOW).unwrap_or(now);
            pace.tell(now, WINDOW);
            at.push((now - start).as_millis());
        }
        let (burst, rest) = at.split_at(BURST as usize);
        assert_eq!((burst.iter().max(), rest), (Some(&0), &[100, 200, 300][..]));
    }

    #[test]
    fn a_quiet_topic_gets_its_burst_back() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..BURST {
            pace.tell(start, WINDOW);
        }
        assert!(!pace.is_full(start + WINDOW * (BURST - 1)) && pace.is_full(start + WINDOW * BURST));
        let later = start + WINDOW * 2;
        for _ in 0..2 {
            assert_eq!(pace.wait(later, WINDOW), None);
            pace.tell(later, WINDOW);
        }
        assert_eq!(pace.wait(later, WINDOW), Some(later + WINDOW));
    }

    #[test]
    fn without_a_window_nothing_waits() {
        let now = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert_eq!(pace.wait(now, Duration::ZERO), None);
            pace.tell(now, Duration::ZERO);
        }
    }
}
