//! Version 2.0.0: one JSON array per message, and a binary layout for bytes.

use std::ops::Range;

use bytes::{Buf, Bytes};

use super::{MessageParts, ReplyParts};
use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, FrameBuilder, FrameKind};
use crate::incoming::Data;
use crate::json::{self, Scanner};
use crate::message::{Body, Message, Name, NameRef, ServerMessage, Status, Text};
use crate::payload::Payload;
use crate::refs::{self, Ref};

/// First byte of a binary frame.
mod kind {
    pub(super) const PUSH: u8 = 0;
    pub(super) const REPLY: u8 = 1;
    pub(super) const BROADCAST: u8 = 2;
}

pub(super) fn decode(kind: FrameKind, data: Data<'_>) -> Result<Message, DecodeError> {
    match kind {
        FrameKind::Text => decode_text(&data),
        FrameKind::Binary => decode_binary(&data),
    }
}

fn decode_text(data: &Data<'_>) -> Result<Message, DecodeError> {
    let text = simdutf8::basic::from_utf8(data).map_err(|_| DecodeError::NotUtf8)?;
    let [join_ref, reference, topic, event, payload] = elements(text)?;
    Ok(Message {
        join_ref: Ref::from_json(&text[join_ref]),
        reference: Ref::from_json(&text[reference]),
        topic: name(data, text, topic),
        event: name(data, text, event),
        payload: Payload::Json(data.part(payload)),
    })
}

/// Where the first five elements stand; more are allowed and ignored, but must be JSON.
fn elements(text: &str) -> Result<[Range<usize>; 5], DecodeError> {
    let mut scanner = Scanner::new(text.as_bytes());
    if !scanner.eat(b'[') {
        // Telling a wrong shape from no JSON at all costs only those who send it.
        json::validate(text)?;
        return Err(DecodeError::Shape);
    }
    scanner.enter();
    let mut ranges = [const { 0..0 }; 5];
    let mut count = 0;
    if !scanner.eat(b']') {
        loop {
            let range = scanner.value()?;
            if let Some(slot) = ranges.get_mut(count) {
                *slot = range;
            }
            count += 1;
            if !scanner.eat(b',') {
                break;
            }
        }
        scanner.expect(b']')?;
    }
    scanner.leave();
    scanner.end()?;
    match count {
        0..5 => Err(DecodeError::Shape),
        _ => Ok(ranges),
    }
}

/// A topic or event out of a validated JSON value.
pub(super) fn name(data: &Data<'_>, text: &str, range: Range<usize>) -> Name {
    let raw = &text[range.clone()];
    let unquoted = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    if let Some(plain) = unquoted.filter(|text| json::is_plain(text)) {
        return Name::from(plain);
    }
    let unescaped = unquoted.and_then(|_| serde_json::from_str::<String>(raw).ok());
    unescaped.map_or_else(|| Name::Other(data.part(range)), |text| Name::from(&*text))
}

/// `kind, join_ref_len, ref_len, topic_len, event_len`, the fields, then the payload.
fn decode_binary(data: &Data<'_>) -> Result<Message, DecodeError> {
    let (lengths, mut rest) = match &data[..] {
        [kind::PUSH, join_ref, reference, topic, event, rest @ ..] => {
            ([join_ref, reference, topic, event], rest)
        }
        [kind::PUSH, ..] | [] => return Err(truncated("header", 5, data.len())),
        [other, ..] => return Err(DecodeError::UnknownKind(*other)),
    };
    let [join_ref, reference, topic, event] = lengths;
    Ok(Message {
        join_ref: Some(Ref::from_binary(field(&mut rest, "join_ref", *join_ref)?)),
        reference: Some(Ref::from_binary(field(&mut rest, "ref", *reference)?)),
        topic: Name::from_bytes(field(&mut rest, "topic", *topic)?),
        event: Name::from_bytes(field(&mut rest, "event", *event)?),
        payload: Payload::Binary(data.part(data.len() - rest.len()..data.len())),
    })
}

