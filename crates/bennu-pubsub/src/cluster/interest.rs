//! Which subjects this node has to hear.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::subject::Subject;

/// A change of what is to be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// From now on.
    Subscribe(Subject),
    /// No more.
    Unsubscribe(Subject),
}

/// Counts the topics with local subscribers in each bucket.
pub(crate) struct Interest {
    buckets: Vec<Bucket>,
    linger: Duration,
    dirty: Mutex<Dirty>,
    /// Something is dirty.
    changed: Notify,
    /// A subject is established, or the link went down.
    settled: Notify,
}

#[derive(Default)]
struct Bucket {
    topics: AtomicU32,
    /// What the adapter was told.
    wanted: AtomicBool,
    /// What the adapter said of it: the engine has the subscription.
    established: AtomicBool,
}

#[derive(Default)]
struct Dirty {
    appeared: BTreeSet<u16>,
    /// Buckets without topics, and when they may go.
    emptied: BTreeMap<u16, Instant>,
}

impl Interest {
    pub(crate) fn new(buckets: u16, linger: Duration) -> Self {
        Interest {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            linger,
            dirty: Mutex::default(),
            changed: Notify::new(),
            settled: Notify::new(),
        }
    }

    pub(crate) fn subject(&self, topic: &str) -> Subject {
        // Made from a u16.
        Subject::of_topic(topic, self.buckets.len() as u16)
    }

    pub(crate) fn buckets(&self) -> u16 {
        self.buckets.len() as u16
    }

    fn bucket(&self, subject: Subject) -> Option<(u16, &Bucket)> {
        let Subject::Bucket(number) = subject else { return None };
        Some((number, self.buckets.get(usize::from(number))?))
    }

    /// A topic got its first subscriber.
    pub(crate) fn appeared(&self, topic: &str) {
        let Some((number, bucket)) = self.bucket(self.subject(topic)) else { return };
        // The count is changed under the lock, so that nobody finds a bucket settled that is being let go.
        let mut dirty = self.dirty.lock();
        if bucket.topics.fetch_add(1, Ordering::SeqCst) == 0 {
            dirty.appeared.insert(number);
            self.changed.notify_one();
        }
    }

