//! Version 1.0.0: one JSON object per message.

use std::ops::Range;

use bytes::Bytes;

use super::{MessageParts, ReplyParts};
use crate::error::{DecodeError, EncodeError};
use crate::event::Event;
use crate::frame::{Frame, FrameBuilder, FrameKind};
use crate::incoming::Data;
use crate::json::{self, Scanner};
use crate::message::{Body, Message, ServerMessage};
use crate::payload::Payload;
use crate::refs::{self, Ref};

/// The members of the object, each as the range of its raw value.
#[derive(Default)]
struct Members {
    topic: Option<Range<usize>>,
    event: Option<Range<usize>>,
    payload: Option<Range<usize>>,
    reference: Option<Range<usize>>,
    join_ref: Option<Range<usize>>,
}

/// Reads a frame; its opcode does not matter.
pub(super) fn decode(data: &Data<'_>) -> Result<Message, DecodeError> {
    let text = simdutf8::basic::from_utf8(data).map_err(|_| DecodeError::NotUtf8)?;
    let members = members(text)?;
    let required = |range: Option<Range<usize>>, name| range.ok_or(DecodeError::Missing(name));
    let topic = required(members.topic, "topic")?;
    let event = required(members.event, "event")?;
    let payload = required(members.payload, "payload")?;
    let reference = required(members.reference, "ref")?;
    Ok(Message {
        join_ref: members.join_ref.and_then(|range| Ref::from_json(&text[range])),
        reference: Ref::from_json(&text[reference]),
        topic: super::v2::name(data, text, topic),
        event: super::v2::name(data, text, event),
        payload: Payload::Json(data.part(payload)),
    })
}

/// Reads a server's frame; its opcode does not matter.
pub(super) fn decode_server(data: &Data<'_>) -> Result<ServerMessage, DecodeError> {
    let text = simdutf8::basic::from_utf8(data).map_err(|_| DecodeError::NotUtf8)?;
    let members = members(text)?;
    let required = |range: Option<Range<usize>>, name| range.ok_or(DecodeError::Missing(name));
    let topic = super::v2::name(data, text, required(members.topic, "topic")?).into_text("topic")?;
    let event = super::v2::name(data, text, required(members.event, "event")?).into_text("event")?;
    let body = super::body(data, text, event, required(members.payload, "payload")?)?;
    let reference = required(members.reference, "ref")?;
    // An end says with its ref which join it ends; nothing else of this version does.
    let join_ref = if is_end(&body) { Some(reference.clone()) } else { members.join_ref };
    Ok(ServerMessage {
        join_ref: join_ref.and_then(|range| super::join_ref(&text[range])),
        reference: Ref::from_json(&text[reference]),
        topic,
        body,
    })
}

fn is_end(body: &Body) -> bool {
    match body {
        Body::Event { event, .. } => {
            matches!(Event::reserved(event.as_str()), Some(Event::Close | Event::Error))
        }
        Body::Reply { .. } => false,
    }
}

fn members(text: &str) -> Result<Members, DecodeError> {
    let mut scanner = Scanner::new(text.as_bytes());
    if !scanner.eat(b'{') {
        // Telling a wrong shape from no JSON at all costs only those who send it.
        json::validate(text)?;
        return Err(DecodeError::NotAnObject);
    }
    scanner.enter();
    let mut members = Members::default();
    if !scanner.eat(b'}') {
        loop {
            let (key, value) = scanner.member()?;
            members.set(&text[key], value);
            if !scanner.eat(b',') {
                break;
            }
        }
        scanner.expect(b'}')?;
    }
    scanner.leave();
    scanner.end()?;
    Ok(members)
}

impl Members {
    /// Keeps a member that has a meaning; of duplicates the first counts.
    fn set(&mut self, key: &str, value: Range<usize>) {
        let unescaped;
        let key = match key.contains('\\') {
            false => key.trim_matches('"'),
            true => {
                unescaped = serde_json::from_str::<String>(key).unwrap_or_default();
                &unescaped
            }
        };
        let member = match key {
            "topic" => &mut self.topic,
            "event" => &mut self.event,
            "payload" => &mut self.payload,
            "ref" => &mut self.reference,
            "join_ref" => &mut self.join_ref,
            _ => return,
        };
        member.get_or_insert(value);
    }
}