fn field<'a>(rest: &mut &'a [u8], name: &'static str, length: u8) -> Result<&'a [u8], DecodeError> {
    let left = rest.len();
    rest.split_off(..usize::from(length)).ok_or_else(|| truncated(name, length.into(), left))
}

/// Reads a server's frame.
pub(super) fn decode_server(kind: FrameKind, data: Data<'_>) -> Result<ServerMessage, DecodeError> {
    match kind {
        FrameKind::Text => decode_server_text(&data),
        FrameKind::Binary => decode_server_binary(data.into_bytes()),
    }
}

fn decode_server_text(data: &Data<'_>) -> Result<ServerMessage, DecodeError> {
    let text = simdutf8::basic::from_utf8(data).map_err(|_| DecodeError::NotUtf8)?;
    let [join_ref, reference, topic, event, payload] = elements(text)?;
    let event = name(data, text, event).into_text("event")?;
    Ok(ServerMessage {
        join_ref: super::join_ref(&text[join_ref]),
        reference: Ref::from_json(&text[reference]),
        topic: name(data, text, topic).into_text("topic")?,
        body: super::body(data, text, event, payload)?,
    })
}

/// The kind, a length for each field of that kind, the fields, then the payload.
fn decode_server_binary(mut bytes: Bytes) -> Result<ServerMessage, DecodeError> {
    match bytes.first() {
        Some(&kind::PUSH) => {
            let [join_ref, topic, event] = lengths(&mut bytes)?;
            Ok(ServerMessage {
                join_ref: ref_field(&mut bytes, "join_ref", join_ref)?,
                reference: None,
                topic: text_field(&mut bytes, "topic", topic)?,
                body: binary_event(bytes, event)?,
            })
        }
        Some(&kind::REPLY) => {
            let [join_ref, reference, topic, status] = lengths(&mut bytes)?;
            Ok(ServerMessage {
                join_ref: ref_field(&mut bytes, "join_ref", join_ref)?,
                reference: ref_field(&mut bytes, "ref", reference)?,
                topic: text_field(&mut bytes, "topic", topic)?,
                body: binary_reply(bytes, status)?,
            })
        }
        Some(&kind::BROADCAST) => {
            let [topic, event] = lengths(&mut bytes)?;
            Ok(ServerMessage {
                join_ref: None,
                reference: None,
                topic: text_field(&mut bytes, "topic", topic)?,
                body: binary_event(bytes, event)?,
            })
        }
        Some(&other) => Err(DecodeError::UnknownKind(other)),
        None => Err(truncated("header", 1, 0)),
    }
}

fn binary_event(mut bytes: Bytes, length: u8) -> Result<Body, DecodeError> {
    let event = text_field(&mut bytes, "event", length)?;
    Ok(Body::Event { event, payload: Payload::Binary(bytes) })
}

fn binary_reply(mut bytes: Bytes, length: u8) -> Result<Body, DecodeError> {
    let status = text_field(&mut bytes, "status", length)?;
    Ok(Body::Reply { status: Status::from(status.as_str()), response: Payload::Binary(bytes) })
}

/// The lengths that follow the kind.
fn lengths<const N: usize>(bytes: &mut Bytes) -> Result<[u8; N], DecodeError> {
    let lengths = bytes[1..].first_chunk().copied().ok_or_else(|| truncated("header", 1 + N, bytes.len()))?;
    bytes.advance(1 + N);
    Ok(lengths)
}

fn ref_field(bytes: &mut Bytes, name: &'static str, length: u8) -> Result<Option<Ref>, DecodeError> {
    let field = take(bytes, name, length)?;
    Ok((!field.is_empty()).then(|| Ref::from_binary(&field)))
}

fn text_field(bytes: &mut Bytes, name: &'static str, length: u8) -> Result<Text, DecodeError> {
    let field = take(bytes, name, length)?;
    std::str::from_utf8(&field).map(Text::from).map_err(|_| DecodeError::NotText(name))
}

fn take(bytes: &mut Bytes, name: &'static str, length: u8) -> Result<Bytes, DecodeError> {
    let length = usize::from(length);
    if bytes.len() < length {
        return Err(truncated(name, length, bytes.len()));
    }
    Ok(bytes.split_to(length))
}

