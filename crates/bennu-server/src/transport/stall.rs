//! Peers that keep us waiting.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Fewer bytes in one period count as standing still: a peer that takes a byte a second is no better
/// than one that takes none.
const PROGRESS: usize = 4 * 1024;

/// Watches a peer for whom bytes wait, or from whom bytes are awaited. For those who write a transport.
///
/// There is no timer while nobody waits.
#[derive(Debug, Default)]
pub struct Stall {
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes since the timer was set.
    moved: usize,
}

impl Stall {
    /// Notes that so many bytes moved.
    pub fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes);
    }

    /// Notes that nothing is waited for any more.
    pub fn clear(&mut self) {
        self.timer = None;
    }

    /// To be polled while something is waited for: ready when less than 4 KiB moved in a `period`.
    pub fn poll_stalled(&mut self, period: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| {
            self.moved = 0;
            Box::pin(tokio::time::sleep(period))
        });
        loop {
            ready!(timer.as_mut().poll(cx));
            if self.moved < PROGRESS {
                return Poll::Ready(());
            }
            self.moved = 0;
            timer.as_mut().reset(Instant::now() + period);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many seconds a peer that moves so many bytes each second has stalled, if it has in a minute.
    async fn stalled_after(bytes_per_second: usize) -> Option<u64> {
        let began = Instant::now();
        let mut stall = Stall::default();
        while began.elapsed() < Duration::from_secs(60) {
            let waiting = std::future::poll_fn(|cx| stall.poll_stalled(Duration::from_secs(10), cx));
            if tokio::time::timeout(Duration::from_secs(1), waiting).await.is_ok() {
                return Some(began.elapsed().as_secs());
            }
            stall.moved(bytes_per_second);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn too_little_progress_is_none() {
        assert_eq!(stalled_after(0).await, Some(10));
        assert_eq!(stalled_after(1).await, Some(10));
        assert_eq!(stalled_after(PROGRESS / 10 + 60).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_waited_for_does_not_stall() {
        let mut stall = Stall::default();
        let period = Duration::from_secs(10);
        assert!(std::future::poll_fn(|cx| Poll::Ready(stall.poll_stalled(period, cx).is_pending())).await);
        stall.clear();
        tokio::time::sleep(period).await;
        assert!(std::future::poll_fn(|cx| Poll::Ready(stall.poll_stalled(period, cx).is_pending())).await);
    }
}
