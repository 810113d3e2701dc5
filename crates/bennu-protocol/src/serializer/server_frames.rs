//! What the two sides write for each other, read by the other one.

use proptest::prelude::*;

use super::*;
use crate::message::Name;

fn text(text: &str) -> Text {
    Text::from(text)
}

fn number(text: &str) -> Option<Ref> {
    Some(Ref::from_text(text))
}

fn event(join_ref: Option<Ref>, reference: Option<Ref>, event: &str, payload: Payload) -> ServerMessage {
    ServerMessage {
        join_ref,
        reference,
        topic: text("room:a"),
        body: Body::Event { event: text(event), payload },
    }
}

fn reply(join_ref: Option<Ref>, status: Status, response: Payload) -> ServerMessage {
    let body = Body::Reply { status, response };
    ServerMessage { join_ref, reference: number("2"), topic: text("room:a"), body }
}

#[test]
fn what_a_server_writes_a_client_reads() {
    use Serializer::{V1, V2};
    let (one, two, bytes, object) =
        (number("1"), number("2"), Payload::binary(vec![0, 255]), Payload::empty());
    let value = Payload::Json("[1]".into());
    let push =
        |version: Serializer, payload: &Payload| version.encode_push(one.as_ref(), "room:a", "e", payload);
    let broadcast = |version: Serializer, payload: &Payload| version.encode_broadcast("room:a", "e", payload);
    let answer = |version: Serializer, payload: &Payload| {
        version.encode_reply(one.as_ref(), two.as_ref(), "room:a", &Status::Ok, payload)
    };
    let end = |version: Serializer, event: &str| {
        version.encode_end(one.as_ref(), "room:a", event, &Payload::empty())
    };
    for (name, version, frame, expected) in [
        ("push", V2, push(V2, &object), event(one.clone(), None, "e", object.clone())),
        ("binary push", V2, push(V2, &bytes), event(one.clone(), None, "e", bytes.clone())),
        ("broadcast", V2, broadcast(V2, &object), event(None, None, "e", object.clone())),
        ("binary broadcast", V2, broadcast(V2, &bytes), event(None, None, "e", bytes.clone())),
        ("reply", V2, answer(V2, &value), reply(one.clone(), Status::Ok, value.clone())),
        ("binary reply", V2, answer(V2, &bytes), reply(one.clone(), Status::Ok, bytes.clone())),
        ("close", V2, end(V2, "phx_close"), event(one.clone(), one.clone(), "phx_close", object.clone())),
        ("push", V1, push(V1, &value), event(None, None, "e", value.clone())),
        ("reply", V1, answer(V1, &value), reply(None, Status::Ok, value.clone())),
        // In this version the ref of an end is all that names the join.
        ("close", V1, end(V1, "phx_close"), event(one.clone(), one.clone(), "phx_close", object.clone())),
        ("crash", V1, end(V1, "phx_error"), event(one.clone(), one.clone(), "phx_error", object.clone())),
    ] {
        assert_eq!(version.decode_server(frame.unwrap()), Ok(expected), "{name} {version:?}");
    }
}

/// Samples seen on the wire of a real server, channels specification 6.4.
#[test]
fn a_servers_binary_frames_have_the_observed_layout() {
    let bytes = Payload::binary(vec![0, 255]);
    for (name, frame, expected) in [
        (
            "push",
            b"\x00\x01\x06\x071room:abinpush\x00\xff".as_slice(),
            event(number("1"), None, "binpush", bytes.clone()),
        ),
        ("reply", b"\x01\x01\x01\x06\x0212room:aok\x00\xff", reply(number("1"), Status::Ok, bytes.clone())),
        ("broadcast", b"\x02\x06\x04room:abmsg\x00\xff", event(None, None, "bmsg", bytes.clone())),
        ("no join_ref", b"\x00\x00\x06\x01room:ae\x00\xff", event(None, None, "e", bytes.clone())),
        ("no payload", b"\x02\x06\x01room:ae", event(None, None, "e", Payload::binary(vec![]))),
    ] {
        assert_eq!(Serializer::V2.decode_server(Frame::binary(frame.to_vec())), Ok(expected), "{name}");
    }
}

