//! A shard's subscription to one topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bennu_protocol::{Broadcast, Encoding};
use bennu_pubsub::{Delivery, Subscriber, SubscriberId};
use parking_lot::Mutex;

use super::queue::Queue;
use super::topics::Pending;
use crate::mailbox::Mailbox;
use crate::mount::Mount;

/// Stands in the PubSub for all channels of a shard that joined one topic.
pub(super) struct TopicLane {
    queue: Arc<Queue>,
    /// The topic's place in the shard's table.
    index: u32,
    count: AtomicUsize,
    /// Who there is to encode for, each once; nobody is taken out before the topic has gone.
    audiences: Mutex<Vec<Audience>>,
}

/// Channels that get the same frames of a topic.
#[derive(Clone)]
pub(crate) struct Audience {
    pub(crate) mount: Arc<Mount>,
    pub(crate) route: usize,
    pub(crate) encoding: Encoding,
}

impl TopicLane {
    pub(super) fn new(queue: Arc<Queue>, index: u32) -> Self {
        TopicLane { queue, index, count: AtomicUsize::new(0), audiences: Mutex::default() }
    }

    /// Counts one subscription more. One without an audience gets no frames.
    pub(super) fn add(&self, audience: Option<Audience>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let Some(audience) = audience else { return };
        let mut audiences = self.audiences.lock();
        if !audiences.contains(&audience) {
            audiences.reserve_exact(1);
            audiences.push(audience);
        }
    }

    pub(super) fn remove(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Subscriber for TopicLane {
    /// Runs on the broadcaster's thread, so that its encoding error is the broadcaster's.
    fn deliver(&self, _: SubscriberId, delivery: &Delivery, from: Option<SubscriberId>) {
        if let Some(broadcast) = delivery.get::<Broadcast>() {
            for audience in &*self.audiences.lock() {
                if !audience.intercepts(broadcast.event()) {
                    // An error stays in the broadcast, where the broadcaster looks for it.
                    let _ = broadcast.frame(audience.encoding);
                }
            }
        }
        self.queue.deliver(self.index, |number| Pending { number, delivery: delivery.clone(), from });
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
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
