//! What a message carries.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::{EncodeError, PayloadError};

/// The payload of a message: JSON text as it came or will go, or bytes.
///
/// A client's JSON is validated once and then carried as it is; it is parsed
/// only when a handler asks for a type, `serde_json::Value` included. So an object with one key twice keeps both,
/// and it is up to each receiver which of them counts; Phoenix keeps the first.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// Valid JSON text in UTF-8, any value.
    Json(Bytes),
    /// Bytes of a binary frame.
    Binary(Bytes),
}

impl Payload {
    /// The JSON object `{}`.
    #[must_use]
    pub fn empty() -> Self {
        Payload::Json(Bytes::from_static(b"{}"))
    }

    /// A value as JSON.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Serialize`] when the value has no JSON form.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        let text = serde_json::to_vec(value).map_err(|error| EncodeError::Serialize(error.to_string()))?;
        Ok(Payload::Json(text.into()))
    }

    /// Bytes, sent as a binary frame.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Payload::Binary(bytes.into())
    }

    /// Reads the JSON as a type of the application.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] when the payload is binary or has another shape.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        match self {
            Payload::Json(text) => Ok(serde_json::from_slice(text)?),
            Payload::Binary(_) => Err(PayloadError::Binary),
        }
    }

    /// The JSON text, if it is JSON.
    #[must_use]
    pub fn as_json(&self) -> Option<&[u8]> {
        match self {
            Payload::Json(text) => Some(text),
            Payload::Binary(_) => None,
        }
    }

    /// The bytes, if it is binary.
    #[must_use]
    pub fn as_binary(&self) -> Option<&Bytes> {
        match self {
            Payload::Json(_) => None,
            Payload::Binary(bytes) => Some(bytes),
        }
    }

    /// Whether this is the JSON value null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.as_json().is_some_and(|text| text.trim_ascii() == b"null")
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Payload::Json(bytes) | Payload::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes; JSON always has some.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn is_object(&self) -> bool {
        self.as_json().is_some_and(|text| text.trim_ascii_start().first() == Some(&b'{'))
    }
}

impl std::fmt::Debug for Payload {
    /// Shows kind and length: payloads may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Payload::Json(text) => write!(f, "Json({} bytes)", text.len()),
            Payload::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// What can be sent: a [`Payload`], or any value that serde can write as JSON.
///
/// `()` is sent as JSON null; use [`Payload::empty`] for `{}`.
pub trait IntoPayload {
    /// Makes the payload.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Serialize`] when the value has no JSON form.
    fn into_payload(self) -> Result<Payload, EncodeError>;
}

impl IntoPayload for Payload {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        Ok(self)
    }
}

impl IntoPayload for &Payload {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        Ok(self.clone())
    }
}

impl<T: Serialize> IntoPayload for T {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        Payload::json(&self)
    }
}

/// How a payload crosses nodes: serde cannot tell JSON text from bytes by itself.
#[derive(Serialize, Deserialize)]
enum Stored {
    Json(Box<RawValue>),
    Binary(Vec<u8>),
}

/// Writes a payload with any serde format; for `#[serde(with)]`.
pub(crate) fn serialize<S: Serializer>(payload: &Payload, serializer: S) -> Result<S::Ok, S::Error> {
    let stored = match payload {
        Payload::Json(text) => {
            let raw = serde_json::from_slice(text).map_err(serde::ser::Error::custom)?;
            Stored::Json(raw)
        }
        Payload::Binary(bytes) => Stored::Binary(bytes.to_vec()),
    };
    stored.serialize(serializer)
}

/// Reads what [`serialize`] wrote.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Json(raw) => Payload::Json(String::from(Box::<str>::from(raw)).into()),
        Stored::Binary(bytes) => Payload::Binary(bytes.into()),
    })
}
