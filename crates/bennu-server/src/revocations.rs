//! Credentials that hold no more, though they have not expired.

mod sync;

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use bennu_protocol::Topic;
use bennu_pubsub::{Delivery, PubSub, Subscriber, SubscriberId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use tokio::task::AbortHandle;

use crate::clock::WallClock;
use crate::endpoint::Endpoint;

pub(crate) use sync::HeardLate;
use sync::Sync;

/// Where endpoints tell each other of revocations. Messages of clients are
/// [`Broadcast`](bennu_protocol::Broadcast)s and count for nothing there.
const TOPIC: &str = "bennu:revocations";

/// How many ids are remembered; of more, the ones revoked first are forgotten.
const MAX_REVOKED: usize = 100_000;

/// How long a revocation is remembered, unless the builder says otherwise.
pub(crate) const DEFAULT_MEMORY: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// All credentials of an id that were issued until a moment hold no more; see [`Endpoint::revoke`].
///
/// With serde it can be stored, and given back to [`Endpoint::restore_revocations`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    id: Topic,
    at: SystemTime,
}

impl Revocation {
    /// Revokes what was issued for `id` at this moment or before.
    #[must_use]
    pub fn new(id: impl Into<Topic>, at: SystemTime) -> Self {
        Revocation { id: id.into(), at }
    }

    /// The id of the connections, as [`Connected::with_id`](crate::Connected::with_id) gave it.
    #[must_use]
    pub fn id(&self) -> &Topic {
        &self.id
    }

    /// The moment until which credentials were revoked.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
    }
}

impl Endpoint {
    /// Closes, with 1001, every connection of this id, and lets none of the credentials in that were
    /// issued until now: they neither connect, which is answered with 403, nor renew.
    ///
    /// What was issued for an id is known from [`Connected::issued_at`](crate::Connected::issued_at). A
    /// socket that does not give it lets nobody in under a revoked id while the revocation is
    /// remembered, which is [`revocation_memory`](crate::EndpointBuilder::revocation_memory) long and for
    /// the 100,000 ids that were revoked last.
    ///
    /// Every endpoint on the same PubSub hears of it and does the same, on all nodes. A node that did not hear of it, as it was
    /// cut off or is started later, is told by the others as soon as they see each other; then it closes the connections that are
    /// open with older credentials. To have it outlast a restart of all nodes, store what this returns and give
    /// it to [`restore_revocations`](Self::restore_revocations) then. The clocks of those who issue and those who revoke must
    /// agree: a credential with a time of issue that lies ahead of the revocation is a newer one.
    pub fn revoke(&self, id: impl Into<Topic>) -> Revocation {
        let revocation = Revocation::new(id, self.clock().now());
        // In this order, which the PubSub keeps: whoever connects before the revocation is remembered is
        // reached by the disconnect, and whoever comes back after the disconnect is refused.
        self.pubsub().broadcast(TOPIC, revocation.clone());
        self.disconnect(revocation.id.clone());
        revocation
    }

    /// The revocations that this endpoint remembers, oldest first.
    #[must_use]
    pub fn revocations(&self) -> Vec<Revocation> {
        self.revocation_table().entries()
    }

    /// Remembers revocations from before the start; call it before serving, since
    /// connections to this endpoint that are open stay so. Nodes that come into sight later are told.
    pub fn restore_revocations(&self, revocations: impl IntoIterator<Item = Revocation>) {
        for revocation in revocations {
            self.revocation_table().remember(&revocation);
        }
    }

    /// Whether a credential that was issued then, if that is known, holds no more.
    pub(crate) fn is_revoked(&self, id: &Topic, issued_at: Option<SystemTime>) -> bool {
        let Some(revoked_at) = self.revocation_table().revoked_at(id) else { return false };
        if issued_at.is_none() {
            tracing::warn!(
                ?id,
                "a revoked id is refused, whatever the age of the credential: Connected::issued_at was not given"
            );
        }
        issued_at.is_none_or(|issued_at| issued_at <= revoked_at)
    }
}

/// What an endpoint remembers, subscribed to what others revoke as long as it lives.
pub(crate) struct Revocations {
    table: Arc<RevocationTable>,
    pubsub: PubSub,
    subscription: SubscriberId,
    sync: Option<AbortHandle>,
}

