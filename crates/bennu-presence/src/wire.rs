//! What clients are sent, written from the text that is stored.

use std::sync::Arc;

use bennu_protocol::Payload;
use bennu_protocol::presence::{Entry, Presences};

use crate::replica::EncodedMeta;
use crate::window::Told;

/// The event that tells how many keys there are: `{"count": 3}`.
pub(crate) const COUNT: &str = "presence_count";

/// Keys with their metas.
pub(crate) type Keys = [(Arc<str>, Vec<EncodedMeta>)];

/// The payload of `presence_state`.
pub(crate) fn state(keys: &Keys) -> Payload {
    let mut writer = KeysWriter { text: Vec::with_capacity(length(keys)) };
    writer.text.push(b'{');
    writer.push_all(keys);
    writer.finish()
}

/// The payload of `presence_diff`.
pub(crate) fn diff(told: &Told) -> Payload {
    let mut writer = KeysWriter { text: Vec::with_capacity(length(&told.joins) + length(&told.leaves) + 32) };
    writer.text.extend_from_slice(br#"{"joins":{"#);
    writer.push_all(&told.joins);
    writer.text.extend_from_slice(br#"},"leaves":{"#);
    writer.push_all(&told.leaves);
    writer.text.push(b'}');
    writer.finish()
}

/// The payload of `presence_count`.
pub(crate) fn count(count: usize) -> Payload {
    Payload::Json(format!(r#"{{"count":{count}}}"#).into())
}

/// The same keys as values, for those who look into them.
pub(crate) fn presences(keys: &Keys) -> Presences {
    let entry = |metas: &[EncodedMeta]| Entry {
        metas: metas.iter().map(EncodedMeta::to_meta).collect(),
        ..Entry::default()
    };
    keys.iter().map(|(key, metas)| (key.to_string(), entry(metas))).collect()
}

/// Writes an object of keys with their metas.
pub(crate) struct KeysWriter {
    text: Vec<u8>,
}

/// About how much a meta takes, with its key.
const META_ROOM: usize = 128;

impl KeysWriter {
    pub(crate) fn with_room_for(metas: usize) -> Self {
        let mut text = Vec::with_capacity(metas * META_ROOM + 2);
        text.push(b'{');
        KeysWriter { text }
    }

    pub(crate) fn push<'a>(&mut self, key: &str, metas: impl Iterator<Item = &'a EncodedMeta>) {
        self.separate(b'{');
        write_name(&mut self.text, key);
        self.text.extend_from_slice(br#":{"metas":["#);
        for meta in metas {
            self.separate(b'[');
            self.text.extend_from_slice(meta.as_str().as_bytes());
        }
        self.text.extend_from_slice(b"]}");
    }

    pub(crate) fn finish(mut self) -> Payload {
        self.text.push(b'}');
        Payload::Json(self.text.into())
    }

    fn push_all(&mut self, keys: &Keys) {
        keys.iter().for_each(|(key, metas)| self.push(key, metas.iter()));
    }

    /// A comma, unless what begins with `opening` has just begun.
    fn separate(&mut self, opening: u8) {
        if self.text.last() != Some(&opening) {
            self.text.push(b',');
        }
    }
}

fn write_name(text: &mut Vec<u8>, key: &str) {
    let is_plain = key.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if is_plain {
        text.push(b'"');
        text.extend_from_slice(key.as_bytes());
        text.push(b'"');
    } else {
        text.extend_from_slice(serde_json::Value::from(key).to_string().as_bytes());
    }
}

fn length(keys: &Keys) -> usize {
    let metas = |metas: &[EncodedMeta]| metas.iter().map(|meta| meta.as_str().len() + 1).sum::<usize>();
    2 + keys.iter().map(|(key, all)| key.len() + 16 + metas(all)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_written_is_what_phoenix_sends() {
        let meta = |text: &str, n: u32| EncodedMeta::write(text, &format!("{n:0>16}"), None);
        let one = [("ada".into(), vec![meta(r#"{"n":1}"#, 1), meta("{}", 2)])];
        let hostile = [("a\"b\\c\n\u{7f}ü".into(), vec![meta("{}", 3)])];
        let expected_one = json!({"ada": {"metas": [
            {"n": 1, "phx_ref": "0000000000000001"}, {"phx_ref": "0000000000000002"},
        ]}});
        let expected_hostile = json!({"a\"b\\c\n\u{7f}ü": {"metas": [{"phx_ref": "0000000000000003"}]}});
        for (name, payload, expected) in [
            ("nobody", state(&[]), json!({})),
            ("state", state(&one), expected_one.clone()),
            ("key", state(&hostile), expected_hostile.clone()),
            (
                "diff",
                diff(&Told { joins: one.to_vec(), leaves: hostile.to_vec() }),
                json!({"joins": expected_one, "leaves": expected_hostile}),
            ),
            ("empty side", diff(&Told::default()), json!({"joins": {}, "leaves": {}})),
            ("count", count(12), json!({"count": 12})),
        ] {
            assert_eq!(payload.parse::<Value>().unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn values_are_the_same_as_the_text() {
        let meta = EncodedMeta::write(r#"{"n":[1,{"a":"\u0000"}]}"#, "AAAAAAAAAAAAAAAA", None);
        let told = Told {
            joins: vec![("ada".into(), vec![meta.clone()])],
            leaves: vec![("bob".into(), vec![meta])],
        };
        let values = json!({"joins": presences(&told.joins), "leaves": presences(&told.leaves)});
        assert_eq!(diff(&told).parse::<Value>().unwrap(), values);
        assert!(diff(&told).len() <= length(&told.joins) + length(&told.leaves) + 32, "grown while written");
    }
}