    /// A topic lost its last subscriber.
    pub(crate) fn vanished(&self, topic: &str) {
        let Some((number, bucket)) = self.bucket(self.subject(topic)) else { return };
        if bucket.topics.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.dirty.lock().emptied.insert(number, deadline(self.linger));
            self.changed.notify_one();
            // Nobody is left for whom to wait.
            self.settled.notify_waiters();
        }
    }

    /// All that is to be subscribed to, and nothing of what was established is any more; and which of it is new.
    pub(crate) fn wanted(&self) -> (Vec<Subject>, HashSet<Subject>) {
        let mut dirty = self.dirty.lock();
        dirty.appeared.clear();
        let (mut wanted, mut fresh) = (Vec::new(), HashSet::new());
        for (number, bucket) in (0..).zip(&self.buckets) {
            let has_topics = bucket.topics.load(Ordering::SeqCst) > 0;
            let lingers = bucket.wanted.load(Ordering::SeqCst) && dirty.emptied.contains_key(&number);
            let was_wanted = bucket.wanted.swap(has_topics || lingers, Ordering::SeqCst);
            bucket.established.store(false, Ordering::SeqCst);
            if has_topics || lingers {
                wanted.push(Subject::Bucket(number));
            }
            if has_topics && !was_wanted {
                fresh.insert(Subject::Bucket(number));
            }
        }
        (wanted, fresh)
    }

    /// Waits for changes. Safe to drop while waiting.
    pub(crate) async fn changed(&self) -> Vec<Change> {
        loop {
            let next = match self.take_changes() {
                Ok(changes) => return changes,
                Err(next) => next,
            };
            let changed = self.changed.notified();
            match next {
                Some(at) => drop(tokio::time::timeout_at(at, changed).await),
                None => changed.await,
            }
        }
    }

    /// What changed, or when to look again.
    fn take_changes(&self) -> Result<Vec<Change>, Option<Instant>> {
        let mut dirty = self.dirty.lock();
        let mut changes = Vec::new();
        for number in std::mem::take(&mut dirty.appeared) {
            let Some((_, bucket)) = self.bucket(Subject::Bucket(number)) else { continue };
            if bucket.topics.load(Ordering::SeqCst) > 0 && !bucket.wanted.swap(true, Ordering::SeqCst) {
                changes.push(Change::Subscribe(Subject::Bucket(number)));
            }
        }
        let now = Instant::now();
        let due: Vec<u16> =
            dirty.emptied.iter().filter(|(_, at)| **at <= now).map(|(number, _)| *number).collect();
        for number in due {
            dirty.emptied.remove(&number);
            let Some((_, bucket)) = self.bucket(Subject::Bucket(number)) else { continue };
            if bucket.topics.load(Ordering::SeqCst) == 0 && bucket.wanted.swap(false, Ordering::SeqCst) {
                bucket.established.store(false, Ordering::SeqCst);
                changes.push(Change::Unsubscribe(Subject::Bucket(number)));
            }
        }
        match changes.is_empty() {
            false => Ok(changes),
            true => Err(dirty.emptied.values().min().copied()),
        }
    }

    /// The engine has these subscriptions. Returns the buckets for which that is new.
    pub(crate) fn established(&self, subjects: &[Subject]) -> Vec<u16> {
        let fresh = subjects.iter().filter_map(|subject| self.bucket(*subject));
        let fresh = fresh.filter(|(_, bucket)| {
            bucket.wanted.load(Ordering::SeqCst) && !bucket.established.swap(true, Ordering::SeqCst)
        });
        let fresh = fresh.map(|(number, _)| number).collect();
        self.settled.notify_waiters();
        fresh
    }

    pub(crate) fn link_went_down(&self) {
        self.settled.notify_waiters();
    }

    /// Whether the adapter should be subscribed to a bucket.
    pub(crate) fn is_wanted(&self, number: u16) -> bool {
        self.bucket(Subject::Bucket(number)).is_some_and(|(_, bucket)| bucket.wanted.load(Ordering::SeqCst))
    }

    pub(crate) fn is_settled(&self, topic: &str) -> bool {
        self.bucket(self.subject(topic)).is_none_or(|(_, bucket)| bucket.established.load(Ordering::SeqCst))
    }

    /// Waits until the engine has the subscription for a topic, or `is_up` is false.
    pub(crate) async fn settle(&self, topic: &str, is_up: impl Fn() -> bool) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            // From here on no notice is missed.
            settled.as_mut().enable();
            let nobody = |(_, bucket): (u16, &Bucket)| bucket.topics.load(Ordering::SeqCst) == 0;
            if self.is_settled(topic) || !is_up() || self.bucket(self.subject(topic)).is_some_and(nobody) {
                return;
            }
            settled.await;
        }
    }
}

fn deadline(after: Duration) -> Instant {
    let now = Instant::now();
    // A deadline that no clock can tell never comes.
    now.checked_add(after).unwrap_or_else(|| now + Duration::from_secs(86_400 * 365))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest() -> Interest {
        Interest::new(4, Duration::from_secs(10))
    }

    async fn none(interest: &Interest) -> bool {
        tokio::time::timeout(Duration::from_secs(1), interest.changed()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_is_wanted_from_its_first_topic_until_a_while_after_its_last() {
        let interest = interest();
        let subject = interest.subject("room:1");
        interest.appeared("room:1");
        interest.appeared("room:1");
        assert_eq!(interest.changed().await, [Change::Subscribe(subject)]);
        interest.vanished("room:1");
        assert!(none(&interest).await);
        interest.vanished("room:1");
        assert!(none(&interest).await, "it lingers");
        interest.appeared("room:1");
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!(none(&interest).await, "it came back");
        interest.vanished("room:1");
        assert_eq!(interest.changed().await, [Change::Unsubscribe(subject)]);
        assert_eq!(interest.wanted(), (vec![], HashSet::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_reconnect_all_that_is_wanted_is_told_once() {
        let interest = interest();
        interest.appeared("room:1");
        let subject = interest.subject("room:1");
        assert_eq!(interest.wanted(), (vec![subject], HashSet::from([subject])));
        assert_eq!(interest.wanted(), (vec![subject], HashSet::new()), "it was known before the reconnect");
        assert!(none(&interest).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_settles_waits_for_the_engine_or_for_its_loss() {
        let interest = interest();
        interest.appeared("room:1");
        let (subjects, _) = interest.wanted();
        let waits = tokio::time::timeout(Duration::from_secs(1), interest.settle("room:1", || true));
        assert!(waits.await.is_err());
        interest.settle("room:1", || false).await;
        assert_eq!(interest.established(&subjects).len(), 1);
        interest.settle("room:1", || true).await;
        interest.wanted();
        assert!(!interest.is_settled("room:1"), "a new connection has to establish it anew");
    }
}
