//! Seed 002, messages: builders, refs, serializers, and the bytes of both versions.

use std::collections::HashSet;
use std::thread;

use bennu_client::Message;
use bennu_protocol::{DecodeError, Event, Frame, Payload, Ref, Serializer, Status, VersionError};
use serde::Serialize;
use serde_json::json;

fn number(text: &str) -> Ref {
    Ref::from_text(text)
}

#[test]
fn builders_make_joins_leaves_and_pushes() {
    #[derive(Serialize)]
    struct Params {
        user_id: u32,
    }
    let join = Message::join("rooms:lobby", Params { user_id: 123 }).unwrap();
    assert_eq!((&*join.topic, &join.event), ("rooms:lobby", &Event::Join));
    assert_eq!(join.payload.as_json(), Some(br#"{"user_id":123}"#.as_slice()));
    assert_eq!((join.reference, join.join_ref, join.status), (None, None, None), "the socket gives the refs");

    let leave = Message::leave("rooms:lobby");
    assert_eq!(
        (&*leave.topic, &leave.event, leave.payload),
        ("rooms:lobby", &Event::Leave, Payload::empty())
    );

    let push = Message::push("rooms:lobby", "new_msg", json!({"body": "Hello"})).unwrap();
    assert_eq!((&*push.topic, push.event.as_str()), ("rooms:lobby", "new_msg"));
    assert_eq!(push.payload.as_json(), Some(br#"{"body":"Hello"}"#.as_slice()));
    assert_eq!(Message::push("t", "e", ()).unwrap().payload, Payload::empty());
    assert_eq!(Message::join("t", ()).unwrap().payload, Payload::empty());
}

#[test]
fn what_has_no_json_form_is_no_payload() {
    let keys_that_are_lists = std::collections::BTreeMap::from([(vec![1], 2)]);
    assert!(Message::push("t", "e", keys_that_are_lists).is_err());
}

#[test]
fn generated_refs_are_unique_in_the_process_and_none_is_a_counted_one() {
    let generate = || (0..1_000).map(|_| Message::generate_ref()).collect::<Vec<_>>();
    let refs: Vec<Ref> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(generate)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let counted: HashSet<Ref> = (0..10_000).map(|n: u32| Ref::from_text(&n.to_string())).collect();
    let unique: HashSet<&Ref> = refs.iter().collect();
    assert_eq!(unique.len(), 4_000);
    assert!(refs.iter().all(|reference| !counted.contains(reference)));
    assert!(serde_json::to_value(&refs[0]).unwrap().is_string());
}

#[test]
fn serializers_go_by_their_version() {
    assert_eq!(Message::serializer("2.0.0"), Ok(Serializer::V2));
    assert_eq!(Message::serializer("1.0.0"), Ok(Serializer::V1));
    assert_eq!(Message::serializer("3.0.0"), Err(VersionError::Unsupported("3.0.0".to_owned())));
    assert_eq!(Message::serializer("two"), Err(VersionError::NotAVersion("two".to_owned())));
}

/// Text frames as the seed's `encode!` writes them, but for the order of members, which says nothing; binary ones as
/// the channels specification has them, 6.4.
#[test]
fn golden_bytes_of_both_versions() {
    use Serializer::{V1, V2};
    let with = |message: Message, reference: &str| message.with_reference(number(reference));
    let join = with(Message::join("room:a", json!({"x": 1})).unwrap(), "1").with_join_ref(number("1"));
    let push = with(Message::push("room:a", "new", json!({})).unwrap(), "2").with_join_ref(number("1"));
    let leave = with(Message::leave("room:a"), "3").with_join_ref(number("1"));
    let bytes =
        with(Message::push("room:a", "bin", Payload::binary("\0!")).unwrap(), "2").with_join_ref(number("1"));
    let mut reply = with(Message::new("room:a", Event::Reply, Payload::empty()), "2");
    reply.status = Some(Status::Ok);
    for (name, serializer, message, golden) in [
        ("join", V2, &join, Frame::text(r#"["1","1","room:a","phx_join",{"x":1}]"#)),
        ("push", V2, &push, Frame::text(r#"["1","2","room:a","new",{}]"#)),
        ("leave", V2, &leave, Frame::text(r#"["1","3","room:a","phx_leave",{}]"#)),
        ("bytes", V2, &bytes, Frame::binary(&b"\x00\x01\x01\x06\x0312room:abin\x00!"[..])),
        (
            "reply",
            V2,
            &reply,
            Frame::text(r#"[null,"2","room:a","phx_reply",{"response":{},"status":"ok"}]"#),
        ),
        (
            "join",
            V1,
            &join,
            Frame::text(
                r#"{"topic":"room:a","event":"phx_join","payload":{"x":1},"ref":"1","join_ref":"1"}"#,
            ),
        ),
        (
            "push",
            V1,
            &push,
            Frame::text(r#"{"topic":"room:a","event":"new","payload":{},"ref":"2","join_ref":"1"}"#),
        ),
        (
            "leave",
            V1,
            &leave,
            Frame::text(r#"{"topic":"room:a","event":"phx_leave","payload":{},"ref":"3","join_ref":"1"}"#),
        ),
        (
            "reply",
            V1,
            &reply,
            Frame::text(
                r#"{"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"2","topic":"room:a"}"#,
            ),
        ),
    ] {
        let written = message.encode(serializer).unwrap();
        assert_eq!(written.payload(), golden.payload(), "{name} {serializer:?}");
        assert_eq!(written.kind(), golden.kind(), "{name} {serializer:?}");
        let read = match message.status {
            Some(_) => Message::decode(serializer, golden),
            None => Message::decode_client(serializer, golden),
        };
        assert_eq!(read.as_ref(), Ok(message), "{name} {serializer:?}");
    }
    assert!(bytes.encode(V1).is_err(), "version 1.0.0 carries no bytes");
}

#[test]
fn what_a_server_writes_is_read() {
    use Serializer::{V1, V2};
    for (name, serializer, frame, expected) in [
        (
            "broadcast",
            V2,
            Frame::text(r#"[null,null,"room:a","new",{"n":1}]"#),
            Message::push("room:a", "new", json!({"n": 1})).unwrap(),
        ),
        (
            "close",
            V2,
            Frame::text(r#"["1","1","room:a","phx_close",{}]"#),
            Message::new("room:a", Event::Close, Payload::empty())
                .with_reference(number("1"))
                .with_join_ref(number("1")),
        ),
        (
            "binary push",
            V2,
            Frame::binary(&b"\x00\x01\x06\x031room:abin\x00!"[..]),
            Message::new("room:a", "bin", Payload::binary("\0!")).with_join_ref(number("1")),
        ),
        (
            "broadcast",
            V1,
            Frame::text(r#"{"topic":"room:a","ref":null,"payload":{"n":1},"event":"new"}"#),
            Message::push("room:a", "new", json!({"n": 1})).unwrap(),
        ),
    ] {
        assert_eq!(Message::decode(serializer, frame), Ok(expected), "{name} {serializer:?}");
    }
    let reply = Frame::binary(&b"\x01\x01\x01\x06\x0512room:aerror!"[..]);
    let reply = Message::decode(V2, reply).unwrap();
    assert_eq!((reply.status, reply.payload), (Some(Status::Error), Payload::binary("!")));
    assert_eq!(Message::decode(V2, Frame::text("{}")), Err(DecodeError::Shape));
}

/// The JSON library is whichever wrote the text: nothing but valid JSON is asked of it.
#[test]
fn another_json_library_may_write_and_read_the_payloads() {
    struct Own;
    impl Own {
        fn write(text: &str) -> Payload {
            Payload::Json(format!("{{\"text\": {text:?}}}").into())
        }
        fn read(payload: &Payload) -> Option<&str> {
            let text = std::str::from_utf8(payload.as_json()?).ok()?;
            text.strip_prefix("{\"text\": \"")?.strip_suffix("\"}")
        }
    }
    let push = Message::push("t", "e", Own::write("hi")).unwrap();
    let frame = push.encode(Serializer::V2).unwrap();
    assert_eq!(frame.payload(), r#"[null,null,"t","e",{"text": "hi"}]"#, "byte for byte as it was written");
    let read = Message::decode(Serializer::V2, frame).unwrap();
    assert_eq!(Own::read(&read.payload), Some("hi"));
}

#[test]
fn payloads_are_not_shown() {
    let message = Message::push("t", "e", json!({"password": "hunter2"})).unwrap();
    assert!(!format!("{message:?}").contains("hunter2"));
}
