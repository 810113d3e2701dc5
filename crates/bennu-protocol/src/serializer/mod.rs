//! From frames to messages and back, in the two versions of the protocol.

#[cfg(test)]
mod server_frames;
mod v1;
mod v2;

use std::ops::Range;

use crate::error::{DecodeError, EncodeError, VersionError};
use crate::event::Event;
use crate::frame::Frame;
use crate::incoming::{Data, Incoming};
use crate::json::{self, Scanner};
use crate::message::{Body, Message, NameRef, ServerMessage, Status, Text};
use crate::payload::Payload;
use crate::refs::Ref;

/// So many characters of a version that is refused are told.
const MAX_SHOWN: usize = 40;

/// A version of the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Serializer {
    /// `1.0.0`: JSON objects, text only.
    V1,
    /// `2.0.0`: JSON arrays, and binary frames for binary payloads.
    V2,
}

/// A reply on its way to a client.
pub(crate) struct ReplyParts<'a> {
    pub(crate) join_ref: Option<&'a Ref>,
    pub(crate) reference: Option<&'a Ref>,
    pub(crate) topic: NameRef<'a>,
    pub(crate) status: &'a Status,
    pub(crate) response: &'a Payload,
}

/// A client's message on its way to a server.
pub(crate) struct MessageParts<'a> {
    pub(crate) join_ref: Option<&'a Ref>,
    pub(crate) reference: Option<&'a Ref>,
    pub(crate) topic: NameRef<'a>,
    pub(crate) event: NameRef<'a>,
    pub(crate) payload: &'a Payload,
}

impl Serializer {
    pub(crate) const COUNT: usize = 2;

    /// Chooses the serializer for a client's `vsn`; a client that sends none speaks 1.0.0.
    ///
    /// # Errors
    ///
    /// [`VersionError`] when the text is no version or not `~> 1.0.0` or `~> 2.0.0`.
    pub fn negotiate(vsn: &str) -> Result<Self, VersionError> {
        // The text is a stranger's and goes into logs.
        let shown = || vsn.chars().take(MAX_SHOWN).collect();
        let version = Version::parse(vsn).ok_or_else(|| VersionError::NotAVersion(shown()))?;
        match version {
            Version { major: 1, minor: 0, before_first_patch: false } => Ok(Serializer::V1),
            Version { major: 2, minor: 0, before_first_patch: false } => Ok(Serializer::V2),
            _ => Err(VersionError::Unsupported(shown())),
        }
    }

    /// The version as text.
    #[must_use]
    pub fn vsn(self) -> &'static str {
        match self {
            Serializer::V1 => "1.0.0",
            Serializer::V2 => "2.0.0",
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Serializer::V1 => 0,
            Serializer::V2 => 1,
        }
    }

    /// Reads a client's frame.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the frame is no message; servers close with 1011.
    pub fn decode<'a>(self, message: impl Into<Incoming<'a>>) -> Result<Message, DecodeError> {
        let Incoming { kind, data } = message.into();
        match self {
            Serializer::V1 => v1::decode(&data),
            Serializer::V2 => v2::decode(kind, data),
        }
    }

    /// Writes a client's message. The frame has no WebSocket header, since that of a client holds its mask.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when this version cannot carry it.
    pub fn encode_message(self, message: &Message) -> Result<Frame, EncodeError> {
        let (join_ref, reference) = (message.join_ref.as_ref(), message.reference.as_ref());
        let (topic, event) = (message.topic.as_ref(), message.event.as_ref());
        let payload = &message.payload;
        self.encode_message_parts(&MessageParts { join_ref, reference, topic, event, payload })
    }

    pub(crate) fn encode_message_parts(self, message: &MessageParts<'_>) -> Result<Frame, EncodeError> {
        match self {
            Serializer::V1 => v1::encode_message(message),
            Serializer::V2 => v2::encode_message(message),
        }
    }

    /// Whether a client's message can be written, whatever its refs, if counters gave them.
    pub(crate) fn check_message(
        self,
        topic: &str,
        event: &str,
        payload: &Payload,
    ) -> Result<(), EncodeError> {
        match (self, payload) {
            (Serializer::V1, Payload::Binary(_)) => Err(EncodeError::BinaryPayload),
            (Serializer::V2, Payload::Binary(_)) => v2::check_fields(&[("topic", topic), ("event", event)]),
            (Serializer::V1 | Serializer::V2, Payload::Json(_)) => Ok(()),
        }
    }

    /// Reads a server's frame.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the frame is no message.
    pub fn decode_server<'a>(self, message: impl Into<Incoming<'a>>) -> Result<ServerMessage, DecodeError> {
        let Incoming { kind, data } = message.into();
        match self {
            Serializer::V1 => v1::decode_server(&data),
            Serializer::V2 => v2::decode_server(kind, data),
        }
    }

    /// Writes a push of a channel to its client.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when this version cannot carry it.
    pub fn encode_push(
        self,
        join_ref: Option<&Ref>,
        topic: &str,
        event: &str,
        payload: &Payload,
    ) -> Result<Frame, EncodeError> {
        match self {
            Serializer::V1 => v1::encode_event(None, topic, event, payload),
            Serializer::V2 => v2::encode_push(join_ref, topic, event, payload),
        }
    }

    /// Writes a broadcast, the same for all clients of this version.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when this version cannot carry it.
    pub fn encode_broadcast(self, topic: &str, event: &str, payload: &Payload) -> Result<Frame, EncodeError> {
        match self {
            Serializer::V1 => v1::encode_event(None, topic, event, payload),
            Serializer::V2 => v2::encode_broadcast(topic, event, payload),
        }
    }

    /// Writes the reply to one message.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when this version cannot carry it.
    pub fn encode_reply(
        self,
        join_ref: Option<&Ref>,
        reference: Option<&Ref>,
        topic: &str,
        status: &Status,
        response: &Payload,
    ) -> Result<Frame, EncodeError> {
        let topic = NameRef::Text(topic);
        self.encode_reply_parts(&ReplyParts { join_ref, reference, topic, status, response })
    }

    pub(crate) fn encode_reply_parts(self, reply: &ReplyParts<'_>) -> Result<Frame, EncodeError> {
        match self {
            Serializer::V1 => v1::encode_reply(reply),
            Serializer::V2 => v2::encode_reply(reply),
        }
    }

    /// Writes `phx_close` or `phx_error`: its ref is the join_ref of the channel that ended.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when this version cannot carry it.
    pub fn encode_end(
        self,
        join_ref: Option<&Ref>,
        topic: &str,
        event: &str,
        payload: &Payload,
    ) -> Result<Frame, EncodeError> {
        match self {
            Serializer::V1 => v1::encode_event(join_ref, topic, event, payload),
            Serializer::V2 => v2::encode_end(join_ref, topic, event, payload),
        }
    }
}

