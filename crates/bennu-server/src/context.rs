//! A channel's way to the outside.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bennu_protocol::{Broadcast, ChannelId, EncodeError, Encoding, IntoPayload, Payload, Ref, Status, Topic};
use bennu_pubsub::{PubSub, Reading, SubscriberId};

use crate::broadcast::BroadcastError;
use crate::endpoint::Endpoint;
use crate::history::{Following, Recovery, Replay};
use crate::info::Info;
use crate::mailbox::{Item, Mailbox, Subscription};
use crate::metrics::RouteMetrics;
use crate::router::Route;
use crate::socket::AnyAssigns;

/// What a channel's handlers act through: its client, its topic, its endpoint.
///
/// What handlers send goes out in the order in which they sent it, and before
/// the reply that they return; only broadcasts of `after_join` wait until it has returned.
///
/// A context stays with its handler. For another task, take [`handle`](Self::handle) to
/// send to this channel, or [`socket_ref`](Self::socket_ref) to reply from there.
#[doc(alias = "socket")]
pub struct Context<A> {
    pub(crate) core: ContextCore,
    assigns: PhantomData<fn() -> A>,
}

/// The part of a [`Context`] that does not know the type of the assigns. It is put together for
/// each handler and taken apart after it, so that an idle channel keeps none of it.
pub(crate) struct ContextCore {
    pub(crate) client: Arc<Client>,
    pub(crate) channel: ChannelId,
    pub(crate) topic: Topic,
    pub(crate) join_ref: Option<Ref>,
    pub(crate) route: usize,
    /// Ref of the message that is being handled.
    pub(crate) reference: Option<Ref>,
    pub(crate) kept: Kept,
}

/// What all channels of a connection share.
pub(crate) struct Client {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) endpoint: Endpoint,
    pub(crate) encoding: Encoding,
    pub(crate) assigns: AnyAssigns,
    pub(crate) socket_id: Option<Topic>,
}

/// What a channel keeps of its context between handlers.
#[derive(Default)]
pub(crate) struct Kept {
    /// Whether the own topic is subscribed to.
    pub(crate) subscribed: bool,
    /// `None` for most channels.
    pub(crate) extras: Option<Box<Extras>>,
}

/// What few channels have.
#[derive(Default)]
pub(crate) struct Extras {
    /// Topics beside the own one.
    pub(crate) subscriptions: Vec<Topic>,
    /// If the route keeps a history.
    pub(crate) history: Option<Following>,
}

/// Where a channel lives and how its client is spoken to, for other tasks.
#[derive(Clone)]
struct Address {
    mailbox: Arc<Mailbox>,
    channel: ChannelId,
    encoding: Encoding,
    topic: Topic,
    join_ref: Option<Ref>,
}