/// What a client sends. A `join_ref` is no part of the version's first days, but servers that know none pass over it,
/// and those that do name the join that ended only if its message had one.
pub(super) fn encode_message(message: &MessageParts<'_>) -> Result<Frame, EncodeError> {
    let payload = json_of(message.payload)?;
    let names = message.topic.len() + message.event.len();
    let mut out = Vec::with_capacity(payload.len() + names + 80);
    out.extend_from_slice(br#"{"topic":"#);
    super::v2::write_name(&mut out, message.topic, "topic")?;
    out.extend_from_slice(br#","event":"#);
    super::v2::write_name(&mut out, message.event, "event")?;
    out.extend_from_slice(br#","payload":"#);
    out.extend_from_slice(payload);
    out.extend_from_slice(br#","ref":"#);
    refs::write_json(&mut out, message.reference, "ref")?;
    if message.join_ref.is_some() {
        out.extend_from_slice(br#","join_ref":"#);
        refs::write_json(&mut out, message.join_ref, "join_ref")?;
    }
    out.push(b'}');
    Ok(Frame::text(out))
}

/// A push, broadcast, close or crash: they differ in the ref alone.
pub(super) fn encode_event(
    reference: Option<&Ref>,
    topic: &str,
    event: &str,
    payload: &Payload,
) -> Result<Frame, EncodeError> {
    let payload = json_of(payload)?;
    let mut frame = FrameBuilder::with_capacity(payload.len() + topic.len() + event.len() + 56);
    let out = frame.payload();
    out.extend_from_slice(br#"{"event":"#);
    json::write_string(out, event);
    out.extend_from_slice(br#","payload":"#);
    out.extend_from_slice(payload);
    out.extend_from_slice(br#","ref":"#);
    refs::write_json(out, reference, "ref")?;
    out.extend_from_slice(br#","topic":"#);
    json::write_string(out, topic);
    out.push(b'}');
    Ok(frame.finish(FrameKind::Text))
}

pub(super) fn encode_reply(reply: &ReplyParts<'_>) -> Result<Frame, EncodeError> {
    let response = json_of(reply.response)?;
    let mut frame = FrameBuilder::with_capacity(response.len() + 128);
    let out = frame.payload();
    out.extend_from_slice(br#"{"event":"phx_reply","payload":{"response":"#);
    out.extend_from_slice(response);
    out.extend_from_slice(br#","status":"#);
    json::write_string(out, reply.status.as_str());
    out.extend_from_slice(br#"},"ref":"#);
    refs::write_json(out, reply.reference, "ref")?;
    out.extend_from_slice(br#","topic":"#);
    super::v2::write_name(out, reply.topic, "topic")?;
    out.push(b'}');
    Ok(frame.finish(FrameKind::Text))
}

fn json_of(payload: &Payload) -> Result<&Bytes, EncodeError> {
    match payload {
        Payload::Json(text) => Ok(text),
        Payload::Binary(_) => Err(EncodeError::BinaryPayload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::NameRef;
    use crate::message::{Name, Status};

    fn decode_text(text: &str) -> Result<Message, DecodeError> {
        decode(&Data::Here(text.as_bytes()))
    }

    #[test]
    fn objects_become_messages() {
        let message =
            decode_text(r#" {"topic":"room:a","event":"phx_join","payload":{"a":[1]},"ref":"1","x":0} "#)
                .unwrap();
        assert_eq!(message.join_ref, None);
        assert_eq!(message.reference, Some(Ref::from_text("1")));
        assert_eq!(message.topic, Name::from("room:a"));
        assert_eq!(message.event, Name::from("phx_join"));
        assert_eq!(message.payload, Payload::Json(r#"{"a":[1]}"#.into()));
    }

    #[test]
    fn the_first_of_duplicate_members_wins_also_when_its_name_is_escaped() {
        let message =
            decode_text(r#"{"t\u006fpic":"a","topic":"b","event":"e","payload":null,"ref":null}"#).unwrap();
        assert_eq!(message.topic, Name::from("a"));
        assert!(message.payload.is_null());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (text, error) in [
            (r#"{"topic":"a","event":"e","payload":{}}"#, Some(DecodeError::Missing("ref"))),
            (r#"{"topic":"a","event":"e","ref":null}"#, Some(DecodeError::Missing("payload"))),
            ("{}", Some(DecodeError::Missing("topic"))),
            ("[]", Some(DecodeError::NotAnObject)),
            ("5", Some(DecodeError::NotAnObject)),
            ("nope", None),
            (r#"{"topic":"a","event":"e","payload":{},"ref":"1"} x"#, None),
            (r#"{"topic":"a","event":"e","payload":{},"ref":"1""#, None),
            ("", None),
        ] {
            let refused = decode_text(text).unwrap_err();
            assert!(error.is_none_or(|error| error == refused), "{text}: {refused}");
        }
        assert_eq!(decode(&Data::Here(&[0xff])), Err(DecodeError::NotUtf8));
    }

    #[test]
    fn frames_have_four_members_and_never_a_join_ref() {
        let frame = encode_event(None, "room:a", "msg", &Payload::json("x").unwrap()).unwrap();
        assert_eq!(frame.payload(), r#"{"event":"msg","payload":"x","ref":null,"topic":"room:a"}"#);
        let reply = ReplyParts {
            join_ref: Some(&Ref::from_text("1")),
            reference: Some(&Ref::from_text("2")),
            topic: NameRef::Text("room:a"),
            status: &Status::Ok,
            response: &Payload::empty(),
        };
        assert_eq!(
            encode_reply(&reply).unwrap().payload(),
            r#"{"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"2","topic":"room:a"}"#
        );
    }

    #[test]
    fn binary_payloads_have_no_form() {
        let refused = encode_event(None, "a", "b", &Payload::binary(vec![1]));
        assert_eq!(refused, Err(EncodeError::BinaryPayload));
    }
}
