//! A message on its way to subscribers.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use thiserror::Error;

use crate::pubsub::PubSubMessage;

/// A message that was broadcast, and the topic it came on. Cheap to clone.
///
/// Within a process the value itself is shared. Between processes it travels
/// as JSON, named by its Rust type, and is decoded when somebody asks for it.
#[derive(Clone)]
pub struct Delivery(Arc<Inner>);

struct Inner {
    topic: Arc<str>,
    type_name: Box<str>,
    size: usize,
    value: OnceLock<Box<dyn Any + Send + Sync>>,
    /// JSON of a value that came from elsewhere.
    json: Option<Box<[u8]>>,
    to_json: Option<ToJson>,
}

/// Writes a value that was made here.
type ToJson = fn(&(dyn Any + Send + Sync)) -> serde_json::Result<Vec<u8>>;

impl Delivery {
    pub(crate) fn local<M: PubSubMessage>(topic: Arc<str>, message: M) -> Self {
        Delivery(Arc::new(Inner {
            topic,
            type_name: std::any::type_name::<M>().into(),
            size: size_of::<M>(),
            value: OnceLock::from(Box::new(message) as Box<dyn Any + Send + Sync>),
            json: None,
            to_json: Some(to_json::<M>),
        }))
    }

    /// A message that another process sent, as [`encode`](Self::encode) wrote it.
    #[must_use]
    pub fn decode(topic: Arc<str>, type_name: &str, json: Vec<u8>) -> Self {
        Delivery(Arc::new(Inner {
            topic,
            type_name: type_name.into(),
            size: json.len(),
            value: OnceLock::new(),
            json: Some(json.into()),
            to_json: None,
        }))
    }

    /// The message as JSON, for another process.
    ///
    /// # Errors
    ///
    /// [`DeliveryError`] when the message has no JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, DeliveryError> {
        match (&self.0.json, self.0.to_json, self.0.value.get()) {
            (Some(json), _, _) => Ok(json.to_vec()),
            (None, Some(to_json), Some(value)) => to_json(&**value).map_err(DeliveryError),
            (None, _, _) => unreachable!("a delivery holds a value or its JSON"),
        }
    }

    /// The topic it was broadcast to.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The Rust type of the message; nodes must agree on it.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.0.type_name
    }

    /// The message, if it is an `M`.
    #[must_use]
    pub fn get<M: PubSubMessage>(&self) -> Option<&M> {
        if self.0.value.get().is_none() {
            self.decode_as::<M>();
        }
        self.0.value.get()?.downcast_ref()
    }

    /// Bytes that a queue should count for it: the size of the value or of its JSON.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Inner>() + self.0.size
    }

    /// Decodes a message from elsewhere, if it has this type; a wrong shape is no message of the type.
    fn decode_as<M: PubSubMessage>(&self) {
        let Some(json) = &self.0.json else { return };
        if *self.0.type_name != *std::any::type_name::<M>() {
            return;
        }
        if let Ok(message) = serde_json::from_slice::<M>(json) {
            self.0.value.get_or_init(|| Box::new(message));
        }
    }
}

fn to_json<M: PubSubMessage>(value: &(dyn Any + Send + Sync)) -> serde_json::Result<Vec<u8>> {
    let message: Option<&M> = value.downcast_ref();
    serde_json::to_vec(message.expect("made together with the value"))
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delivery({:?}, {})", self.topic(), self.type_name())
    }
}

/// Why a message cannot leave this process.
#[derive(Debug, Error)]
#[error("the message has no JSON form")]
pub struct DeliveryError(#[source] serde_json::Error);

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Progress {
        percent: u8,
    }

    #[test]
    fn a_message_is_found_by_its_type_alone() {
        let delivery = Delivery::local("t".into(), Progress { percent: 7 });
        assert_eq!(delivery.get(), Some(&Progress { percent: 7 }));
        assert_eq!(delivery.get::<String>(), None);
    }

    #[test]
    fn a_message_crosses_processes_with_its_type() {
        let sent = Delivery::local("t".into(), Progress { percent: 7 });
        let json = sent.encode().unwrap();
        let received = Delivery::decode("t".into(), sent.type_name(), json.clone());
        assert_eq!(received.get::<String>(), None);
        assert_eq!(received.get(), Some(&Progress { percent: 7 }));
        assert_eq!(received.encode().unwrap(), json);
    }

    #[test]
    fn json_of_another_shape_is_no_message() {
        let name = std::any::type_name::<Progress>();
        let received = Delivery::decode("t".into(), name, b"{\"percent\":300}".to_vec());
        assert_eq!(received.get::<Progress>(), None);
    }
}
