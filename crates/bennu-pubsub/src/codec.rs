//! How messages of a type are written for other nodes.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::pubsub::PubSubMessage;

/// Why a message cannot be written or read.
pub type CodecError = Box<dyn Error + Send + Sync>;

/// How messages of type `M` cross to other nodes, in place of JSON; see [`PubSub::register_codec`](crate::PubSub::register_codec).
pub struct Codec<M> {
    /// What the type is called between nodes, at most 255 bytes. A shape that older nodes cannot read is a new name.
    pub name: &'static str,
    /// Writes a message behind what is there.
    pub encode: fn(&M, &mut Vec<u8>) -> Result<(), CodecError>,
    /// Reads what `encode` wrote on another node, perhaps one of another version.
    pub decode: fn(Bytes) -> Result<M, CodecError>,
}

impl<M> fmt::Debug for Codec<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", self.name)
    }
}

/// The codecs of a PubSub.
#[derive(Default)]
pub(crate) struct Codecs(RwLock<HashMap<TypeId, Arc<Entry>>>);

struct Entry {
    name: &'static str,
    encode: Box<Encode>,
    decode: Box<Decode>,
}

type Message = dyn Any + Send + Sync;
type Encode = dyn Fn(&dyn Any, &mut Vec<u8>) -> Result<(), CodecError> + Send + Sync;
type Decode = dyn Fn(Bytes) -> Result<Box<Message>, CodecError> + Send + Sync;

impl Codecs {
    pub(crate) fn register<M: PubSubMessage>(&self, codec: Codec<M>) {
        let Codec { name, encode, decode } = codec;
        let entry = Entry {
            name,
            encode: Box::new(move |message, out| {
                let message = message.downcast_ref::<M>().ok_or("the codec is of another type")?;
                encode(message, out)
            }),
            decode: Box::new(move |bytes| Ok(Box::new(decode(bytes)?))),
        };
        self.0.write().insert(TypeId::of::<M>(), Arc::new(entry));
    }

    /// How messages of this type cross.
    pub(crate) fn form<M: PubSubMessage>(&self) -> Form<M> {
        Form { entry: self.entry::<M>(), of: PhantomData }
    }

    /// Reads a message, if it is an `M`: what has the shape of another one is none.
    pub(crate) fn decode<M: PubSubMessage>(&self, name: &str, bytes: &Bytes) -> Option<Box<Message>> {
        let decoded = match self.entry::<M>() {
            Some(entry) if entry.name == name => (entry.decode)(bytes.clone()),
            None if std::any::type_name::<M>() == name => read_json::<M>(bytes),
            Some(_) | None => return None,
        };
        decoded
            .inspect_err(|error| tracing::debug!(name, %error, "a message of another node is unreadable"))
            .ok()
    }

    fn entry<M: PubSubMessage>(&self) -> Option<Arc<Entry>> {
        self.0.read().get(&TypeId::of::<M>()).cloned()
    }
}

/// How messages of one type are written, and what they are called between nodes.
pub(crate) struct Form<M> {
    entry: Option<Arc<Entry>>,
    of: PhantomData<M>,
}

impl<M: PubSubMessage> Form<M> {
    pub(crate) fn name(&self) -> &'static str {
        self.entry.as_ref().map_or(std::any::type_name::<M>(), |entry| entry.name)
    }

    pub(crate) fn encode(&self, message: &M, out: &mut Vec<u8>) -> Result<(), CodecError> {
        match &self.entry {
            Some(entry) => (entry.encode)(message, out),
            None => Ok(serde_json::to_writer(out, message)?),
        }
    }
}

fn read_json<M: PubSubMessage>(bytes: &[u8]) -> Result<Box<Message>, CodecError> {
    Ok(Box::new(serde_json::from_slice::<M>(bytes)?))
}
