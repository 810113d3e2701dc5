//! What a message carries.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::{EncodeError, PayloadError};
use crate::json::{self, JsonError};

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

    /// This object with the members of another one behind its own.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoMembers`] when this is no JSON object, [`EncodeError::MemberTaken`] when
    /// it has one of the members already, [`EncodeError::Serialize`] when `members` is no object.
    pub fn with_members<T: Serialize + ?Sized>(&self, members: &T) -> Result<Self, EncodeError> {
        let added = Payload::json(members)?;
        let Payload::Json(own) = self else { return Err(EncodeError::NoMembers) };
        if !self.is_object() {
            return Err(EncodeError::NoMembers);
        }
        let added = added.as_json().unwrap_or_default();
        let unwritable = |error: JsonError| EncodeError::Serialize(error.to_string());
        let own_keys = json::keys(own).map_err(unwritable)?;
        let added_keys = json::keys(added).map_err(unwritable)?;
        if let Some(taken) = added_keys.iter().find(|key| own_keys.contains(key)) {
            return Err(EncodeError::MemberTaken(taken.to_string()));
        }
        let own = own.trim_ascii();
        let mut text = Vec::with_capacity(own.len() + added.len());
        text.extend_from_slice(&own[..own.len() - 1]);
        if !own_keys.is_empty() && !added_keys.is_empty() {
            text.push(b',');
        }
        text.extend_from_slice(&added[1..]);
        Ok(Payload::Json(text.into()))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn members_are_added_to_objects_that_lack_them() {
        use EncodeError::{MemberTaken, NoMembers};

        let json = |text: &'static str| Payload::Json(text.into());
        let taken = Err(MemberTaken("n".to_owned()));
        for (name, payload, members, expected) in [
            ("empty", json("{}"), json!({"n": 1}), Ok(r#"{"n":1}"#)),
            ("whitespace", json(" { } "), json!({"n": 1}), Ok(r#"{ "n":1}"#)),
            ("behind others", json(r#"{"a":[{"n":2}]}"#), json!({"n": 1}), Ok(r#"{"a":[{"n":2}],"n":1}"#)),
            ("two at once", json(r#"{"a":{}}"#), json!({"m": 0, "n": 1}), Ok(r#"{"a":{},"m":0,"n":1}"#)),
            ("none", json(r#"{"a":{}}"#), json!({}), Ok(r#"{"a":{}}"#)),
            ("taken", json(r#"{"a":1,"n":2}"#), json!({"n": 1}), taken.clone()),
            ("taken and escaped", json(r#"{"\u006e":2}"#), json!({"n": 1}), taken),
            ("an array", json("[]"), json!({"n": 1}), Err(NoMembers)),
            ("null", json("null"), json!({"n": 1}), Err(NoMembers)),
            ("bytes", Payload::binary(b"{}".to_vec()), json!({"n": 1}), Err(NoMembers)),
        ] {
            let added = payload.with_members(&members);
            let text = added.as_ref().map(|payload| payload.as_json().unwrap());
            assert_eq!(text, expected.as_ref().map(|text| text.as_bytes()), "{name}");
            if let Ok(added) = &added {
                added.parse::<Value>().unwrap();
            }
        }
        assert!(json("{}").with_members(&1).is_err(), "members must be an object");
    }
}