impl<A: 'static> Context<A> {
    /// The connection's assigns must be an `A`.
    pub(crate) fn new(core: ContextCore) -> Self {
        Context { core, assigns: PhantomData }
    }

    /// The topic that was joined.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.core.topic
    }

    /// What the client uses to name this join: its `join_ref` or, where that was null, its ref.
    #[must_use]
    pub fn join_ref(&self) -> Option<&Ref> {
        self.core.join_ref.as_ref()
    }

    /// What the socket's `connect` put there.
    #[must_use]
    pub fn assigns(&self) -> &A {
        let assigns = self.core.client.assigns.downcast_ref();
        assigns.expect("the mount's socket and channels have the same assigns")
    }

    /// The endpoint, to broadcast to other topics or to disconnect somebody.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.core.client.endpoint
    }

    /// The endpoint's PubSub.
    #[must_use]
    pub fn pubsub(&self) -> &PubSub {
        self.core.client.endpoint.pubsub()
    }

    /// What the route carries, if it is a `T`.
    #[must_use]
    pub fn route_value<T: 'static>(&self) -> Option<&T> {
        self.core.route().value.as_ref()?.downcast_ref()
    }

    /// Whether the client, as it joined, asked for what it missed, and gets it: on a topic
    /// with a [`History`](crate::History), `after_join` can spare one that recovered the state from the start.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.core.history().map_or(Recovery::NotAsked, Following::recovery)
    }

    /// The id that the socket's `connect` gave the connection.
    #[must_use]
    pub fn socket_id(&self) -> Option<&Topic> {
        self.core.client.socket_id.as_ref()
    }

    /// A number that no other connection of this process has.
    #[must_use]
    pub fn connection_id(&self) -> u64 {
        self.core.mailbox().id.owner()
    }

    /// Sends an event to this client alone.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the client's protocol version cannot carry the payload:
    /// version 2 carries JSON objects and bytes, version 1 any JSON.
    pub fn push(&self, event: &str, payload: impl IntoPayload) -> Result<(), EncodeError> {
        let ContextCore { client, topic, join_ref, .. } = &self.core;
        let payload = payload.into_payload()?;
        let frame = client.encoding.encode_push(join_ref.as_ref(), topic, event, &payload)?;
        client.mailbox.send(Item::Frame(frame));
        for place in Reading::pass_on(event) {
            client.mailbox.send(Item::Included { channel: self.core.channel, place });
        }
        Ok(())
    }

    /// Sends an event to every subscriber of the topic, this client included.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::broadcast`].
    #[doc(alias = "broadcast!")]
    pub fn broadcast(&self, event: &str, payload: impl IntoPayload) -> Result<(), BroadcastError> {
        self.core.client.endpoint.broadcast(self.topic(), event, payload)
    }

    /// Sends an event to every subscriber of the topic but this client.
    ///
    /// # Errors
    ///
    /// As [`broadcast`](Self::broadcast).
    #[doc(alias = "broadcast_from!")]
    pub fn broadcast_from(&self, event: &str, payload: impl IntoPayload) -> Result<(), BroadcastError> {
        let broadcast = Broadcast::new(self.topic().clone(), event, payload.into_payload()?);
        self.endpoint().deliver(broadcast, Some(self.core.own_id()))
    }

    /// What is needed to reply to the message that is being handled later, or from
    /// another task. `None` when the client sent no ref, and so waits for no reply, or
    /// when no message is being handled.
    #[must_use]
    pub fn socket_ref(&self) -> Option<SocketRef> {
        let reference = self.core.reference.clone()?;
        let ContextCore { client, channel, topic, join_ref, .. } = &self.core;
        let address = Address {
            mailbox: client.mailbox.clone(),
            channel: *channel,
            encoding: client.encoding,
            topic: topic.clone(),
            join_ref: join_ref.clone(),
        };
        Some(SocketRef { address, reference })
    }

    /// A handle with which any task can send to this channel's `handle_info`.
    #[must_use]
    #[doc(alias = "channel_pid")]
    #[doc(alias = "self()")]
    pub fn handle(&self) -> ChannelRef {
        ChannelRef { mailbox: self.core.mailbox().clone(), channel: self.core.channel }
    }

    /// Receives in `handle_info` what is broadcast to another topic, until the
    /// channel ends. A second call for the same topic changes nothing.
    pub fn subscribe(&mut self, topic: impl Into<Topic>) {
        let topic = topic.into();
        if topic == *self.topic() || self.core.subscriptions().contains(&topic) {
            return;
        }
        let topic = self.core.mailbox().subscribe(topic, self.core.info_subscription());
        self.core.kept.extras.get_or_insert_default().subscriptions.push(topic);
    }

    /// Ends what [`subscribe`](Self::subscribe) began.
    pub fn unsubscribe(&mut self, topic: &str) {
        if let Some(extras) = &mut self.core.kept.extras {
            extras.subscriptions.retain(|subscribed| **subscribed != *topic);
        }
        self.core.mailbox().unsubscribe(topic, self.core.info_subscription());
    }

    /// Closes this client's connection with 1001; official clients reconnect.
    pub fn disconnect(&self) {
        self.core.mailbox().send(Item::Close(bennu_protocol::websocket::close::GOING_AWAY));
    }
}

