//! What types are on the wire.

use std::collections::BTreeMap;

use bennu_protocol::{EncodeError, Payload};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::rejection::{Rejection, parse};
use crate::schemas::{Schemas, reference};

/// What can be read from a client's message: any type that derives serde's `Deserialize` and
/// schemars' `JsonSchema`, [`Binary`], or [`Empty`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the payload of a client's message",
    note = "derive serde's `Deserialize` and schemars' `JsonSchema` for it, or use `Binary` or `Empty`",
    note = "an event without a payload that waits for an answer is written `Event(Empty, Reply<T>)`"
)]
pub trait FromMessage: Sized {
    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] that names the field which is wrong.
    fn from_payload(payload: &Payload) -> Result<Self, Rejection>;

    /// What the contract says about it.
    fn shape(schemas: &mut Schemas) -> Shape;
}

/// What can be sent to a client: any type that derives serde's `Serialize` and schemars'
/// `JsonSchema`, [`Binary`], or [`Empty`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the payload of a message to a client",
    note = "derive serde's `Serialize` and schemars' `JsonSchema` for it, or use `Binary` or `Empty`"
)]
pub trait IntoMessage: Sized {
    /// Writes the payload.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Serialize`] when the value has no JSON form.
    fn into_payload(self) -> Result<Payload, EncodeError>;

    /// What the contract says about it.
    fn shape(schemas: &mut Schemas) -> Shape;
}

/// What a contract says about a payload; [`Schemas`] makes it for types.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// The object `{}`.
    Empty,
    /// Bytes.
    Binary,
    /// JSON, with its schema.
    Json(Value),
}

impl Shape {
    /// Whether version 2 of the protocol carries it in a push: it is bytes, or, as far as its schema tells, always an object.
    /// The same with more members, if it is JSON.
    pub(crate) fn with_members(self, members: Value) -> Self {
        match self.0 {
            Kind::Empty => Shape(Kind::Json(members)),
            Kind::Json(schema) => Shape(Kind::Json(json!({ "allOf": [schema, members] }))),
            Kind::Binary => self,
        }
    }

    pub(crate) fn is_object(&self, schemas: &BTreeMap<String, Value>) -> bool {
        match &self.0 {
            Kind::Empty | Kind::Binary => true,
            Kind::Json(schema) => is_object(schema, schemas),
        }
    }
}

fn is_object(schema: &Value, schemas: &BTreeMap<String, Value>) -> bool {
    if let Some(name) = reference(schema) {
        return schemas.get(&name).is_none_or(|schema| is_object(schema, schemas));
    }
    let parts = |key: &str| schema.get(key).and_then(Value::as_array);
    if let Some(values) = parts("enum") {
        return values.iter().all(Value::is_object);
    }
    if let Some(alternatives) = parts("oneOf").or_else(|| parts("anyOf")) {
        return alternatives.iter().all(|schema| is_object(schema, schemas));
    }
    if let Some(all) = parts("allOf").filter(|_| schema.get("type").is_none()) {
        return all.iter().all(|schema| is_object(schema, schemas));
    }
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().all(|kind| kind == "object"),
        Some(kind) => kind == "object",
        None => schema.get("const").is_none_or(Value::is_object),
    }
}

impl<T: DeserializeOwned + JsonSchema> FromMessage for T {
    fn from_payload(payload: &Payload) -> Result<Self, Rejection> {
        parse(payload)
    }

    fn shape(schemas: &mut Schemas) -> Shape {
        schemas.received::<T>()
    }
}

impl<T: Serialize + JsonSchema> IntoMessage for T {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        Payload::json(&self)
    }

    fn shape(schemas: &mut Schemas) -> Shape {
        schemas.sent::<T>()
    }
}

/// A payload of bytes, sent as a binary frame. Clients of version 1 cannot send or get it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Binary(pub Bytes);

impl FromMessage for Binary {
    fn from_payload(payload: &Payload) -> Result<Self, Rejection> {
        let bytes = payload.as_binary().cloned();
        bytes.map(Binary).ok_or_else(|| Rejection::invalid(Rejection::WHOLE, "expected binary, got JSON"))
    }

    fn shape(_: &mut Schemas) -> Shape {
        Shape(Kind::Binary)
    }
}

impl IntoMessage for Binary {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        Ok(Payload::binary(self.0))
    }

    fn shape(_: &mut Schemas) -> Shape {
        Shape(Kind::Binary)
    }
}

/// No payload: sent as `{}`, and whatever came is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Empty;

impl FromMessage for Empty {
    fn from_payload(_: &Payload) -> Result<Self, Rejection> {
        Ok(Empty)
    }

    fn shape(_: &mut Schemas) -> Shape {
        Shape(Kind::Empty)
    }
}

impl IntoMessage for Empty {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        Ok(Payload::empty())
    }

    fn shape(_: &mut Schemas) -> Shape {
        Shape(Kind::Empty)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_objects_and_bytes_can_be_pushed() {
        let schemas = BTreeMap::from([
            ("Message".to_owned(), json!({"type": "object", "properties": {"id": {"type": "integer"}}})),
            ("Role".to_owned(), json!({"enum": ["owner", "guest"]})),
        ]);
        for (schema, expected) in [
            (json!(true), true),
            (json!({"type": "object"}), true),
            (json!({"type": "string"}), false),
            (json!({"type": ["object", "null"]}), false),
            (json!({"type": "array", "items": {"type": "object"}}), false),
            (json!({"const": 1}), false),
            (json!({"$ref": "#/components/schemas/Message"}), true),
            (json!({"$ref": "#/components/schemas/Role"}), false),
            (json!({"oneOf": [{"$ref": "#/components/schemas/Message"}, {"type": "object"}]}), true),
            (json!({"anyOf": [{"$ref": "#/components/schemas/Message"}, {"type": "null"}]}), false),
        ] {
            assert_eq!(Shape(Kind::Json(schema.clone())).is_object(&schemas), expected, "{schema}");
        }
        assert!(Shape(Kind::Empty).is_object(&schemas) && Shape(Kind::Binary).is_object(&schemas));
    }
}
