//! What types are on the wire.

use bennu_protocol::{EncodeError, Payload};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::rejection::{Rejection, parse};
use crate::schemas::Schemas;

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
    Json(serde_json::Value),
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
