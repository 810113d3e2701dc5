//! Messages as an application holds them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bennu_protocol::client::Push;
use bennu_protocol::{
    Body, DecodeError, EncodeError, Event, Frame, Incoming, IntoPayload, Name, Payload, Ref, Serializer,
    ServerMessage, Status, Topic, VersionError,
};

/// One message, to a server or from it.
///
/// What is sent needs no refs: the socket gives them. Whoever speaks the protocol by hand gives their own:
///
/// ```
/// use bennu_client::Message;
/// use serde_json::json;
///
/// let serializer = Message::serializer("2.0.0")?;
/// let reference = Message::generate_ref();
/// let join = Message::join("rooms:lobby", json!({"user_id": 123}))?
///     .with_reference(reference.clone())
///     .with_join_ref(reference);
/// let frame = join.encode(serializer)?;
/// assert_eq!(Message::decode_client(serializer, frame)?, join);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "Phoenix.SocketClient.Message")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Where it goes or comes from.
    pub topic: Topic,
    /// What it asks for or says.
    pub event: Event,
    /// What it carries; of a reply, its response.
    pub payload: Payload,
    /// Its ref, which its reply has as well.
    #[doc(alias = "ref")]
    pub reference: Option<Ref>,
    /// Ref of the join that it belongs to.
    pub join_ref: Option<Ref>,
    /// What a reply says about its success; none in all but replies.
    pub status: Option<Status>,
}

impl Message {
    /// A message with a payload that is made already, without refs.
    #[must_use]
    pub fn new(topic: impl Into<Topic>, event: impl Into<Event>, payload: Payload) -> Self {
        let (topic, event) = (topic.into(), event.into());
        Message { topic, event, payload, reference: None, join_ref: None, status: None }
    }

    /// Asks to join a topic. `()` stands for no params, which are sent as `{}`.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Serialize`] when the params have no JSON form.
    pub fn join(topic: impl Into<Topic>, params: impl IntoPayload) -> Result<Self, EncodeError> {
        Ok(Message::new(topic, Event::Join, object(params)?))
    }

    /// Asks to leave a topic.
    #[must_use]
    pub fn leave(topic: impl Into<Topic>) -> Self {
        Message::new(topic, Event::Leave, Payload::empty())
    }

    /// Carries a payload to a topic. Any value that serde can write will do, or a [`Payload`] with the JSON text that
    /// another library has written; `()` is sent as `{}`.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Serialize`] when the payload has no JSON form.
    pub fn push(
        topic: impl Into<Topic>,
        event: impl Into<Event>,
        payload: impl IntoPayload,
    ) -> Result<Self, EncodeError> {
        Ok(Message::new(topic, event, object(payload)?))
    }

    /// This message with a ref.
    #[must_use]
    pub fn with_reference(mut self, reference: Ref) -> Self {
        self.reference = Some(reference);
        self
    }

    /// This message, belonging to the join with that ref.
    #[must_use]
    pub fn with_join_ref(mut self, join_ref: Ref) -> Self {
        self.join_ref = Some(join_ref);
        self
    }

    /// A ref that this process gives only once, whatever its sockets do: text that begins with `m`, while sockets count
    /// theirs in digits.
    #[must_use]
    pub fn generate_ref() -> Ref {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        Ref::from_text(&format!("m{number}"))
    }

    /// The serializer of a protocol version: `"2.0.0"`, or `"1.0.0"`, which is deprecated; the first use of that in a
    /// process is warned about. Patch versions of both are taken, as servers take them.
    ///
    /// # Errors
    ///
    /// [`VersionError`] when there is none for this version.
    #[doc(alias = "vsn")]
    pub fn serializer(vsn: &str) -> Result<Serializer, VersionError> {
        static V1_USED: Deprecation = Deprecation::new();
        let serializer = Serializer::negotiate(vsn)?;
        match serializer {
            Serializer::V1 => V1_USED.warn_once(),
            Serializer::V2 => {}
        }
        Ok(serializer)
    }

    /// Writes the frame of this message: a reply as a server does, all others as a client does.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when this version cannot carry it.
    #[doc(alias = "encode!")]
    pub fn encode(&self, serializer: Serializer) -> Result<Frame, EncodeError> {
        let (join_ref, reference) = (self.join_ref.as_ref(), self.reference.as_ref());
        if let Some(status) = &self.status {
            return serializer.encode_reply(join_ref, reference, &self.topic, status, &self.payload);
        }
        serializer.encode_message(&bennu_protocol::Message {
            join_ref: self.join_ref.clone(),
            reference: self.reference.clone(),
            topic: Name::from(self.topic.as_str()),
            event: Name::from(self.event.as_str()),
            payload: self.payload.clone(),
        })
    }

    /// Reads a frame that a server wrote.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is no message.
    #[doc(alias = "decode!")]
    pub fn decode<'a>(serializer: Serializer, frame: impl Into<Incoming<'a>>) -> Result<Self, DecodeError> {
        serializer.decode_server(frame).map(Message::from)
    }

    /// Reads a frame that a client wrote. In text frames the two look alike; binary ones have other headers.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is no message, or one whose topic or event is no text.
    pub fn decode_client<'a>(
        serializer: Serializer,
        frame: impl Into<Incoming<'a>>,
    ) -> Result<Self, DecodeError> {
        let bennu_protocol::Message { join_ref, reference, topic, event, payload } =
            serializer.decode(frame)?;
        let topic = topic.as_text().ok_or(DecodeError::NotText("topic"))?;
        let event = event.as_text().ok_or(DecodeError::NotText("event"))?;
        Ok(Message { reference, join_ref, ..Message::new(topic, event, payload) })
    }
}

impl From<ServerMessage> for Message {
    fn from(message: ServerMessage) -> Self {
        let ServerMessage { join_ref, reference, topic, body } = message;
        let (event, payload, status) = match body {
            Body::Event { event, payload } => (Event::from(event.as_str()), payload, None),
            Body::Reply { status, response } => (Event::Reply, response, Some(status)),
        };
        Message { reference, join_ref, status, ..Message::new(topic.as_str(), event, payload) }
    }
}

impl From<Message> for Push {
    /// What a socket sends of it, under a ref of its own.
    fn from(message: Message) -> Self {
        Push::new(message.event, message.payload)
    }
}

/// A payload in which nothing is an empty object, as joins and pushes carry objects.
fn object(payload: impl IntoPayload) -> Result<Payload, EncodeError> {
    let payload = payload.into_payload()?;
    Ok(if payload.is_null() { Payload::empty() } else { payload })
}

/// The use of something deprecated, which is warned about once.
struct Deprecation(AtomicBool);

impl Deprecation {
    const fn new() -> Self {
        Deprecation(AtomicBool::new(false))
    }

    fn warn_once(&self) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!("version 1.0.0 of the protocol is deprecated, use \"2.0.0\"");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn version_1_is_warned_about_once() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let deprecation = Deprecation::new();
            deprecation.warn_once();
            deprecation.warn_once();
        });
        let written = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.matches("1.0.0 of the protocol is deprecated").count(), 1, "{written}");
        assert!(written.contains("WARN"), "{written}");
    }
}
