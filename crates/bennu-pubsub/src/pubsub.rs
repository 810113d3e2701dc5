//! The handle that everyone shares.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::delivery::Delivery;
use crate::registry::{Registry, Subscriber, SubscriberId};
use crate::subscription::Subscription;

/// Anything that can be broadcast: a type of yours that serde can write and read.
///
/// Implemented for all such types. Between nodes a message is known by the path
/// of its Rust type, so moving the type to another module makes it a new message.
#[diagnostic::on_unimplemented(
    note = "a PubSub message may cross to another node: derive `Serialize` and `Deserialize` for it",
    note = "a message that stays in this process can be sent to a channel with `ChannelRef::send`"
)]
pub trait PubSubMessage: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<M: Serialize + DeserializeOwned + Send + Sync + 'static> PubSubMessage for M {}

/// Topics and those who listen to them. Cheap to clone; clones are the same PubSub.
///
/// Two PubSubs in one process know nothing of each other.
#[derive(Clone, Debug)]
#[doc(alias = "Phoenix.PubSub")]
pub struct PubSub {
    registry: Arc<Registry>,
}

impl PubSub {
    /// A PubSub within this process.
    #[must_use]
    pub fn local() -> Self {
        PubSub { registry: Arc::new(Registry::default()) }
    }

    /// Receives what is broadcast to `topic` from now on, until it is dropped.
    ///
    /// Subscribing twice makes two subscriptions, and each message arrives on both.
    #[must_use = "dropping the subscription ends it"]
    pub fn subscribe(&self, topic: impl AsRef<str>) -> Subscription {
        Subscription::new(self.registry.clone(), topic.as_ref())
    }

    /// Delivers `message` to everyone subscribed to `topic`, and returns what was delivered.
    ///
    /// A channel gets it in `handle_info`; it does not reach clients by itself. What clients
    /// shall see goes through the endpoint's or a channel's `broadcast`.
    #[doc(alias = "broadcast!")]
    pub fn broadcast<M: PubSubMessage>(&self, topic: impl AsRef<str>, message: M) -> Delivery {
        self.dispatch(topic.as_ref(), None, message)
    }

    /// Delivers `message` to everyone subscribed to `topic` but `from`.
    #[doc(alias = "broadcast_from!")]
    pub fn broadcast_from<M: PubSubMessage>(
        &self,
        from: SubscriberId,
        topic: impl AsRef<str>,
        message: M,
    ) -> Delivery {
        self.dispatch(topic.as_ref(), Some(from), message)
    }

    /// Puts a subscriber of one's own on `topic`; it stays until [`remove_subscriber`](Self::remove_subscriber).
    ///
    /// This is for those who multiplex many topics onto one queue, as connections do;
    /// a task uses [`subscribe`](Self::subscribe). Returns the topic's name in the memory that all its
    /// subscribers share, for those who keep it.
    pub fn add_subscriber(
        &self,
        topic: impl Into<Arc<str>>,
        id: SubscriberId,
        subscriber: Arc<dyn Subscriber>,
    ) -> Arc<str> {
        self.registry.insert(topic.into(), id, subscriber)
    }

    /// Puts another subscriber in the place of one that [`add_subscriber`](Self::add_subscriber) put on `topic`:
    /// each broadcast goes to either of them. Nothing happens if there is none of this id.
    pub fn replace_subscriber(
        &self,
        topic: impl AsRef<str>,
        id: SubscriberId,
        subscriber: Arc<dyn Subscriber>,
    ) {
        self.registry.replace(topic.as_ref(), id, subscriber);
    }

    /// Ends what [`add_subscriber`](Self::add_subscriber) began; nothing happens if there is none.
    pub fn remove_subscriber(&self, topic: impl AsRef<str>, id: SubscriberId) {
        self.registry.remove(topic.as_ref(), id);
    }

    /// How many subscriptions `topic` has.
    #[must_use]
    pub fn subscriber_count(&self, topic: impl AsRef<str>) -> usize {
        self.registry.count(topic.as_ref())
    }

    fn dispatch<M: PubSubMessage>(&self, topic: &str, from: Option<SubscriberId>, message: M) -> Delivery {
        let name = self.registry.name(topic);
        let delivery = Delivery::local(name.topic.clone(), message);
        self.registry.dispatch(&name, from, &delivery);
        delivery
    }
}
