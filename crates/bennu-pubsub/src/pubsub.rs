//! The handle that everyone shares.

use std::fmt;
use std::sync::{Arc, Weak};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::cluster::interest::Interest;
use crate::cluster::{
    Adapter, Cluster, ClusterOptions, ClusterOptionsError, Link, LinkStatus, Node, NodeName, Subject,
};
use crate::codec::{Codec, Codecs};
use crate::delivery::{CrossingError, Delivery};
use crate::reading::Place;
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
/// Two PubSubs in one process know nothing of each other, unless they are nodes of one cluster.
#[derive(Clone)]
#[doc(alias = "Phoenix.PubSub")]
pub struct PubSub(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    codecs: Arc<Codecs>,
    node: NodeName,
    cluster: Option<Arc<Cluster>>,
}

impl PubSub {
    /// A PubSub within this process.
    #[must_use]
    pub fn local() -> Self {
        PubSub(Arc::new(Inner {
            registry: Arc::default(),
            codecs: Arc::default(),
            node: NodeName::random(),
            cluster: None,
        }))
    }

    /// A PubSub that is a node of a cluster, over an engine that all its nodes connect to.
    ///
    /// It returns at once and connects in the background, again and again until the last clone is dropped; see [`link`](Self::link).
    ///
    /// # Errors
    ///
    /// [`ClusterOptionsError`] when the options cannot be used, or there is no tokio runtime.
    pub fn cluster<A: Adapter>(adapter: A, options: ClusterOptions) -> Result<Self, ClusterOptionsError> {
        let node = options.check()?;
        let runtime = Handle::try_current().map_err(|_| ClusterOptionsError::NoRuntime)?;
        let interest = Arc::new(Interest::new(options.buckets, options.linger));
        let registry = Arc::new(Registry::clustered(interest.clone()));
        let codecs = Arc::<Codecs>::default();
        let cluster = Cluster::new(
            &options,
            node.clone(),
            adapter.engine(),
            registry.clone(),
            interest,
            codecs.clone(),
        );
        let link = Link(cluster.clone());
        runtime.spawn(async move {
            // Also when it panics, or the runtime ends.
            let _ended = Ended(link.clone());
            Box::new(adapter).run(link).await;
        });
        runtime.spawn(cluster.clone().beacons());
        Ok(PubSub(Arc::new(Inner { registry, codecs, node, cluster: Some(cluster) })))
    }

    /// What this node is called; a random name without a cluster.
    #[must_use]
    #[doc(alias = "node_name")]
    pub fn node(&self) -> &NodeName {
        &self.0.node
    }