fn truncated(field: &'static str, needed: usize, left: usize) -> DecodeError {
    DecodeError::Truncated { field, needed, left }
}

/// What a client sends.
pub(super) fn encode_message(message: &MessageParts<'_>) -> Result<Frame, EncodeError> {
    match message.payload {
        Payload::Json(text) => encode_text_message(message, text),
        Payload::Binary(bytes) => encode_binary_message(message, bytes),
    }
}

fn encode_text_message(message: &MessageParts<'_>, payload: &Bytes) -> Result<Frame, EncodeError> {
    let names = message.topic.len() + message.event.len();
    let refs = refs::json_len(message.join_ref) + refs::json_len(message.reference);
    let mut out = Vec::with_capacity(payload.len() + names + refs + 10);
    out.push(b'[');
    refs::write_json(&mut out, message.join_ref, "join_ref")?;
    out.push(b',');
    refs::write_json(&mut out, message.reference, "ref")?;
    out.push(b',');
    write_name(&mut out, message.topic, "topic")?;
    out.push(b',');
    write_name(&mut out, message.event, "event")?;
    out.push(b',');
    out.extend_from_slice(payload);
    out.push(b']');
    Ok(Frame::text(out))
}

fn encode_binary_message(message: &MessageParts<'_>, payload: &Bytes) -> Result<Frame, EncodeError> {
    let join_ref = binary_ref(message.join_ref, "join_ref")?;
    let reference = binary_ref(message.reference, "ref")?;
    let fields = [
        ("join_ref", &*join_ref),
        ("ref", &*reference),
        ("topic", binary_name(message.topic)),
        ("event", binary_name(message.event)),
    ];
    Ok(Frame::binary(encode_binary(kind::PUSH, &fields, payload)?.into_payload()))
}

