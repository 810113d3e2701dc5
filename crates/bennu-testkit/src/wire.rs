//! The client's side of both versions of the wire format.

use bennu_protocol::websocket::{Item, Opcode};
use bennu_protocol::{Payload, Serializer};
use bytes::{Buf as _, Bytes};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::arrivals::Arrival;

/// A message to the server.
pub(crate) struct Outgoing<'a> {
    pub(crate) join_ref: Option<&'a str>,
    pub(crate) reference: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) event: &'a str,
    pub(crate) payload: &'a Payload,
}

#[derive(Serialize, Deserialize)]
struct Array<'a>(Option<String>, Option<String>, String, String, #[serde(borrow)] &'a RawValue);

#[derive(Serialize, Deserialize)]
struct Object<'a> {
    #[serde(default)]
    join_ref: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    topic: String,
    event: String,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Reply<'a> {
    status: String,
    #[serde(borrow)]
    response: &'a RawValue,
}

impl Outgoing<'_> {
    /// The frame's kind and content.
    ///
    /// # Panics
    ///
    /// When the version cannot carry it: bytes in version 1, or a name too long for a binary frame.
    pub(crate) fn encode(&self, serializer: Serializer) -> (Opcode, Vec<u8>) {
        let Payload::Json(text) = self.payload else {
            return (Opcode::Binary, self.encode_binary(serializer));
        };
        let payload = serde_json::from_slice::<&RawValue>(text).expect("a payload's JSON is valid");
        let (join_ref, reference) = (self.join_ref.map(str::to_owned), Some(self.reference.to_owned()));
        let (topic, event) = (self.topic.to_owned(), self.event.to_owned());
        let encoded = match serializer {
            Serializer::V1 => serde_json::to_vec(&Object { join_ref, reference, topic, event, payload }),
            Serializer::V2 => serde_json::to_vec(&Array(join_ref, reference, topic, event, payload)),
        };
        (Opcode::Text, encoded.expect("text and raw JSON have a JSON form"))
    }

    fn encode_binary(&self, serializer: Serializer) -> Vec<u8> {
        assert!(
            serializer == Serializer::V2,
            "version 1 carries no bytes; connect with version 2 to push them"
        );
        let fields = [self.join_ref.unwrap_or_default(), self.reference, self.topic, self.event];
        let mut frame = vec![binary::PUSH];
        for field in fields {
            frame.push(u8::try_from(field.len()).expect("names in a binary push have at most 255 bytes"));
        }
        fields.into_iter().for_each(|field| frame.extend_from_slice(field.as_bytes()));
        frame.extend_from_slice(self.payload.as_binary().expect("asked for by encode"));
        frame
    }
}

/// First bytes of the server's binary frames.
mod binary {
    pub(super) const PUSH: u8 = 0;
    pub(super) const REPLY: u8 = 1;
    pub(super) const BROADCAST: u8 = 2;
}

/// What a frame of the server says; `None` for WebSocket's own frames.
pub(crate) fn decode(serializer: Serializer, item: &Item) -> Option<Arrival> {
    let decoded = match (item, serializer) {
        (Item::Text(text), Serializer::V1) => decode_v1(text),
        (Item::Text(text), Serializer::V2) => decode_v2(text),
        (Item::Binary(bytes), _) => {
            decode_binary(bytes.clone()).ok_or_else(|| "no known binary frame".to_owned())
        }
        (Item::Ping(_) | Item::Pong(_) | Item::Close(_), _) => return None,
    };
    Some(decoded.unwrap_or_else(|error| Arrival::Unreadable(format!("{item:?}: {error}"))))
}

fn decode_v1(text: &[u8]) -> Result<Arrival, String> {
    let object: Object<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let Object { join_ref, reference, topic, event, payload } = object;
    arrival(Array(join_ref, reference, topic, event, payload))
}

fn decode_v2(text: &[u8]) -> Result<Arrival, String> {
    arrival(serde_json::from_slice(text).map_err(|error| error.to_string())?)
}

fn arrival(Array(join_ref, reference, topic, event, payload): Array<'_>) -> Result<Arrival, String> {
    if event != "phx_reply" {
        return Ok(Arrival::Push { join_ref, topic, event, payload: json(payload) });
    }
    let reply: Reply<'_> = serde_json::from_str(payload.get()).map_err(|error| error.to_string())?;
    Ok(Arrival::Reply {
        reference: reference.unwrap_or_default(),
        topic,
        status: reply.status,
        response: json(reply.response),
    })
}

fn json(raw: &RawValue) -> Payload {
    Payload::Json(raw.get().to_owned().into())
}

fn decode_binary(mut frame: Bytes) -> Option<Arrival> {
    let kind = frame.try_get_u8().ok()?;
    let fields = match kind {
        binary::PUSH => 3,
        binary::REPLY => 4,
        binary::BROADCAST => 2,
        _ => return None,
    };
    let lengths: Vec<usize> =
        (0..fields).map(|_| frame.try_get_u8().ok().map(usize::from)).collect::<Option<_>>()?;
    let mut field = |length: usize| {
        let field = (length <= frame.len()).then(|| frame.split_to(length))?;
        String::from_utf8(field.to_vec()).ok()
    };
    let fields: Vec<String> = lengths.into_iter().map(&mut field).collect::<Option<_>>()?;
    let payload = Payload::Binary(frame);
    let arrival = match <[String; 4]>::try_from(fields) {
        Ok([_, reference, topic, status]) => Arrival::Reply { reference, topic, status, response: payload },
        Err(mut fields) => {
            let (event, topic) = (fields.pop()?, fields.pop()?);
            Arrival::Push { join_ref: fields.pop(), topic, event, payload }
        }
    };
    Some(arrival)
}
