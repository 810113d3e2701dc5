//! What can go wrong between bytes and messages.

use thiserror::Error;

use crate::json::JsonError;

/// Why bytes from the peer could not become a [`Message`](crate::Message).
///
/// A server answers every one of these by closing the connection with 1011; a client passes over the frame.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A text frame holds no valid JSON.
    #[error("not valid JSON")]
    Json(#[from] JsonError),
    /// A V2 text frame is no array of at least five elements.
    #[error("not an array of at least five elements")]
    Shape,
    /// A V1 frame is no object.
    #[error("not an object")]
    NotAnObject,
    /// A V1 object or a reply lacks a required member.
    #[error("the member {0:?} is missing")]
    Missing(&'static str),
    /// A binary frame starts with a kind that the peer does not send.
    #[error("unknown kind {0} of binary frame")]
    UnknownKind(u8),
    /// A binary header announces more bytes than the frame holds.
    #[error("{field} needs {needed} bytes, {left} are left")]
    Truncated {
        /// The field that does not fit.
        field: &'static str,
        /// Its announced length in bytes.
        needed: usize,
        /// What the frame still holds, in bytes.
        left: usize,
    },
    /// A V1 frame was sent as binary and is no UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A name that a server sent is no text.
    #[error("{0} is not text")]
    NotText(&'static str),
}

/// Why a message could not be written for the peer.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A field of a binary frame has a one-byte length.
    #[error("{field} has {length} bytes, a binary frame allows 255")]
    FieldTooLong {
        /// The field that is too long.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// Version 1.0.0 has no binary frames.
    #[error("version 1.0.0 cannot carry a binary payload")]
    BinaryPayload,
    /// Pushes and broadcasts of version 2.0.0 carry an object.
    #[error("the payload of a push or broadcast must be a JSON object or binary")]
    NotAnObject,
    /// A ref that came in a binary frame is no UTF-8 and cannot stand in JSON.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// A ref that is neither text nor number cannot stand in a binary frame.
    #[error("{0} has no binary form")]
    NoBinaryForm(&'static str),
    /// Members were to be added to a payload that is no JSON object.
    #[error("members can be added to a JSON object only")]
    NoMembers,
    /// A member was to be added that the payload has already.
    #[error("the payload has a member {0:?} already")]
    MemberTaken(String),
    /// A value of the application could not be turned into JSON.
    #[error("the value cannot be written as JSON: {0}")]
    Serialize(String),
}

/// Why a payload did not become the type that was asked for.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum PayloadError {
    /// JSON was expected and bytes came.
    #[error("expected JSON, got binary")]
    Binary,
    /// Bytes were expected and JSON came.
    #[error("expected binary, got JSON")]
    Json,
    /// The JSON has another shape.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
}

/// Why a `vsn` parameter, of which the beginning is told, is refused.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VersionError {
    /// The text is no semantic version of three parts.
    #[error("{0:?} is not a version")]
    NotAVersion(String),
    /// No serializer of ours serves this version.
    #[error("version {0:?} is not supported, 1.0.x and 2.0.x are")]
    Unsupported(String),
}