    /// The other nodes that were heard of lately.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.0.cluster.as_ref().map(|cluster| cluster.nodes()).unwrap_or_default()
    }

    /// Whether the engine between the nodes is there.
    #[must_use]
    pub fn link(&self) -> LinkStatus {
        self.0.cluster.as_ref().map_or(LinkStatus::Local, |cluster| cluster.status())
    }

    /// The changes of [`link`](Self::link); none without a cluster.
    #[must_use]
    pub fn link_changes(&self) -> Option<watch::Receiver<LinkStatus>> {
        self.0.cluster.as_ref().map(|cluster| cluster.statuses())
    }

    /// Says how messages of type `M` cross to other nodes, in place of JSON named by the Rust type.
    ///
    /// All nodes need the same; register before the first broadcast and subscription.
    pub fn register_codec<M: PubSubMessage>(&self, codec: Codec<M>) {
        self.0.codecs.register(codec);
    }

    /// Has `take` take messages of type `M` that come from other nodes, in place of the topic's subscribers. It is called for topics
    /// that have any, on the link's own task, so it must not wait; the last one registered for a type counts.
    ///
    /// Register it after the type's codec.
    pub fn on_remote<M: PubSubMessage>(&self, take: impl Fn(&PubSub, Delivery) + Send + Sync + 'static) {
        let Some(cluster) = &self.0.cluster else { return };
        let pubsub: Weak<Inner> = Arc::downgrade(&self.0);
        let hook = move |delivery| {
            if let Some(pubsub) = pubsub.upgrade() {
                take(&PubSub(pubsub), delivery);
            }
        };
        cluster.hook(self.0.codecs.form::<M>().name(), Arc::new(hook));
    }

    /// Receives what is broadcast to `topic` from now on, until it is dropped.
    ///
    /// Subscribing twice makes two subscriptions, and each message arrives on both. In a cluster, what other nodes broadcast arrives once the
    /// engine knows of the subscription; see [`settle`](Self::settle).
    #[must_use = "dropping the subscription ends it"]
    pub fn subscribe(&self, topic: impl AsRef<str>) -> Subscription {
        Subscription::new(self.0.registry.clone(), topic.as_ref())
    }

    /// Waits until what other nodes broadcast to `topic`, to which somebody here is subscribed, arrives: the engine has the subscription.
    /// Returns at once without a cluster, when nobody here is subscribed, and when the engine is away, since nothing arrives then; what is broadcast
    /// elsewhere until it is back is not told as a gap to those who subscribed meanwhile.
    pub async fn settle(&self, topic: impl AsRef<str>) {
        if let Some(cluster) = &self.0.cluster {
            cluster.settle(topic.as_ref()).await;
        }
    }

    /// Whether [`settle`](Self::settle) would return at once.
    #[must_use]
    pub fn is_settled(&self, topic: impl AsRef<str>) -> bool {
        self.0.cluster.as_ref().is_none_or(|cluster| cluster.is_settled(topic.as_ref()))
    }

    /// Waits until all that was broadcast so far was handed to the engine, or the engine is away. For the end of a program.
    pub async fn flush(&self) {
        if let Some(cluster) = &self.0.cluster {
            cluster.flush().await;
        }
    }

    /// Delivers `message` to everyone subscribed to `topic`, on all nodes, and returns what was delivered. It never waits:
    /// this node's subscribers have it when it returns, and for the others it is queued. [`Delivery::crossing`] tells when it could not be.
    ///
    /// A channel gets it in `handle_info`; it does not reach clients by itself. What clients
    /// shall see goes through the endpoint's or a channel's `broadcast`.
    #[doc(alias = "broadcast!")]
    pub fn broadcast<M: PubSubMessage>(&self, topic: impl AsRef<str>, message: M) -> Delivery {
        self.dispatch(topic.as_ref(), None, message)
    }

    /// Delivers `message` to everyone subscribed to `topic` but `from`. On other nodes nobody is left out.
    #[doc(alias = "broadcast_from!")]
    pub fn broadcast_from<M: PubSubMessage>(
        &self,
        from: SubscriberId,
        topic: impl AsRef<str>,
        message: M,
    ) -> Delivery {
        self.dispatch(topic.as_ref(), Some(from), message)
    }

    /// Delivers `message` to this node's subscribers of `topic` alone.
    pub fn local_broadcast<M: PubSubMessage>(&self, topic: impl AsRef<str>, message: M) -> Delivery {
        self.dispatch_here(topic.as_ref(), None, message, Ok(()), None)
    }

    /// The same for one that tells how a state changes, at this place of what is told of it.
    pub fn local_broadcast_at<M: PubSubMessage>(
        &self,
        place: Place,
        topic: impl AsRef<str>,
        message: M,
    ) -> Delivery {
        self.dispatch_here(topic.as_ref(), None, message, Ok(()), Some(place))
    }

    /// Delivers `message` to this node's subscribers of `topic` but `from`.
    pub fn local_broadcast_from<M: PubSubMessage>(
        &self,
        from: SubscriberId,
        topic: impl AsRef<str>,
        message: M,
    ) -> Delivery {
        self.dispatch_here(topic.as_ref(), Some(from), message, Ok(()), None)
    }

    /// Hands `message` to the other nodes, whose subscribers of `topic` get it; nobody here does. For those who give this node's
    /// subscribers another form of it.
    ///
    /// # Errors
    ///
    /// [`CrossingError`] when the message cannot leave this node.
    pub fn broadcast_elsewhere<M: PubSubMessage>(
        &self,
        topic: impl AsRef<str>,
        message: &M,
    ) -> Result<(), CrossingError> {
        match &self.0.cluster {
            Some(cluster) => cluster.send(cluster.subject(topic.as_ref()), topic.as_ref(), message),
            None => Ok(()),
        }
    }

    /// Gives a delivery to this node's subscribers of its topic, as it is: what those do who [take](Self::on_remote) what comes from
    /// other nodes, with all that they have no use for.
    pub fn redeliver(&self, delivery: &Delivery) {
        self.0.registry.dispatch(&self.0.registry.name(delivery.topic()), None, delivery);
    }

    /// Delivers `message` to those who are subscribed to `topic` on one node, which may be this one. Nothing happens if there is
    /// no such node. One that is lost on the way is no [`Gap`](crate::Gap): whoever waits for an answer waits for a bounded time.
    ///
    /// # Errors
    ///
    /// [`CrossingError`] when the message cannot leave this node.
    #[doc(alias = "direct_broadcast!")]
    pub fn direct_broadcast<M: PubSubMessage>(
        &self,
        node: impl AsRef<str>,
        topic: impl AsRef<str>,
        message: M,
    ) -> Result<(), CrossingError> {
        let (node, topic) = (node.as_ref(), topic.as_ref());
        if node == self.0.node.as_str() {
            self.local_broadcast(topic, message);
            return Ok(());
        }
        match &self.0.cluster {
            Some(cluster) => cluster.send(Subject::of_node(node), topic, &message),
            None => Ok(()),
        }
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
        self.0.registry.insert(topic.into(), id, subscriber)
    }

    /// Puts another subscriber in the place of one that [`add_subscriber`](Self::add_subscriber) put on `topic`:
    /// each broadcast goes to either of them. Nothing happens if there is none of this id.
    pub fn replace_subscriber(
        &self,
        topic: impl AsRef<str>,
        id: SubscriberId,
        subscriber: Arc<dyn Subscriber>,
    ) {
        self.0.registry.replace(topic.as_ref(), id, subscriber);
    }

    /// Ends what [`add_subscriber`](Self::add_subscriber) began; nothing happens if there is none.
    pub fn remove_subscriber(&self, topic: impl AsRef<str>, id: SubscriberId) {
        self.0.registry.remove(topic.as_ref(), id);
    }

    /// How many subscriptions `topic` has.
    #[must_use]
    pub fn subscriber_count(&self, topic: impl AsRef<str>) -> usize {
        self.0.registry.count(topic.as_ref())
    }

    fn dispatch<M: PubSubMessage>(&self, topic: &str, from: Option<SubscriberId>, message: M) -> Delivery {
        // The other nodes come first: what somebody here answers at once, on another thread, must not overtake it on the way to them.
        let crossing = match &self.0.cluster {
            Some(cluster) => cluster.send(cluster.subject(topic), topic, &message),
            None => Ok(()),
        };
        self.dispatch_here(topic, from, message, crossing, None)
    }

    fn dispatch_here<M: PubSubMessage>(
        &self,
        topic: &str,
        from: Option<SubscriberId>,
        message: M,
        crossing: Result<(), CrossingError>,
        place: Option<Place>,
    ) -> Delivery {
        let name = self.0.registry.name(topic);
        let delivery = Delivery::local(name.topic.clone(), message, crossing, place);
        self.0.registry.dispatch(&name, from, &delivery);
        delivery
    }
}

/// Without its adapter a link is down.
struct Ended(Link);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.down("the adapter has ended");
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(cluster) = &self.cluster {
            cluster.close();
        }
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pubsub = f.debug_struct("PubSub");
        pubsub.field("registry", &self.0.registry);
        if let Some(cluster) = &self.0.cluster {
            pubsub.field("cluster", cluster);
        }
        pubsub.finish()
    }
}
