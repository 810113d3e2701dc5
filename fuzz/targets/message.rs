//! What holds for every frame that decodes.

use bennu_protocol::{Data, Frame, FrameKind, Incoming, Payload, Serializer, Status};
use serde_json::Value;

/// Decodes a frame, and answers with its own payload: an independent parser must read both alike.
pub fn check(serializer: Serializer, frame: Frame) {
    let (kind, bytes) = (frame.kind(), frame.payload());
    let decoded = serializer.decode(frame);
    assert_eq!(serializer.decode(Incoming { kind, data: Data::Here(&bytes) }), decoded);
    let Ok(message) = decoded else { return };
    let payload = message.payload.as_json().map(json);
    let (Some(topic), Some(event)) = (message.topic.as_text(), message.event.as_text()) else { return };
    let refs = (message.join_ref.as_ref(), message.reference.as_ref());
    let reply = serializer.encode_reply(refs.0, refs.1, topic, &Status::Ok, &message.payload);
    if let (Ok(reply), Payload::Binary(bytes)) = (&reply, &message.payload) {
        assert_eq!(reply.payload()[0], 1, "kind of a binary reply");
        assert!(reply.payload().ends_with(bytes));
    }
    if let Some(reply) = reply.ok().filter(|reply| reply.kind() == FrameKind::Text) {
        let reply = json(&reply.payload());
        let (found_topic, response) = match serializer {
            Serializer::V1 => (&reply["topic"], &reply["payload"]["response"]),
            Serializer::V2 => (&reply[2], &reply[4]["response"]),
        };
        assert_eq!(found_topic, topic);
        assert_eq!(Some(response), payload.as_ref());
    }
    if let Ok(broadcast) = serializer.encode_broadcast(topic, event, &message.payload)
        && broadcast.kind() == FrameKind::Text
    {
        json(&broadcast.payload());
    }
}

fn json(text: &[u8]) -> Value {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.disable_recursion_limit();
    let value = serde::Deserialize::deserialize(&mut deserializer).expect("what was validated is JSON");
    deserializer.end().expect("and nothing else");
    value
}