impl Revocations {
    /// In a cluster there must be a tokio runtime.
    pub(crate) fn new(pubsub: PubSub, memory: Duration, clock: WallClock) -> Self {
        let table = Arc::new(RevocationTable { memory, clock, revoked: Mutex::default() });
        let subscription = SubscriberId::unique();
        pubsub.add_subscriber(TOPIC, subscription, table.clone());
        let sync = Sync::start(&pubsub, &table);
        Revocations { table, pubsub, subscription, sync }
    }

    pub(crate) fn table(&self) -> &RevocationTable {
        &self.table
    }
}

impl Drop for Revocations {
    fn drop(&mut self) {
        self.sync.iter().for_each(AbortHandle::abort);
        self.pubsub.remove_subscriber(TOPIC, self.subscription);
    }
}

/// Revoked ids, bounded in number and age.
pub(crate) struct RevocationTable {
    memory: Duration,
    clock: WallClock,
    revoked: Mutex<Revoked>,
}

#[derive(Default)]
struct Revoked {
    by_id: HashMap<Topic, SystemTime>,
    /// The same, oldest first.
    by_age: BTreeSet<(SystemTime, Topic)>,
}

impl Subscriber for RevocationTable {
    fn deliver(&self, _: SubscriberId, delivery: &Delivery, _: Option<SubscriberId>) {
        if let Some(revocation) = delivery.get::<Revocation>() {
            self.remember(revocation);
        }
    }
}

impl RevocationTable {
    /// True if it says more than what was known of the id.
    fn remember(&self, revocation: &Revocation) -> bool {
        let now = self.clock.now();
        let mut revoked = self.revoked.lock();
        let is_new = revoked.insert(&revocation.id, revocation.at) && !self.is_over(revocation.at, now);
        while revoked.oldest().is_some_and(|oldest| self.is_over(oldest, now)) {
            revoked.pop_oldest();
        }
        if revoked.by_id.len() > MAX_REVOKED {
            let forgotten = revoked.pop_oldest();
            tracing::warn!(
                ?forgotten,
                "more than {MAX_REVOKED} ids are revoked, and the oldest is forgotten"
            );
        }
        is_new
    }

    fn revoked_at(&self, id: &Topic) -> Option<SystemTime> {
        let revoked_at = *self.revoked.lock().by_id.get(id)?;
        (!self.is_over(revoked_at, self.clock.now())).then_some(revoked_at)
    }

    fn entries(&self) -> Vec<Revocation> {
        let now = self.clock.now();
        let revoked = self.revoked.lock();
        let current = revoked.by_age.iter().filter(|(at, _)| !self.is_over(*at, now));
        current.map(|(at, id)| Revocation { id: id.clone(), at: *at }).collect()
    }

    /// The next revocations after one, oldest first, and whether they are the last; as many as `size` says fit, but one at least.
    fn part(
        &self,
        after: Option<&Revocation>,
        bytes: usize,
        size: impl Fn(&Revocation) -> usize,
    ) -> (Vec<Revocation>, bool) {
        let now = self.clock.now();
        let revoked = self.revoked.lock();
        let after = after.map_or(Bound::Unbounded, |after| Bound::Excluded((after.at, after.id.clone())));
        let following = revoked.by_age.range((after, Bound::Unbounded));
        let mut left = bytes;
        let mut part = Vec::new();
        for (at, id) in following.filter(|(at, _)| !self.is_over(*at, now)) {
            let revocation = Revocation { id: id.clone(), at: *at };
            let Some(rest) = left.checked_sub(size(&revocation)).or(part.is_empty().then_some(0)) else {
                return (part, false);
            };
            left = rest;
            part.push(revocation);
        }
        (part, true)
    }

    /// The same for tables that hold the same.
    fn digest(&self) -> String {
        let mut digest = Sha1::new();
        for Revocation { id, at } in self.entries() {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            digest.update(since.as_nanos().to_be_bytes());
            digest.update((id.len() as u64).to_be_bytes());
            digest.update(id.as_bytes());
        }
        base64::engine::general_purpose::STANDARD.encode(digest.finalize())
    }

    fn is_over(&self, revoked_at: SystemTime, now: SystemTime) -> bool {
        revoked_at.checked_add(self.memory).is_some_and(|end| end < now)
    }
}

