//! A shard's subscriptions to topics.

use std::sync::Arc;

use bennu_protocol::{Broadcast, Encoding};
use bennu_pubsub::{Delivery, Subscriber, SubscriberId};
use parking_lot::Mutex;

use super::queue::Queue;
use super::topics::{Pending, TopicKey};
use crate::mailbox::Mailbox;
use crate::mount::Mount;

/// Stands in the PubSub for all channels of a shard that joined one topic: for every topic that has the same
/// audiences, so that a topic takes no memory here. Which topic it is says the id of the subscription.
pub(super) struct TopicLane {
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    /// Who there is to encode for, each once.
    audiences: Box<[Audience]>,
}

/// How many subscriptions each topic of a shard has, by its place in the shard's table.
#[derive(Default)]
pub(super) struct Counts(Mutex<Vec<u32>>);

/// The lanes of a shard. There are few: of all sets of audiences, those that some topic had since the shard
/// had no topic at all.
#[derive(Default)]
pub(super) struct Lanes {
    counts: Arc<Counts>,
    lanes: Vec<Arc<TopicLane>>,
}

/// Channels that get the same frames of a topic.
#[derive(Clone)]
pub(crate) struct Audience {
    pub(crate) mount: Arc<Mount>,
    pub(crate) route: usize,
    pub(crate) encoding: Encoding,
}

impl Lanes {
    /// Where the lane is for what had the audiences of `before`, and has this one from now on. No audience is one
    /// that gets no frames.
    pub(super) fn with(
        &mut self,
        queue: &Arc<Queue>,
        before: Option<u32>,
        audience: Option<Audience>,
    ) -> u32 {
        let known = before.map_or(&[][..], |before| &self.get(before).audiences);
        if let (Some(before), true) = (before, audience.iter().all(|audience| known.contains(audience))) {
            return before;
        }
        let wanted: Box<[Audience]> = known.iter().cloned().chain(audience).collect();
        let is_it = |lane: &Arc<TopicLane>| {
            lane.audiences.len() == wanted.len() && wanted.iter().all(|one| lane.audiences.contains(one))
        };
        let found = self.lanes.iter().position(is_it).unwrap_or_else(|| {
            let (queue, counts) = (queue.clone(), self.counts.clone());
            self.lanes.push(Arc::new(TopicLane { queue, counts, audiences: wanted }));
            self.lanes.len() - 1
        });
        // There are as many as a program's routes and encodings make.
        found as u32
    }

    pub(super) fn get(&self, lane: u32) -> &Arc<TopicLane> {
        &self.lanes[lane as usize]
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Counts {
    /// Notes how many subscriptions the topic at this place has.
    pub(super) fn set(&self, index: u32, count: usize) {
        let (mut counts, index) = (self.0.lock(), index as usize);
        if counts.len() <= index {
            if counts.capacity() <= index {
                let missing = index + 1 - counts.len();
                counts.reserve_exact(missing + index / 4);
            }
            counts.resize(index + 1, 0);
        }
        // A shard has no more connections than 32 bits count, and each has few channels.
        counts[index] = count as u32;
    }
}

impl TopicLane {
    /// These broadcasts wait for nobody any more.
    pub(super) fn landed<'a>(&self, landed: impl IntoIterator<Item = &'a Pending>) {
        self.queue.landed(landed);
    }
}

impl Subscriber for TopicLane {
    /// Runs on the broadcaster's thread, so that its encoding error is the broadcaster's.
    fn deliver(&self, id: SubscriberId, delivery: &Delivery, from: Option<SubscriberId>) {
        if let Some(broadcast) = delivery.get::<Broadcast>() {
            for audience in &self.audiences {
                if !audience.intercepts(broadcast.event()) {
                    // An error stays in the broadcast, where the broadcaster looks for it.
                    let _ = broadcast.frame(audience.encoding);
                }
            }
        }
        self.queue.deliver(TopicKey::from_token(id.token), delivery, from);
    }

    fn count(&self, id: SubscriberId) -> usize {
        let counts = self.counts.0.lock();
        counts.get(TopicKey::from_token(id.token).index as usize).map_or(0, |count| *count as usize)
    }
}

impl Audience {
    pub(super) fn is(&self, mailbox: &Mailbox, route: usize) -> bool {
        self.route == route && self.encoding == mailbox.encoding && Arc::ptr_eq(&self.mount, &mailbox.mount)
    }

    pub(super) fn intercepts(&self, event: &str) -> bool {
        self.mount.routes.get(self.route).is_some_and(|route| route.intercept.contains(&event))
    }
}

impl PartialEq for Audience {
    fn eq(&self, other: &Self) -> bool {
        let is_same = self.route == other.route && self.encoding == other.encoding;
        is_same && Arc::ptr_eq(&self.mount, &other.mount)
    }
}