impl ContextCore {
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.client.mailbox
    }

    /// The route through which the channel was joined.
    pub(crate) fn route(&self) -> &Route {
        &self.mailbox().mount.routes[self.route]
    }

    pub(crate) fn metrics(&self) -> &RouteMetrics {
        self.mailbox().mount.metrics.route(self.route)
    }

    fn history(&self) -> Option<&Following> {
        self.kept.extras.as_ref()?.history.as_ref()
    }

    fn subscriptions(&self) -> &[Topic] {
        self.kept.extras.as_ref().map_or(&[], |extras| &extras.subscriptions)
    }

    /// Takes it apart: the subscriptions go on.
    pub(crate) fn into_kept(mut self) -> Kept {
        let mut kept = std::mem::take(&mut self.kept);
        kept.extras = kept.extras.filter(|extras| !extras.is_empty());
        kept
    }

    /// Begins to receive the own topic. Returns the join's response, with the client's position
    /// in it if there is a history, and what of that the client missed.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the response cannot carry the position.
    pub(crate) fn subscribe_own(
        &mut self,
        response: Payload,
    ) -> Result<(Payload, Option<Replay>), EncodeError> {
        self.kept.subscribed = true;
        self.metrics().channels.increment(1);
        match self.kept.extras.as_mut().and_then(|extras| extras.history.take()) {
            None => {
                self.topic = self.subscribe();
                Ok((response, None))
            }
            Some(mut history) => {
                let begun = history.begin(self, &response);
                self.kept.extras.get_or_insert_default().history = Some(history);
                begun
            }
        }
    }

    pub(crate) fn subscribe(&self) -> Topic {
        self.mailbox().subscribe(self.topic.clone(), self.own_subscription())
    }

    /// Ends every subscription of the channel.
    pub(crate) fn unsubscribe_all(&mut self) {
        if std::mem::take(&mut self.kept.subscribed) {
            self.metrics().channels.decrement(1);
            self.mailbox().unsubscribe(&self.topic, self.own_subscription());
        }
        let Some(extras) = &mut self.kept.extras else { return };
        extras.history.iter_mut().for_each(Following::end);
        for topic in std::mem::take(&mut extras.subscriptions) {
            self.mailbox().unsubscribe(&topic, self.info_subscription());
        }
    }

    /// The subscription to the own topic.
    pub(crate) fn own_subscription(&self) -> Subscription {
        Subscription { channel: self.channel, route: Some(self.route) }
    }

    fn own_id(&self) -> SubscriberId {
        self.mailbox().id.with_token(self.own_subscription().to_token())
    }

    fn info_subscription(&self) -> Subscription {
        Subscription { channel: self.channel, route: None }
    }
}

impl Extras {
    fn is_empty(&self) -> bool {
        self.subscriptions.is_empty() && self.history.is_none()
    }
}

impl Drop for ContextCore {
    /// Whatever way a channel ends, its subscriptions end with it.
    fn drop(&mut self) {
        self.unsubscribe_all();
    }
}

impl<A: 'static> fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({:?}, connection {})", self.topic(), self.connection_id())
    }
}

/// A message of a client that can still be answered, from any task.
#[derive(Clone)]
#[doc(alias = "socket_ref")]
pub struct SocketRef {
    address: Address,
    reference: Ref,
}

impl SocketRef {
    /// Replies; may be called several times. Once the channel has ended, nothing is sent.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the client's protocol version cannot carry the response.
    pub fn reply(&self, status: impl Into<Status>, response: impl IntoPayload) -> Result<(), EncodeError> {
        let Address { mailbox, channel, encoding, topic, join_ref } = &self.address;
        let response = response.into_payload()?;
        let frame = encoding.encode_reply(
            join_ref.as_ref(),
            Some(&self.reference),
            topic,
            &status.into(),
            &response,
        )?;
        mailbox.send(Item::Reply { channel: *channel, frame });
        Ok(())
    }
}

impl fmt::Debug for SocketRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketRef({:?}, {:?})", self.address.topic, self.reference)
    }
}

/// A joined channel, as other tasks see it. Cheap to clone.
#[derive(Clone)]
pub struct ChannelRef {
    mailbox: Arc<Mailbox>,
    channel: ChannelId,
}

impl ChannelRef {
    /// Sends a message of any type to the channel's `handle_info`, which gets it
    /// with [`Info::take`]. Once the channel has ended, nothing happens.
    pub fn send(&self, message: impl std::any::Any + Send) {
        self.mailbox.send(Item::Info { channel: self.channel, info: Info::local(message) });
    }
}

impl fmt::Debug for ChannelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelRef({:?})", self.channel)
    }
}
