//! A task's end of a topic.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;

use crate::delivery::Delivery;
use crate::registry::{Registry, Subscriber, SubscriberId};

/// How many deliveries wait for a task that does not take them.
const CAPACITY: usize = 4_096;

/// What is broadcast to one topic, for one task. Dropping it unsubscribes.
///
/// Up to 4,096 deliveries wait. When more come, the oldest are dropped and
/// the next [`recv`](Self::recv) says how many.
pub struct Subscription {
    registry: Arc<Registry>,
    topic: Arc<str>,
    id: SubscriberId,
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    deliveries: VecDeque<Delivery>,
    missed: u64,
}

/// The task was too slow, and the oldest deliveries were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{missed} deliveries were dropped because they were not received in time")]
pub struct Lagged {
    /// How many were dropped.
    pub missed: u64,
}

impl Subscription {
    pub(crate) fn new(registry: Arc<Registry>, topic: &str) -> Self {
        let queue = Arc::new(Queue::default());
        let id = SubscriberId::unique();
        let topic = registry.insert(topic.into(), id, queue.clone());
        Subscription { registry, topic, id, queue }
    }

    /// Waits for the next delivery. Safe to drop while waiting: nothing is lost.
    ///
    /// # Errors
    ///
    /// [`Lagged`] once after deliveries were dropped; the ones that are left follow.
    pub async fn recv(&mut self) -> Result<Delivery, Lagged> {
        loop {
            if let Some(result) = self.try_recv() {
                return result;
            }
            self.queue.arrived.notified().await;
        }
    }

    /// The next delivery, if one is there.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Option<Result<Delivery, Lagged>> {
        let mut waiting = self.queue.waiting.lock();
        match std::mem::take(&mut waiting.missed) {
            0 => waiting.deliveries.pop_front().map(Ok),
            missed => Some(Err(Lagged { missed })),
        }
    }

    /// Names this subscription, for `broadcast_from`.
    #[must_use]
    pub fn id(&self) -> SubscriberId {
        self.id
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.registry.remove(&self.topic, self.id);
    }
}

impl Subscriber for Queue {
    fn deliver(&self, _: SubscriberId, delivery: &Delivery, _: Option<SubscriberId>) {
        let mut waiting = self.waiting.lock();
        if waiting.deliveries.len() >= CAPACITY {
            waiting.deliveries.pop_front();
            waiting.missed += 1;
        }
        waiting.deliveries.push_back(delivery.clone());
        drop(waiting);
        self.arrived.notify_one();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({:?})", self.topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PubSub;

    fn numbers(subscription: &mut Subscription) -> Vec<u32> {
        let mut all = Vec::new();
        while let Some(Ok(delivery)) = subscription.try_recv() {
            all.extend(delivery.get::<u32>());
        }
        all
    }

    #[test]
    fn everyone_on_the_topic_hears_it_in_order_and_nobody_else() {
        let pubsub = PubSub::local();
        let (mut a, mut b) = (pubsub.subscribe("room:1"), pubsub.subscribe("room:1"));
        let (mut other, mut elsewhere) = (pubsub.subscribe("room:2"), PubSub::local().subscribe("room:1"));
        for number in 0..100u32 {
            pubsub.broadcast("room:1", number);
        }
        let expected: Vec<u32> = (0..100).collect();
        assert_eq!((numbers(&mut a), numbers(&mut b)), (expected.clone(), expected));
        assert_eq!((numbers(&mut other), numbers(&mut elsewhere)), (vec![], vec![]));
    }

    #[test]
    fn broadcast_from_skips_one_subscription_alone() {
        let pubsub = PubSub::local();
        let (mut a, mut b) = (pubsub.subscribe("t"), pubsub.subscribe("t"));
        pubsub.broadcast_from(a.id(), "t", 1u32);
        assert_eq!((numbers(&mut a), numbers(&mut b)), (vec![], vec![1]));
    }

    #[test]
    fn who_is_replaced_hears_nothing_more_and_the_other_all_that_follows() {
        let pubsub = PubSub::local();
        let (first, second, stranger) = (Arc::<Queue>::default(), Arc::default(), Arc::default());
        let id = SubscriberId::unique();
        let taken = |queue: &Arc<Queue>| {
            let waiting = std::mem::take(&mut *queue.waiting.lock());
            waiting.deliveries.iter().filter_map(|delivery| delivery.get().copied()).collect::<Vec<u32>>()
        };
        pubsub.add_subscriber("t", id, first.clone());
        pubsub.broadcast("t", 1u32);
        pubsub.replace_subscriber("t", SubscriberId::unique(), Arc::<Queue>::clone(&stranger));
        pubsub.replace_subscriber("t", id, Arc::<Queue>::clone(&second));
        pubsub.broadcast("t", 2u32);
        pubsub.broadcast_from(id, "t", 3u32);
        assert_eq!([taken(&first), taken(&second), taken(&stranger)], [vec![1], vec![2], vec![]]);
        pubsub.remove_subscriber("t", id);
        assert_eq!(pubsub.subscriber_count("t"), 0);
    }

    #[test]
    fn dropping_a_subscription_leaves_nothing_behind() {
        let pubsub = PubSub::local();
        let subscription = pubsub.subscribe("t");
        assert_eq!(pubsub.subscriber_count("t"), 1);
        drop(subscription);
        assert_eq!(pubsub.subscriber_count("t"), 0);
    }

    #[test]
    fn subscriptions_end_in_any_order_and_each_alone() {
        let pubsub = PubSub::local();
        for ended in 0..3 {
            let mut all: Vec<_> = (0..3).map(|_| pubsub.subscribe("t")).collect();
            let first = all.remove(ended);
            drop(first);
            pubsub.broadcast("t", 1u32);
            assert!(all.iter_mut().all(|subscription| numbers(subscription) == [1]), "{ended}");
            drop(all.pop());
            pubsub.broadcast("t", 2u32);
            assert_eq!(numbers(&mut all[0]), [2], "{ended}");
        }
        let mut alone = pubsub.subscribe("t");
        pubsub.remove_subscriber("t", SubscriberId::unique());
        pubsub.broadcast("t", 3u32);
        assert_eq!((numbers(&mut alone), pubsub.subscriber_count("t")), (vec![3], 1));
    }

    #[test]
    fn a_slow_task_is_told_how_much_it_missed_and_keeps_the_newest() {
        let pubsub = PubSub::local();
        let mut slow = pubsub.subscribe("t");
        let sent = CAPACITY as u32 + 10;
        for number in 0..sent {
            pubsub.broadcast("t", number);
        }
        assert_eq!(slow.try_recv().unwrap().unwrap_err(), Lagged { missed: 10 });
        assert_eq!(numbers(&mut slow), (10..sent).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_waiting_task_is_woken_for_every_message() {
        let pubsub = PubSub::local();
        let mut subscription = pubsub.subscribe("t");
        let receiver = tokio::spawn(async move {
            let mut all = Vec::new();
            while all.len() < 1_000 {
                all.extend(subscription.recv().await.unwrap().get::<u32>().copied());
            }
            all
        });
        for number in 0..1_000u32 {
            pubsub.broadcast("t", number);
            tokio::task::yield_now().await;
        }
        assert_eq!(receiver.await.unwrap(), (0..1_000).collect::<Vec<_>>());
    }
}
