//! Socket.IO 4: packets of Engine.IO 4 (the first digit), and in those of type 4 packets of Socket.IO 5.

use serde_json::value::RawValue;

use super::{Received, put};

pub(super) fn join(out: &mut Vec<u8>, reference: u32, topic: &str) {
    put!(out, r#"42{reference}["join","{topic}"]"#);
}

pub(super) fn echo(out: &mut Vec<u8>, reference: u32, payload: impl FnOnce(&mut Vec<u8>)) {
    put!(out, r#"42{reference}["echo","#);
    payload(out);
    out.push(b']');
}

pub(super) fn shout(out: &mut Vec<u8>, topic: &str, payload: impl FnOnce(&mut Vec<u8>)) {
    put!(out, r#"42["shout","{topic}","#);
    payload(out);
    out.push(b']');
}

pub(super) fn read(text: &[u8]) -> Option<Received<'_>> {
    match text {
        [b'4', b'2', event @ ..] => shouted(event).or_else(|| any_event(event)),
        [b'4', b'3', answer @ ..] => acknowledged(answer),
        [b'4', b'0', ..] => Some(Received::Opened),
        [b'0', ..] => Some(Received::Ask { answer: "40" }),
        b"2" => Some(Received::Ask { answer: "3" }),
        _ => None,
    }
}

/// The usual form of a broadcast, which is what there is most of.
fn shouted(event: &[u8]) -> Option<Received<'_>> {
    let rest = event.strip_prefix(br#"["shout",""#)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let (topic, rest) = rest.split_at(end);
    let payload = rest.strip_prefix(br#"","#)?.strip_suffix(b"]")?;
    Some(Received::Shout { topic: Some(str::from_utf8(topic).ok()?), payload })
}

fn any_event(event: &[u8]) -> Option<Received<'_>> {
    let (name, topic, payload): (&str, &str, &RawValue) = serde_json::from_slice(event).ok()?;
    let received = Received::Shout { topic: Some(topic), payload: payload.get().as_bytes() };
    (name == "shout").then_some(received)
}

fn acknowledged(answer: &[u8]) -> Option<Received<'_>> {
    let start = answer.iter().position(|byte| *byte == b'[')?;
    let (reference, arguments) = answer.split_at(start);
    let reference = str::from_utf8(reference).ok()?.parse().ok()?;
    if arguments == br#"["ok"]"# {
        return Some(Received::Joined { reference });
    }
    let payload = arguments.strip_prefix(b"[")?.strip_suffix(b"]")?;
    Some(Received::Echo { reference: Some(reference), payload })
}