impl Revoked {
    /// The later of two revocations of an id counts; true if it is this one.
    fn insert(&mut self, id: &Topic, at: SystemTime) -> bool {
        if let Some(before) = self.by_id.get_mut(id) {
            if at <= *before {
                return false;
            }
            self.by_age.remove(&(*before, id.clone()));
            *before = at;
        } else {
            self.by_id.insert(id.clone(), at);
        }
        self.by_age.insert((at, id.clone()))
    }

    fn oldest(&self) -> Option<SystemTime> {
        self.by_age.first().map(|(at, _)| *at)
    }

    fn pop_oldest(&mut self) -> Option<Topic> {
        let (_, id) = self.by_age.pop_first()?;
        self.by_id.remove(&id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const MEMORY: Duration = Duration::from_secs(100);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Remembers each at its own time, and is then asked at `now`.
    fn table(revocations: &[(&str, u64)], now: u64) -> RevocationTable {
        let time = Arc::new(Mutex::new(UNIX_EPOCH));
        let clock = WallClock::new({
            let time = time.clone();
            move || *time.lock()
        });
        let table = RevocationTable { memory: MEMORY, clock, revoked: Mutex::default() };
        for (id, seconds) in revocations {
            *time.lock() = at(*seconds);
            table.remember(&Revocation::new(*id, at(*seconds)));
        }
        *time.lock() = at(now);
        table
    }

    #[test]
    fn the_latest_revocation_of_an_id_counts_while_it_is_remembered() {
        for (name, revocations, now, expected) in [
            ("never", &[][..], 10, None),
            ("another id", &[("b", 10)], 10, None),
            ("once", &[("a", 10)], 10, Some(10)),
            ("later", &[("a", 10), ("a", 20)], 20, Some(20)),
            ("out of order", &[("a", 20), ("a", 10)], 20, Some(20)),
            ("at the end of the memory", &[("a", 10)], 110, Some(10)),
            ("past it", &[("a", 10)], 111, None),
            ("purged when another came", &[("a", 10), ("b", 200)], 110, None),
        ] {
            assert_eq!(table(revocations, now).revoked_at(&"a".into()), expected.map(at), "{name}");
        }
    }

    #[test]
    fn entries_come_oldest_first_and_once_for_each_id() {
        let entries = table(&[("a", 30), ("b", 20), ("a", 40), ("old", 1)], 110).entries();
        assert_eq!(entries, [Revocation::new("b", at(20)), Revocation::new("a", at(40))]);
    }

    #[test]
    fn a_table_is_told_in_parts_that_fit() {
        let revocations = [("a", 1), ("b", 1), ("c", 2), ("d", 3), ("e", 4)];
        let told = table(&revocations, 5);
        for (bytes, expected) in [(0, 5), (1, 5), (2, 3), (4, 2), (5, 1), (9, 1)] {
            let (mut parts, mut all, mut after) = (0, Vec::new(), None);
            loop {
                let (part, is_last) = told.part(after.as_ref(), bytes, |_| 1);
                after = part.last().cloned();
                (parts, all) = (parts + 1, [all, part].concat());
                if is_last {
                    break;
                }
            }
            assert_eq!((parts, all), (expected, told.entries()), "{bytes}");
        }
        assert_eq!(table(&[], 1).part(None, 1, |_| 1), (vec![], true));
        let mut turned = revocations;
        turned.reverse();
        assert_eq!(told.digest(), table(&turned, 5).digest());
        assert_ne!(told.digest(), table(&revocations[1..], 5).digest());
    }

    #[test]
    fn of_too_many_ids_the_oldest_is_forgotten() {
        let table = table(&[], 0);
        for n in 0..=MAX_REVOKED {
            table.remember(&Revocation::new(n.to_string(), at(n as u64)));
        }
        assert_eq!(table.entries().len(), MAX_REVOKED);
        let revoked_at = |id: &str| table.revoked_at(&id.into());
        assert_eq!((revoked_at("0"), revoked_at("1")), (None, Some(at(1))));
    }

    #[test]
    fn a_revocation_survives_storage() {
        let revocation = Revocation::new("user_socket:42", at(10) + Duration::from_millis(7));
        let stored = serde_json::to_string(&revocation).unwrap();
        assert_eq!(serde_json::from_str::<Revocation>(&stored).unwrap(), revocation);
    }
}
