//! Messages of the application to a channel.

use std::any::Any;
use std::fmt;

use bennu_protocol::Broadcast;
use bennu_pubsub::{Delivery, PubSubMessage};

/// A message for [`Channel::handle_info`](crate::Channel::handle_info).
pub struct Info(Kind);

enum Kind {
    Delivery(Delivery),
    Local(Box<dyn Any + Send>),
}

impl Info {
    pub(crate) fn delivery(delivery: Delivery) -> Self {
        Info(Kind::Delivery(delivery))
    }

    pub(crate) fn local(message: impl Any + Send) -> Self {
        Info(Kind::Local(Box::new(message)))
    }

    /// The message, if it is an `M`: one that came over PubSub, or a local one of a type
    /// that could have. To own a local message of any type, use [`take`](Self::take).
    #[must_use]
    pub fn get<M: PubSubMessage>(&self) -> Option<&M> {
        match &self.0 {
            Kind::Delivery(delivery) => delivery.get(),
            Kind::Local(message) => message.downcast_ref(),
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
            Kind::Local(_) => None,
        }
    }

    /// The message that [`ChannelRef::send`](crate::ChannelRef::send) sent, if it is an `M`.
    ///
    /// # Errors
    ///
    /// The message itself when it is something else.
    pub fn take<M: Any>(self) -> Result<M, Info> {
        match self.0 {
            Kind::Local(message) => match message.downcast() {
                Ok(message) => Ok(*message),
                Err(message) => Err(Info(Kind::Local(message))),
            },
            Kind::Delivery(delivery) => Err(Info(Kind::Delivery(delivery))),
        }
    }

    /// What a queue should count for it, in bytes.
    pub(crate) fn size(&self) -> usize {
        match &self.0 {
            Kind::Delivery(delivery) => delivery.size(),
            Kind::Local(message) => size_of_val(&**message),
        }
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Delivery(delivery) => delivery.fmt(f),
            Kind::Local(_) => f.write_str("Local"),
        }
    }
}