#[test]
fn a_reply_is_read_whatever_the_order_and_the_spelling_of_its_members() {
    for payload in [
        r#"{"status":"ok","response":[1]}"#,
        r#" { "response" : [1] , "status" : "ok" } "#,
        r#"{"other":{"status":"no"},"st\u0061tus":"\u006fk","response":[1],"status":"no"}"#,
    ] {
        let frame = Frame::text(format!(r#"["1","2","room:a","phx_reply",{payload}]"#));
        let expected = reply(number("1"), Status::Ok, Payload::Json("[1]".into()));
        assert_eq!(Serializer::V2.decode_server(frame), Ok(expected), "{payload}");
    }
}

#[test]
fn an_empty_join_ref_is_none() {
    let frame = Frame::text(r#"["",null,"room:a","e",{}]"#);
    assert_eq!(Serializer::V2.decode_server(frame), Ok(event(None, None, "e", Payload::empty())));
}

#[test]
fn what_no_server_sends_is_refused() {
    use DecodeError::{Missing, NotText, Shape, UnknownKind};
    let truncated = |field, needed, left| DecodeError::Truncated { field, needed, left };
    for (frame, error) in [
        (Frame::text(r#"["1","2","t","e"]"#), Shape),
        (Frame::text(r#"["1","2",5,"e",{}]"#), NotText("topic")),
        (Frame::text(r#"["1","2","t",null,{}]"#), NotText("event")),
        (Frame::text(r#"["1","2","t","phx_reply",5]"#), Missing("status")),
        (Frame::text(r#"["1","2","t","phx_reply",{"response":{}}]"#), Missing("status")),
        (Frame::text(r#"["1","2","t","phx_reply",{"status":"ok"}]"#), Missing("response")),
        (Frame::text(r#"["1","2","t","phx_reply",{"status":1,"response":{}}]"#), NotText("status")),
        (Frame::binary(vec![]), truncated("header", 1, 0)),
        (Frame::binary(vec![0, 1, 1]), truncated("header", 4, 3)),
        (Frame::binary(vec![1, 0, 0, 0]), truncated("header", 5, 4)),
        (Frame::binary(vec![2, 0]), truncated("header", 3, 2)),
        (Frame::binary(vec![3, 0, 0, 0, 0]), UnknownKind(3)),
        (Frame::binary(vec![2, 1, 1, b't']), truncated("event", 1, 0)),
        (Frame::binary(vec![2, 1, 0, 0xff]), NotText("topic")),
        (Frame::binary(vec![1, 0, 0, 0, 1, 0xff]), NotText("status")),
    ] {
        assert_eq!(
            Serializer::V2.decode_server(frame.clone()),
            Err(error),
            "{frame:?} {:?}",
            frame.payload()
        );
    }
    for (json, error) in [
        (r#"{"topic":"t","event":"e","payload":{}}"#, Missing("ref")),
        (r#"{"topic":5,"event":"e","payload":{},"ref":null}"#, NotText("topic")),
        (r#"{"topic":"t","event":"phx_reply","payload":{},"ref":"1"}"#, Missing("status")),
        ("[]", DecodeError::NotAnObject),
    ] {
        assert_eq!(Serializer::V1.decode_server(Frame::text(json)), Err(error), "{json}");
    }
}

#[test]
fn a_clients_messages_have_the_layout_of_the_official_one() {
    let message = |join_ref: Option<Ref>, payload: &Payload| {
        let (topic, name) = (Name::from("room:a"), Name::from("e"));
        Message { join_ref, reference: number("2"), topic, event: name, payload: payload.clone() }
    };
    let (object, bytes) = (Payload::empty(), Payload::binary(vec![0, 255]));
    let encode = |version: Serializer, message: &Message| version.encode_message(message).unwrap();
    let written = |frame: Frame| String::from_utf8(frame.payload().to_vec()).unwrap();
    let (v1, v2) = (Serializer::V1, Serializer::V2);
    assert_eq!(written(encode(v2, &message(number("1"), &object))), r#"["1","2","room:a","e",{}]"#);
    assert_eq!(written(encode(v2, &message(None, &object))), r#"[null,"2","room:a","e",{}]"#);
    let expected = r#"{"topic":"room:a","event":"e","payload":{},"ref":"2","join_ref":"1"}"#;
    assert_eq!(written(encode(v1, &message(number("1"), &object))), expected);
    let expected = r#"{"topic":"room:a","event":"e","payload":{},"ref":"2"}"#;
    assert_eq!(written(encode(v1, &message(None, &object))), expected);
    let frame = encode(v2, &message(number("1"), &bytes));
    assert_eq!(frame, Frame::binary(b"\x00\x01\x01\x06\x0112room:ae\x00\xff".as_slice()));
    assert_eq!(v1.encode_message(&message(None, &bytes)), Err(EncodeError::BinaryPayload));
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        any::<String>().prop_map(|text| Payload::json(&serde_json::json!({"text": text})).unwrap()),
        any::<Vec<u8>>().prop_map(Payload::binary),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn what_a_client_writes_a_server_reads(
        join_ref in any::<String>(),
        reference in any::<String>(),
        topic in any::<String>(),
        event in any::<String>(),
        payload in payload(),
    ) {
        let (join_ref, reference) = (Some(Ref::from_text(&join_ref)), Some(Ref::from_text(&reference)));
        let message = Message { join_ref, reference, topic: Name::from(&*topic), event: Name::from(&*event), payload };
        for serializer in [Serializer::V1, Serializer::V2] {
            let checked = serializer.check_message(&topic, &event, &message.payload);
            match serializer.encode_message(&message) {
                Ok(frame) => prop_assert_eq!(serializer.decode(frame).unwrap(), message.clone()),
                Err(EncodeError::FieldTooLong { field: "ref" | "join_ref", .. }) => {}
                Err(error) => prop_assert_eq!(checked, Err(error)),
            }
        }
    }

    #[test]
    fn no_bytes_of_a_server_make_a_client_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        kind in 0..4u8,
        is_binary in any::<bool>(),
    ) {
        if let Some(first) = bytes.first_mut().filter(|_| is_binary) {
            *first = kind;
        }
        let frame = if is_binary { Frame::binary(bytes) } else { Frame::text(bytes) };
        for serializer in [Serializer::V1, Serializer::V2] {
            if let Ok(message) = serializer.decode_server(frame.clone()) {
                prop_assert!(message.topic.as_str().len() <= frame.len());
            }
        }
    }

    #[test]
    fn no_reply_makes_a_client_panic(payload in r#"[{}\[\]":,a-z\\u0-9 ]{0,40}"#, is_reply in any::<bool>()) {
        let event = if is_reply { "phx_reply" } else { "phx_close" };
        for text in [
            format!(r#"["1","2","t","{event}",{payload}]"#),
            format!(r#"{{"topic":"t","event":"{event}","payload":{payload},"ref":"1"}}"#),
        ] {
            for serializer in [Serializer::V1, Serializer::V2] {
                drop(serializer.decode_server(Frame::text(text.clone())));
            }
        }
    }
}