/// What a server's text says, given its event and where its payload stands.
fn body(data: &Data<'_>, text: &str, event: Text, payload: Range<usize>) -> Result<Body, DecodeError> {
    if event.as_str() != Event::Reply.as_str() {
        return Ok(Body::Event { event, payload: Payload::Json(data.part(payload)) });
    }
    let (status, response) = reply_members(text, payload)?;
    let status = v2::name(data, text, status).into_text("status")?;
    Ok(Body::Reply { status: Status::from(status.as_str()), response: Payload::Json(data.part(response)) })
}

/// Where status and response of a reply stand; of duplicates the first counts.
fn reply_members(text: &str, payload: Range<usize>) -> Result<(Range<usize>, Range<usize>), DecodeError> {
    let object = &text.as_bytes()[payload.clone()];
    let mut scanner = Scanner::new(object);
    if !scanner.eat(b'{') {
        return Err(DecodeError::Missing("status"));
    }
    scanner.enter();
    let (mut status, mut response) = (None, None);
    let mut more = !scanner.eat(b'}');
    while more {
        let (key, value) = scanner.member()?;
        let value = payload.start + value.start..payload.start + value.end;
        match &*json::decode_key(&object[key]) {
            "status" if status.is_none() => status = Some(value),
            "response" if response.is_none() => response = Some(value),
            _ => {}
        }
        more = scanner.eat(b',');
    }
    Ok((status.ok_or(DecodeError::Missing("status"))?, response.ok_or(DecodeError::Missing("response"))?))
}

/// The `join_ref` of a server's JSON; an empty one stands for none, as clients read it.
fn join_ref(raw: &str) -> Option<Ref> {
    (raw != r#""""#).then(|| Ref::from_json(raw)).flatten()
}

/// What of a semantic version decides.
struct Version {
    major: u64,
    minor: u64,
    /// A pre-release of patch 0, which comes before the requirement's lower end.
    before_first_patch: bool,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (text, build) = match text.split_once('+') {
            Some((text, build)) => (text, Some(build)),
            None => (text, None),
        };
        let (numbers, pre) = match text.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre)),
            None => (text, None),
        };
        if !build.is_none_or(is_dotted) || !pre.is_none_or(is_dotted) {
            return None;
        }
        let mut parts = numbers.split('.').map(number);
        let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
        if parts.next().is_some() {
            return None;
        }
        Some(Version { major, minor, before_first_patch: patch == 0 && pre.is_some() })
    }
}

fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

fn is_dotted(text: &str) -> bool {
    let identifier = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.split('.').all(identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_version_that_is_refused_little_is_told() {
        for vsn in ["9".repeat(60_000), "é\n".repeat(60_000), format!("2.1.0-{}", "a".repeat(60_000))] {
            let told = Serializer::negotiate(&vsn).unwrap_err().to_string();
            assert!(told.len() < 200 && !told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn versions_are_negotiated_as_phoenix_does() {
        use Serializer::{V1, V2};
        for (vsn, expected) in [
            ("1.0.0", Some(V1)),
            ("1.0.7", Some(V1)),
            ("2.0.0", Some(V2)),
            ("2.0.9", Some(V2)),
            ("2.0.0+x", Some(V2)),
            ("2.0.1-rc.1", Some(V2)),
            ("2.0.0 x", None),
            ("2.0.0-rc.1", None),
            ("2.1.0-dev", None),
            ("2.1.0", None),
            ("1.1.0", None),
            ("123.1.1", None),
            ("2.0", None),
            ("2.0.0.0", None),
            ("02.0.0", None),
            ("", None),
            ("x", None),
            ("2.0.0-", None),
            ("2.0.0+", None),
        ] {
            assert_eq!(Serializer::negotiate(vsn).ok(), expected, "{vsn:?}");
        }
    }
}
