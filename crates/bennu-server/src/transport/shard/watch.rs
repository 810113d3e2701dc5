//! Notices shards that do not get on, which cannot say so themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Crew, Shard};

/// A thread that has something to do and does not turn for so long is worth a warning.
const PERIOD: Duration = Duration::from_secs(1);

/// What a shard was like the last time.
struct Seen {
    shard: Arc<Shard>,
    /// Its turns, if it was awake.
    turns: Option<u64>,
    lost: u64,
    /// Whether it was warned of that it does not turn.
    is_stuck: bool,
}

/// What was not so the last time.
struct News {
    is_stuck: bool,
    lost: u64,
}

/// Looks after the shards for as long as it is polled.
pub(super) async fn watch(crew: &Crew) {
    let mut seen: Vec<Seen> = Vec::new();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let all = crew.members.lock().all.clone();
        seen.resize_with(all.len(), || Seen::new(all[0].clone()));
        for (number, (shard, seen)) in all.into_iter().zip(&mut seen).enumerate() {
            let connection = shard.running.load(Ordering::Relaxed);
            let news = seen.look(shard);
            if news.is_stuck {
                tracing::warn!(
                    shard = number,
                    connection,
                    "a handler blocks its thread for a second and more, and all connections of its shard wait: \
                     await, or use spawn_blocking"
                );
            }
            if news.lost > 0 {
                tracing::error!(
                    shard = number,
                    lost = news.lost,
                    "broadcasts found no room in a shard that does not get on, and the channels concerned end"
                );
            }
        }
    }
}

impl Seen {
    fn new(shard: Arc<Shard>) -> Self {
        Seen { shard, turns: None, lost: 0, is_stuck: false }
    }

    /// Compares with the last time.
    fn look(&mut self, shard: Arc<Shard>) -> News {
        if !Arc::ptr_eq(&self.shard, &shard) {
            *self = Seen::new(shard);
        }
        let Shard { queue, turns, .. } = &*self.shard;
        let turns = queue.is_awake().then(|| turns.load(Ordering::Relaxed));
        let is_stuck = turns.is_some() && turns == self.turns && !queue.stops();
        let lost = queue.lost();
        let news = News { is_stuck: is_stuck && !self.is_stuck, lost: lost - self.lost };
        (self.turns, self.lost, self.is_stuck) = (turns, lost, is_stuck);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::shard::queue::Queue;
    use crate::transport::shard::{ShardBounds, run};

    #[test]
    fn a_shard_that_does_not_turn_is_told_of_once_and_not_while_it_sleeps() {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), run::WAKER).unwrap();
        let bounds = ShardBounds { bytes: 0, broadcasts: 0 };
        let shard = Arc::new(Shard::new(Queue::new(waker, bounds, metrics::Counter::noop())));
        let mut seen = Seen::new(shard.clone());
        let mut is_stuck = || seen.look(shard.clone()).is_stuck;
        assert!(shard.queue.may_sleep());
        assert_eq!([is_stuck(), is_stuck()], [false, false], "it sleeps");
        shard.queue.woke();
        assert_eq!([is_stuck(), is_stuck(), is_stuck()], [false, true, false], "it is told once");
        shard.turns.store(1, Ordering::Relaxed);
        assert_eq!([is_stuck(), is_stuck(), is_stuck()], [false, true, false], "and once again");
        shard.turns.store(2, Ordering::Relaxed);
        assert!(!is_stuck());
        shard.turns.store(3, Ordering::Relaxed);
        assert!(!is_stuck(), "it gets on");
    }
}
