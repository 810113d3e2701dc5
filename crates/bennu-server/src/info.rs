//! Messages of the application to a channel.

use std::any::Any;
use std::fmt;

use bennu_protocol::Broadcast;
use bennu_pubsub::{Delivery, Gap, PubSubMessage};

/// A message for [`Channel::handle_info`](crate::Channel::handle_info).
///
/// ```
/// # use bennu_server::{Context, Handled, HandlerResult, Info};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Saved { revision: u64 }
/// # struct Flush(std::time::Instant);
/// async fn handle_info(info: Info, cx: &mut Context<()>) -> HandlerResult {
///     if let Some(saved) = info.get::<Saved>() {
///         cx.push("saved", saved)?; // from `pubsub.broadcast(topic, Saved { .. })`
///     } else if let Some(broadcast) = info.broadcast() {
///         cx.push("elsewhere", broadcast.payload())?; // from `endpoint.broadcast` on a subscribed topic
///     } else if let Ok(Flush(_at)) = info.take::<Flush>() {
///         // from `cx.handle().send(Flush(..))`, of any type
///     }
///     Handled::no_reply()
/// }
/// ```
pub struct Info(Kind);

enum Kind {
    Delivery(Delivery),
    Local { message: Box<dyn Any + Send>, type_name: &'static str },
}

impl Info {
    pub(crate) fn delivery(delivery: Delivery) -> Self {
        Info(Kind::Delivery(delivery))
    }

    pub(crate) fn local<M: Any + Send>(message: M) -> Self {
        Info(Kind::Local { message: Box::new(message), type_name: std::any::type_name::<M>() })
    }

    /// The message, if it is an `M`: one that came over PubSub, or a local one of a type
    /// that could have. To own a local message of any type, use [`take`](Self::take).
    #[must_use]
    pub fn get<M: PubSubMessage>(&self) -> Option<&M> {
        match &self.0 {
            Kind::Delivery(delivery) => delivery.get(),
            Kind::Local { message, .. } => message.downcast_ref(),
        }
    }

    /// A broadcast for clients, on another topic that the channel subscribed to.
    #[must_use]
    pub fn broadcast(&self) -> Option<&Broadcast> {
        self.get()
    }

    /// The topic, if it came over PubSub.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        match &self.0 {
            Kind::Delivery(delivery) => Some(delivery.topic()),
            Kind::Local { .. } => None,
        }
    }

    /// What a channel does with it that has no `handle_info`.
    #[doc(hidden)]
    pub fn log_unhandled(&self, topic: &str) {
        match self.get::<Gap>() {
            Some(gap) => tracing::debug!(topic, missed = gap.missed, "a channel may have missed broadcasts"),
            None => {
                tracing::warn!(topic, info = ?self, "a message came for a channel that has no handle_info")
            }
        }
    }

    /// The message that [`ChannelRef::send`](crate::ChannelRef::send) sent, if it is an `M`.
    ///
    /// # Errors
    ///
    /// The message itself when it is something else.
    pub fn take<M: Any>(self) -> Result<M, Info> {
        match self.0 {
            Kind::Local { message, type_name } => match message.downcast() {
                Ok(message) => Ok(*message),
                Err(message) => Err(Info(Kind::Local { message, type_name })),
            },
            Kind::Delivery(delivery) => Err(Info(Kind::Delivery(delivery))),
        }
    }

    /// What a queue should count for it, in bytes.
    pub(crate) fn size(&self) -> usize {
        match &self.0 {
            Kind::Delivery(delivery) => delivery.size(),
            Kind::Local { message, .. } => size_of_val(&**message),
        }
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Delivery(delivery) => delivery.fmt(f),
            Kind::Local { type_name, .. } => write!(f, "Local({type_name})"),
        }
    }
}
