//! What is tracked, as it is kept and sent: text that nobody reads again.
//!
//! It is written once where it is tracked: what the application said, then `phx_ref`, then `phx_ref_prev` if it was updated.

use bennu_protocol::presence::Meta;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::replica::EncodedMeta;

/// Characters of a `phx_ref`.
pub(crate) const REF: usize = 16;

const REF_MEMBER: &[u8] = br#""phx_ref":""#;
const PREVIOUS_MEMBER: &[u8] = br#""phx_ref_prev":""#;
const MEMBER_END: &[u8] = br#"""#;

impl EncodedMeta {
    /// The stored form of an object as [`object`] writes it.
    pub(crate) fn write(object: &str, reference: &str, previous: Option<&str>) -> Self {
        debug_assert!(reference.len() == REF && previous.is_none_or(|previous| previous.len() == REF));
        let object = object.trim_end();
        let members = object.strip_suffix('}').unwrap_or(object).trim_end();
        let comma = if members.ends_with('{') { "" } else { "," };
        EncodedMeta::new(match previous {
            None => format!(r#"{members}{comma}"phx_ref":"{reference}"}}"#),
            Some(previous) => {
                format!(r#"{members}{comma}"phx_ref":"{reference}","phx_ref_prev":"{previous}"}}"#)
            }
        })
    }

    /// Whether it is something that [`write`](Self::write) writes, as what another node sent should be.
    pub(crate) fn is_written(&self) -> bool {
        let is_ref =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let text = self.as_str();
        let is_object = || text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
        let suffix = self.suffix();
        suffix.is_some_and(|(reference, previous)| is_ref(reference) && previous.is_none_or(is_ref))
            && is_object()
    }

    /// The name of this meta.
    pub(crate) fn reference(&self) -> &str {
        self.suffix().map_or("", |(reference, _)| reference)
    }

    /// The name of the meta in whose place this one came.
    pub(crate) fn previous(&self) -> Option<&str> {
        self.suffix()?.1
    }

    /// The same meta in the place of another one, or of none.
    pub(crate) fn with_previous(&self, previous: Option<&str>) -> Self {
        if self.previous() == previous {
            return self.clone();
        }
        let tail = match self.previous() {
            None => REF_MEMBER.len() + REF + 2,
            Some(_) => REF_MEMBER.len() + REF + 2 + PREVIOUS_MEMBER.len() + REF + 2,
        };
        let members = self.as_str()[..self.as_str().len() - tail].trim_end_matches(',');
        EncodedMeta::write(&format!("{members}}}"), self.reference(), previous)
    }

    /// The meta as those who look into it want it.
    pub(crate) fn to_meta(&self) -> Meta {
        // It was written as an object, or read when it came.
        serde_json::from_str(self.as_str()).unwrap_or_default()
    }

    /// `phx_ref` and `phx_ref_prev`, which are the last members.
    fn suffix(&self) -> Option<(&str, Option<&str>)> {
        let text = self.as_str().strip_suffix('}')?;
        if let Some((rest, reference)) = member(text, REF_MEMBER) {
            return (rest.ends_with('{') || rest.ends_with(',')).then_some((reference, None));
        }
        let (rest, previous) = member(text, PREVIOUS_MEMBER)?;
        let (_, reference) = member(rest.strip_suffix(',')?, REF_MEMBER)?;
        Some((reference, Some(previous)))
    }
}

/// The last member of an object's text, if it has this name and a ref as its value, and what is before it.
fn member<'a>(text: &'a str, name: &[u8]) -> Option<(&'a str, &'a str)> {
    let at = text.len().checked_sub(name.len() + REF + MEMBER_END.len())?;
    let bytes = &text.as_bytes()[at..];
    if !bytes.starts_with(name) || !bytes.ends_with(MEMBER_END) {
        return None;
    }
    Some((text.get(..at)?, text.get(at + name.len()..text.len() - MEMBER_END.len())?))
}

/// An object as JSON text, without what presence itself adds; nothing if it is no object.
pub(crate) fn object(meta: impl Serialize) -> Option<String> {
    let text = serde_json::to_string(&meta).ok()?;
    if !text.trim_start().starts_with('{') {
        return None;
    }
    // A backslash may spell a name in another way.
    if !text.contains("phx_ref") && !text.contains('\\') {
        return Some(text);
    }
    let Ok(Value::Object(mut members)) = serde_json::from_str(&text) else { return None };
    if members.remove("phx_ref").is_some() | members.remove("phx_ref_prev").is_some() {
        return serde_json::to_string(&members).ok();
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ONE: &str = "AAAAAAAAAAAAAAA1";
    const TWO: &str = "BBBBBBBBBBBBBB-2";

    #[test]
    fn refs_are_the_last_members_and_can_be_read_and_replaced() {
        for (object, reference, previous, expected) in [
            ("{}", ONE, None, r#"{"phx_ref":"AAAAAAAAAAAAAAA1"}"#),
            (r#"{"n":1}"#, ONE, None, r#"{"n":1,"phx_ref":"AAAAAAAAAAAAAAA1"}"#),
            (
                r#"{"n":{}}"#,
                TWO,
                Some(ONE),
                r#"{"n":{},"phx_ref":"BBBBBBBBBBBBBB-2","phx_ref_prev":"AAAAAAAAAAAAAAA1"}"#,
            ),
            ("{ }\n", TWO, Some(ONE), r#"{"phx_ref":"BBBBBBBBBBBBBB-2","phx_ref_prev":"AAAAAAAAAAAAAAA1"}"#),
        ] {
            let meta = EncodedMeta::write(object, reference, previous);
            assert_eq!(meta.as_str(), expected);
            assert_eq!((meta.reference(), meta.previous()), (reference, previous));
            assert!(EncodedMeta::new(expected).is_written());
            assert_eq!(meta.to_meta()["phx_ref"], reference);
            for other in [None, Some("CCCCCCCCCCCCCCC3")] {
                let replaced = meta.with_previous(other);
                assert_eq!(replaced, EncodedMeta::write(object, reference, other));
                assert_eq!(replaced.with_previous(previous), meta);
            }
        }
    }

    #[test]
    fn text_of_another_shape_is_none_of_ours() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"phx_ref":"short"}"#,
            r#"{"phx_ref":"AAAAAAAAAAAAAAA1""#,
            r#"{"a":{"phx_ref":"AAAAAAAAAAAAAAA1"}}"#,
            r#"{"a":"\"phx_ref\":\"AAAAAAAAAAAAAAA1"}"#,
            r#"{"n":1 "phx_ref":"AAAAAAAAAAAAAAA1"}"#,
            r#"{"phx_ref":"AAAAAAAA\"AAAAA1"}"#,
            r#"["a","phx_ref":"AAAAAAAAAAAAAAA1"}"#,
            "{\"phx_ref\":\"AAAAAAAAAAAAAA\u{e9}\"}",
        ] {
            assert!(!EncodedMeta::new(text).is_written(), "{text}");
        }
    }

    #[test]
    fn an_object_is_text_without_what_presence_adds() {
        for (value, expected) in [
            (json!({}), Some("{}")),
            (json!({"n": 1, "phx_ref": "x", "phx_ref_prev": "y"}), Some(r#"{"n":1}"#)),
            (json!({"text": "phx_ref \\"}), Some(r#"{"text":"phx_ref \\"}"#)),
            (json!([1]), None),
            (json!("{}"), None),
            (json!(null), None),
        ] {
            assert_eq!(object(&value).as_deref(), expected, "{value}");
        }
        let escaped: Box<serde_json::value::RawValue> =
            serde_json::from_str(r#"{"phx\u005fref":"x","n":1}"#).unwrap();
        assert_eq!(object(&escaped).as_deref(), Some(r#"{"n":1}"#));
    }
}
