//! A message on its way to subscribers.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use thiserror::Error;

use crate::codec::{CodecError, Codecs};
use crate::pubsub::PubSubMessage;
use crate::reading::Place;

/// A message that was broadcast, and the topic it came on. Cheap to clone.
///
/// Within a process the value itself is shared. What came from another node is
/// decoded when somebody asks for it.
#[derive(Clone)]
pub struct Delivery(Arc<Inner>);

struct Inner {
    topic: Arc<str>,
    size: usize,
    place: Option<Place>,
    value: OnceLock<Box<dyn Any + Send + Sync>>,
    origin: Origin,
}

enum Origin {
    Here { type_name: &'static str, crossing: Result<(), CrossingError> },
    Elsewhere { type_name: Box<str>, bytes: Bytes, codecs: Arc<Codecs> },
}

/// Why a message stayed on this node. Subscribers on this node got it all the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CrossingError {
    /// The engine between the nodes does not carry messages of this size.
    #[error(
        "the message has {size} bytes and the link between the nodes carries {limit}: it stayed on this node"
    )]
    TooLarge {
        /// Bytes of the encoded message with its topic.
        size: usize,
        /// Bytes that the engine carries.
        limit: usize,
    },
    /// The message has no encoded form.
    #[error("the message cannot be encoded and stayed on this node: {0}")]
    NotEncodable(String),
}

impl From<CodecError> for CrossingError {
    fn from(error: CodecError) -> Self {
        CrossingError::NotEncodable(error.to_string())
    }
}

impl Delivery {
    /// A message that nobody broadcast, for those who hand one to a [`Subscriber`](crate::Subscriber) of their own.
    #[must_use]
    pub fn new<M: PubSubMessage>(topic: impl Into<Arc<str>>, message: M) -> Self {
        Delivery::local(topic.into(), message, Ok(()), None)
    }

    pub(crate) fn local<M: PubSubMessage>(
        topic: Arc<str>,
        message: M,
        crossing: Result<(), CrossingError>,
        place: Option<Place>,
    ) -> Self {
        Delivery(Arc::new(Inner {
            topic,
            size: size_of::<M>(),
            place,
            value: OnceLock::from(Box::new(message) as Box<dyn Any + Send + Sync>),
            origin: Origin::Here { type_name: std::any::type_name::<M>(), crossing },
        }))
    }

    pub(crate) fn remote(topic: Arc<str>, type_name: &str, bytes: Bytes, codecs: Arc<Codecs>) -> Self {
        Delivery(Arc::new(Inner {
            topic,
            size: bytes.len(),
            place: None,
            value: OnceLock::new(),
            origin: Origin::Elsewhere { type_name: type_name.into(), bytes, codecs },
        }))
    }

    /// The topic it was broadcast to.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The Rust type of the message, or what its codec calls it if it came from another node.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match &self.0.origin {
            Origin::Here { type_name, .. } => type_name,
            Origin::Elsewhere { type_name, .. } => type_name,
        }
    }

    /// Which one it is of those that tell how a state changes, if it is [counted](crate::Sequence).
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.0.place
    }

    /// Whether another node broadcast it.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self.0.origin, Origin::Elsewhere { .. })
    }

    /// Whether it was handed to the link to other nodes. It always is without a cluster, and for what was
    /// broadcast locally.
    ///
    /// A link that is down takes messages until its queue is full; what it loses is counted, and told to those who
    /// missed it as a [`Gap`](crate::Gap).
    ///
    /// # Errors
    ///
    /// [`CrossingError`] when other nodes do not get it.
    pub fn crossing(&self) -> Result<(), CrossingError> {
        match &self.0.origin {
            Origin::Here { crossing, .. } => crossing.clone(),
            Origin::Elsewhere { .. } => Ok(()),
        }
    }

    /// The message, if it is an `M`.
    #[must_use]
    pub fn get<M: PubSubMessage>(&self) -> Option<&M> {
        if let (None, Origin::Elsewhere { type_name, bytes, codecs }) = (self.0.value.get(), &self.0.origin) {
            let message = codecs.decode::<M>(type_name, bytes)?;
            self.0.value.get_or_init(|| message);
        }
        self.0.value.get()?.downcast_ref()
    }

    /// Bytes that a queue should count for it: the size of the value or of its encoded form.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Inner>() + self.0.size
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delivery({:?}, {})", self.topic(), self.type_name())
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::Codec;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Progress {
        percent: u8,
    }

    fn crossed<M: PubSubMessage>(message: &M, codecs: &Arc<Codecs>) -> Delivery {
        let mut bytes = Vec::new();
        let form = codecs.form::<M>();
        form.encode(message, &mut bytes).unwrap();
        Delivery::remote("t".into(), form.name(), bytes.into(), codecs.clone())
    }

    #[test]
    fn a_message_is_found_by_its_type_alone() {
        let delivery = Delivery::local("t".into(), Progress { percent: 7 }, Ok(()), None);
        assert_eq!(delivery.get(), Some(&Progress { percent: 7 }));
        assert_eq!(delivery.get::<String>(), None);
    }

    #[test]
    fn a_message_crosses_nodes_with_its_type() {
        let received = crossed(&Progress { percent: 7 }, &Arc::default());
        assert_eq!(received.get::<String>(), None);
        assert_eq!(received.get(), Some(&Progress { percent: 7 }));
        assert!(received.is_remote());
    }

    #[test]
    fn a_codec_takes_the_place_of_json_and_has_a_name_of_its_own() {
        let codecs = Arc::<Codecs>::default();
        codecs.register(Codec::<Progress> {
            name: "progress",
            encode: |progress, out| {
                out.push(progress.percent);
                Ok(())
            },
            decode: |bytes| Ok(Progress { percent: *bytes.first().ok_or("empty")? }),
        });
        let received = crossed(&Progress { percent: 7 }, &codecs);
        assert_eq!((received.type_name(), received.size() - size_of::<Inner>()), ("progress", 1));
        assert_eq!(received.get(), Some(&Progress { percent: 7 }));
        let empty = Delivery::remote("t".into(), "progress", Bytes::new(), codecs);
        assert_eq!(empty.get::<Progress>(), None);
    }

    #[test]
    fn json_of_another_shape_is_no_message() {
        let name = std::any::type_name::<Progress>();
        let bytes = Bytes::from_static(b"{\"percent\":300}");
        assert_eq!(Delivery::remote("t".into(), name, bytes, Arc::default()).get::<Progress>(), None);
    }
}