/// Whether fields fit a binary frame.
pub(super) fn check_fields(fields: &[(&'static str, &str)]) -> Result<(), EncodeError> {
    for (field, text) in fields {
        field_len(field, text.len())?;
    }
    Ok(())
}

fn field_len(field: &'static str, length: usize) -> Result<u8, EncodeError> {
    u8::try_from(length).map_err(|_| EncodeError::FieldTooLong { field, length })
}

fn binary_name(name: NameRef<'_>) -> &[u8] {
    match name {
        NameRef::Text(text) => text.as_bytes(),
        NameRef::Other(bytes) => bytes,
    }
}

pub(super) fn encode_push(
    join_ref: Option<&Ref>,
    topic: &str,
    event: &str,
    payload: &Payload,
) -> Result<Frame, EncodeError> {
    match payload {
        Payload::Json(_) => encode_text((join_ref, None), topic, event, payload),
        Payload::Binary(bytes) => {
            let join_ref = binary_ref(join_ref, "join_ref")?;
            let fields = [("join_ref", &*join_ref), ("topic", topic.as_bytes()), ("event", event.as_bytes())];
            encode_binary(kind::PUSH, &fields, bytes)
        }
    }
}

pub(super) fn encode_broadcast(topic: &str, event: &str, payload: &Payload) -> Result<Frame, EncodeError> {
    match payload {
        Payload::Json(_) => encode_text((None, None), topic, event, payload),
        Payload::Binary(bytes) => {
            let fields = [("topic", topic.as_bytes()), ("event", event.as_bytes())];
            encode_binary(kind::BROADCAST, &fields, bytes)
        }
    }
}

pub(super) fn encode_end(
    join_ref: Option<&Ref>,
    topic: &str,
    event: &str,
    payload: &Payload,
) -> Result<Frame, EncodeError> {
    encode_text((join_ref, join_ref), topic, event, payload)
}

fn encode_text(
    (join_ref, reference): (Option<&Ref>, Option<&Ref>),
    topic: &str,
    event: &str,
    payload: &Payload,
) -> Result<Frame, EncodeError> {
    let text = payload.as_json().filter(|_| payload.is_object()).ok_or(EncodeError::NotAnObject)?;
    let mut frame = FrameBuilder::with_capacity(text.len() + topic.len() + event.len() + 32);
    let out = frame.payload();
    out.push(b'[');
    refs::write_json(out, join_ref, "join_ref")?;
    out.push(b',');
    refs::write_json(out, reference, "ref")?;
    out.push(b',');
    json::write_string(out, topic);
    out.push(b',');
    json::write_string(out, event);
    out.push(b',');
    out.extend_from_slice(text);
    out.push(b']');
    Ok(frame.finish(FrameKind::Text))
}

pub(super) fn encode_reply(reply: &ReplyParts<'_>) -> Result<Frame, EncodeError> {
    match reply.response {
        Payload::Json(text) => encode_text_reply(reply, text),
        Payload::Binary(bytes) => encode_binary_reply(reply, bytes),
    }
}

/// Bytes of a reply in text beside its refs, topic, status and response.
const REPLY: usize = br#"[,,"","phx_reply",{"response":,"status":""}]"#.len();

fn encode_text_reply(reply: &ReplyParts<'_>, response: &Bytes) -> Result<Frame, EncodeError> {
    // Exact for a topic and a status of plain text: then nothing is allocated to remember a larger capacity.
    let names = reply.topic.len() + reply.status.as_str().len();
    let refs = refs::json_len(reply.join_ref) + refs::json_len(reply.reference);
    let mut frame = FrameBuilder::with_capacity(REPLY + names + refs + response.len());
    let out = frame.payload();
    out.push(b'[');
    refs::write_json(out, reply.join_ref, "join_ref")?;
    out.push(b',');
    refs::write_json(out, reply.reference, "ref")?;
    out.push(b',');
    write_name(out, reply.topic, "topic")?;
    out.extend_from_slice(br#","phx_reply",{"response":"#);
    out.extend_from_slice(response);
    out.extend_from_slice(br#","status":"#);
    json::write_string(out, reply.status.as_str());
    out.extend_from_slice(b"}]");
    Ok(frame.finish(FrameKind::Text))
}

fn encode_binary_reply(reply: &ReplyParts<'_>, response: &Bytes) -> Result<Frame, EncodeError> {
    let join_ref = binary_ref(reply.join_ref, "join_ref")?;
    let reference = binary_ref(reply.reference, "ref")?;
    let NameRef::Text(topic) = reply.topic else { return Err(EncodeError::NoBinaryForm("topic")) };
    let fields = [
        ("join_ref", &*join_ref),
        ("ref", &*reference),
        ("topic", topic.as_bytes()),
        ("status", reply.status.as_str().as_bytes()),
    ];
    encode_binary(kind::REPLY, &fields, response)
}

fn encode_binary(kind: u8, fields: &[(&'static str, &[u8])], payload: &[u8]) -> Result<Frame, EncodeError> {
    let names: usize = fields.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut frame = FrameBuilder::with_capacity(1 + fields.len() + names + payload.len());
    let out = frame.payload();
    out.push(kind);
    for (field, bytes) in fields {
        out.push(field_len(field, bytes.len())?);
    }
    for (_, bytes) in fields {
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(payload);
    Ok(frame.finish(FrameKind::Binary))
}

fn binary_ref(reference: Option<&Ref>, field: &'static str) -> Result<Vec<u8>, EncodeError> {
    reference.map_or(Ok(Vec::new()), |reference| reference.to_binary(field))
}

/// Appends a topic as JSON: text, or the value that the client sent in its place.
pub(super) fn write_name(
    out: &mut Vec<u8>,
    name: NameRef<'_>,
    field: &'static str,
) -> Result<(), EncodeError> {
    match name {
        NameRef::Text(text) => json::write_string(out, text),
        NameRef::Other(raw) => match std::str::from_utf8(raw) {
            Ok(json) if json::validate(json).is_ok() => out.extend_from_slice(raw),
            Ok(_) | Err(_) => return Err(EncodeError::NotUtf8(field)),
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::serializer::Serializer;

    fn decode(frame: Frame) -> Result<Message, DecodeError> {
        Serializer::V2.decode(frame)
    }

    fn text(text: &str) -> Result<Message, DecodeError> {
        decode(Frame::text(text.to_owned()))
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    #[test]
    fn a_name_of_bytes_that_only_look_like_json_is_not_written_as_json() {
        // Topic `"\xb1"` of a binary frame: quotes around what is no UTF-8.
        let mut out = Vec::new();
        let name = Name::Other(Bytes::from_static(b"\"\xb1\""));
        assert_eq!(write_name(&mut out, name.as_ref(), "topic"), Err(EncodeError::NotUtf8("topic")));
        assert_eq!(out, b"");
    }

    #[test]
    fn arrays_become_messages() {
        for (name, json, join_ref, reference, event) in [
            ("join", r#"["1","1","room:1","phx_join",{}]"#, Some("1"), Some("1"), "phx_join"),
            ("later push without join ref", r#"[null,"2","room:1","shout",{}]"#, None, Some("2"), "shout"),
            ("six elements", r#"["1","2","room:1","shout",{},7]"#, Some("1"), Some("2"), "shout"),
            ("whitespace", " [ \"1\" ,\n\"2\",\"room:1\" , \"shout\",{} ]\t", Some("1"), Some("2"), "shout"),
            ("escapes", r#"["1","2","r\u006fom:1","sh\u006fut",{}]"#, Some("1"), Some("2"), "shout"),
        ] {
            let message = text(json).unwrap();
            assert_eq!(message.join_ref, join_ref.map(Ref::from_text), "{name}");
            assert_eq!(message.reference, reference.map(Ref::from_text), "{name}");
            assert_eq!(message.topic, Name::from("room:1"), "{name}");
            assert_eq!(message.event, Name::from(event), "{name}");
            assert_eq!(message.payload, Payload::empty(), "{name}");
        }
    }

    #[test]
    fn a_payload_keeps_its_bytes() {
        let message = text(r#"["1","2","t","e", {"a" : 1.10, "b":"\u00e9"} ]"#).unwrap();
        assert_eq!(message.payload, Payload::Json(r#"{"a" : 1.10, "b":"\u00e9"}"#.into()));
    }

    #[test]
    fn topics_and_events_need_not_be_text() {
        let message = text(r#"["1","2",5,null,{}]"#).unwrap();
        assert_eq!(message.topic, Name::Other("5".into()));
        assert_eq!(message.event, Name::Other("null".into()));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for json in [
            r#"["1","2","room:1","shout"]"#,
            "[]",
            "{}",
            "null",
            "",
            "nope",
            r#"["1","2","room:1","shout",{}] x"#,
            r#"["1","2","room:1","shout",{"a":1]]"#,
            r#"["1","2","room:1","shout",{"a":"\ud800"}]"#,
            r#"["1","2","room:1","shout",{"a":1e400}]"#,
            r#"["1","2","room:1","shout",{},]"#,
        ] {
            assert!(text(json).is_err(), "{json}");
        }
        let deep = |depth: usize| format!(r#"["1","2","t","e",{}{}]"#, "[".repeat(depth), "]".repeat(depth));
        assert!(text(&deep(json::MAX_DEPTH - 1)).is_ok());
        assert!(text(&deep(json::MAX_DEPTH)).is_err());
    }

    #[test]
    fn nothing_that_passes_is_too_deep_for_a_handler() {
        let depth = json::MAX_DEPTH - 1;
        let message =
            text(&format!(r#"["1","2","t","e",{}{}]"#, "[".repeat(depth), "]".repeat(depth))).unwrap();
        assert!(message.payload.parse::<serde_json::Value>().is_ok());
    }

    /// Samples seen on the wire of a real server, channels specification 6.4.
    #[test]
    fn binary_frames_have_the_observed_layout() {
        let sent = hex("00 01 01 06 03 31 32 726f6f6d3a61 62696e 00ff");
        let message = decode(Frame::binary(sent)).unwrap();
        assert_eq!(message.join_ref, Some(Ref::from_text("1")));
        assert_eq!(message.reference, Some(Ref::from_text("2")));
        assert_eq!((message.topic, message.event), (Name::from("room:a"), Name::from("bin")));
        assert_eq!(message.payload, Payload::binary(vec![0, 255]));

        let (join_ref, reference) = (Ref::from_text("1"), Ref::from_text("2"));
        let payload = Payload::binary(vec![0, 255]);
        for (name, frame, expected) in [
            (
                "push",
                Serializer::V2.encode_push(Some(&join_ref), "room:a", "binpush", &payload),
                "00 01 06 07 31 726f6f6d3a61 62696e70757368 00ff",
            ),
            (
                "reply",
                Serializer::V2.encode_reply(
                    Some(&join_ref),
                    Some(&reference),
                    "room:a",
                    &Status::Ok,
                    &payload,
                ),
                "01 01 01 06 02 31 32 726f6f6d3a61 6f6b 00ff",
            ),
            (
                "broadcast",
                Serializer::V2.encode_broadcast("room:a", "bmsg", &Payload::binary(vec![1, 2, 3])),
                "02 06 04 726f6f6d3a61 626d7367 010203",
            ),
        ] {
            assert_eq!(frame.unwrap().payload(), hex(expected), "{name}");
        }
    }

    #[test]
    fn broken_binary_frames_are_refused() {
        for (bytes, error) in [
            (vec![], truncated("header", 5, 0)),
            (vec![0, 1, 1], truncated("header", 5, 3)),
            (vec![1, 0, 0, 0, 0], DecodeError::UnknownKind(1)),
            (vec![200], DecodeError::UnknownKind(200)),
            (vec![0, 1, 0, 0, 0], truncated("join_ref", 1, 0)),
            (vec![0, 0, 0, 0, 2, b'a'], truncated("event", 2, 1)),
        ] {
            assert_eq!(decode(Frame::binary(bytes.clone())), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn a_field_of_255_bytes_fits_and_one_more_does_not() {
        let payload = Payload::binary(vec![1]);
        assert!(encode_broadcast(&"t".repeat(255), "e", &payload).is_ok());
        let refused = encode_broadcast(&"t".repeat(256), "e", &payload);
        assert_eq!(refused, Err(EncodeError::FieldTooLong { field: "topic", length: 256 }));
    }

    #[test]
    fn text_frames_have_five_elements() {
        let join_ref = Ref::from_text("1");
        let number = Ref::from_json("7").unwrap();
        for (name, frame, expected) in [
            ("push", encode_push(Some(&join_ref), "t", "e", &Payload::empty()), r#"["1",null,"t","e",{}]"#),
            ("broadcast", encode_broadcast("t", "e", &Payload::empty()), r#"[null,null,"t","e",{}]"#),
            (
                "close",
                encode_end(Some(&join_ref), "t", "phx_close", &Payload::empty()),
                r#"["1","1","t","phx_close",{}]"#,
            ),
            (
                "reply",
                Serializer::V2.encode_reply(
                    None,
                    Some(&number),
                    "t",
                    &Status::Error,
                    &Payload::json("x").unwrap(),
                ),
                r#"[null,7,"t","phx_reply",{"response":"x","status":"error"}]"#,
            ),
        ] {
            assert_eq!(frame.unwrap().payload(), expected, "{name}");
        }
        assert_eq!(encode_broadcast("t", "e", &Payload::json(&1).unwrap()), Err(EncodeError::NotAnObject));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), binary in any::<bool>()) {
            let frame = if binary { Frame::binary(bytes) } else { Frame::text(bytes) };
            for serializer in [Serializer::V1, Serializer::V2] {
                let _ = serializer.decode(frame.clone());
            }
        }

        #[test]
        fn what_was_written_reads_back(join_ref in any::<String>(), topic in any::<String>(), event in any::<String>()) {
            let join_ref = Ref::from_text(&join_ref);
            let frame = encode_push(Some(&join_ref), &topic, &event, &Payload::empty()).unwrap();
            let message = decode(Frame::text(frame.payload())).unwrap();
            prop_assert_eq!(message.join_ref, Some(join_ref));
            prop_assert_eq!(message.topic.as_text(), Some(&*topic));
            prop_assert_eq!(message.event.as_text(), Some(&*event));
        }
    }
}
