//! Phoenix Channels, version 2 of the JSON serializer.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Address, Received, put};

pub(super) fn join(out: &mut Vec<u8>, reference: u32, topic: &str, payload: &str) {
    put!(out, r#"["{reference}","{reference}","{topic}","phx_join",{payload}]"#);
}

pub(super) fn push(out: &mut Vec<u8>, at: Address<'_>, event: &str, payload: impl FnOnce(&mut Vec<u8>)) {
    let Address { topic, join_reference, reference } = at;
    put!(out, r#"["{join_reference}","{reference}","{topic}","{event}","#);
    payload(out);
    out.push(b']');
}

pub(super) fn heartbeat(out: &mut Vec<u8>, reference: u32) {
    put!(out, r#"[null,"{reference}","phoenix","heartbeat",{{}}]"#);
}

pub(super) fn read(text: &[u8]) -> Option<Received<'_>> {
    shout(text).or_else(|| any(text))
}

/// The usual form of a broadcast, which is what there is most of.
fn shout(text: &[u8]) -> Option<Received<'_>> {
    let rest = text.strip_prefix(br#"[null,null,""#)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let (topic, rest) = rest.split_at(end);
    let payload = rest.strip_prefix(br#"","shout","#)?.strip_suffix(b"]")?;
    Some(Received::Shout { topic: Some(str::from_utf8(topic).ok()?), payload })
}

/// Join ref, ref, topic, event, payload.
type Elements<'a> = (Option<&'a str>, Option<&'a str>, &'a str, &'a str, &'a RawValue);

fn any(text: &[u8]) -> Option<Received<'_>> {
    let (join_reference, reference, topic, event, payload): Elements<'_> =
        serde_json::from_slice(text).ok()?;
    match event {
        "phx_reply" => reply(topic, join_reference, reference?, payload),
        "shout" => Some(Received::Shout { topic: Some(topic), payload: payload.get().as_bytes() }),
        "presence_state" => Some(Received::PresenceState { payload: payload.get().as_bytes() }),
        "presence_diff" => Some(Received::PresenceDiff { payload: payload.get().as_bytes() }),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    status: &'a str,
    #[serde(borrow)]
    response: &'a RawValue,
}

fn reply<'a>(
    topic: &str,
    join_reference: Option<&str>,
    reference: &str,
    payload: &'a RawValue,
) -> Option<Received<'a>> {
    let reply: Reply<'a> = serde_json::from_str(payload.get()).ok()?;
    if reply.status != "ok" {
        return None;
    }
    if topic == "phoenix" {
        return Some(Received::Alive);
    }
    // A join carries its own reference twice.
    let is_join = join_reference == Some(reference);
    let reference = reference.parse().ok()?;
    if is_join {
        return Some(Received::Joined { reference });
    }
    Some(Received::Echo { reference: Some(reference), payload: reply.response.get().as_bytes() })
}
