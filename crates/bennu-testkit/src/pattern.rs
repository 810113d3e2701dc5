//! What a payload must look like.

use std::fmt;

use bennu_protocol::Payload;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What an assertion asks of a payload. The macros make it of their last argument:
///
/// | Written | Matches |
/// | --- | --- |
/// | nothing, or `_` | any payload |
/// | `{"body": "hello", "user": {"id": 7}}` | JSON objects that have these members; others are free, at every depth |
/// | `[1, {"id": 7}]` | JSON arrays of this length whose elements match |
/// | `\|message: Message\| message.id > 7` | what parses as that type and for which the closure holds |
/// | `b"\x01\x02"`, or an expression that is `Bytes` | exactly these bytes |
/// | an expression that is a [`Value`] | as if it were written out |
pub struct Pattern {
    kind: Kind,
    shown: Option<&'static str>,
}

enum Kind {
    Any,
    Json(Value),
    Bytes(Bytes),
    Holds(Check),
}

/// Why a payload does not match, if it does not.
type Check = Box<dyn Fn(&Payload) -> Result<(), String> + Send + Sync>;

impl Pattern {
    /// Matches every payload.
    #[must_use]
    pub fn any() -> Self {
        Pattern { kind: Kind::Any, shown: None }
    }

    /// The source text of the pattern, for failure messages.
    #[must_use]
    #[doc(hidden)]
    pub fn written(self, source: &'static str) -> Self {
        Pattern { shown: Some(source), ..self }
    }

    /// Whether the payload matches; if not, why.
    pub(crate) fn check(&self, payload: &Payload) -> Result<(), String> {
        match &self.kind {
            Kind::Any => Ok(()),
            Kind::Bytes(expected) => match payload {
                Payload::Binary(bytes) if bytes == expected => Ok(()),
                Payload::Binary(_) => Err("the bytes differ".to_owned()),
                Payload::Json(_) => Err("it is JSON, not bytes".to_owned()),
            },
            Kind::Json(expected) => match payload.parse::<Value>() {
                Ok(actual) => difference("", expected, &actual).map_or(Ok(()), Err),
                Err(error) => Err(error.to_string()),
            },
            Kind::Holds(check) => check(payload),
        }
    }
}

/// Where and how `actual` is not what `expected` asks for.
fn difference(path: &str, expected: &Value, actual: &Value) -> Option<String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => expected.iter().find_map(|(key, expected)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match actual.get(key) {
                Some(actual) => difference(&path, expected, actual),
                None => Some(format!("{path} is missing")),
            }
        }),
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let mut pairs = expected.iter().zip(actual).enumerate();
            pairs.find_map(|(index, (expected, actual))| {
                difference(&format!("{path}[{index}]"), expected, actual)
            })
        }
        (expected, actual) if expected == actual => None,
        (expected, actual) => {
            let path = if path.is_empty() { "it" } else { path };
            Some(format!("{path} is {actual}, not {expected}"))
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, self.shown) {
            (Kind::Any, _) => f.write_str("any payload"),
            (Kind::Json(expected), _) => write!(f, "{expected}"),
            (_, Some(source)) => f.write_str(source),
            (Kind::Bytes(bytes), None) => write!(f, "{bytes:?}"),
            (Kind::Holds(_), None) => f.write_str("a closure"),
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({self})")
    }
}

/// What can stand for a [`Pattern`]; `M` only keeps the implementations apart.
pub trait IntoPattern<M> {
    /// Makes the pattern.
    fn into_pattern(self) -> Pattern;
}

/// Marks what is compared.
#[derive(Debug)]
pub enum Compared {}

/// Marks what is parsed as a `T` and asked about.
#[derive(Debug)]
pub struct Typed<T>(std::marker::PhantomData<T>);

impl IntoPattern<Compared> for Pattern {
    fn into_pattern(self) -> Pattern {
        self
    }
}

impl IntoPattern<Compared> for Value {
    fn into_pattern(self) -> Pattern {
        Pattern { kind: Kind::Json(self), shown: None }
    }
}

impl IntoPattern<Compared> for Bytes {
    fn into_pattern(self) -> Pattern {
        Pattern { kind: Kind::Bytes(self), shown: None }
    }
}

impl IntoPattern<Compared> for &[u8] {
    fn into_pattern(self) -> Pattern {
        Bytes::copy_from_slice(self).into_pattern()
    }
}

impl<const N: usize> IntoPattern<Compared> for &[u8; N] {
    fn into_pattern(self) -> Pattern {
        self.as_slice().into_pattern()
    }
}

impl<T: DeserializeOwned, F: Fn(T) -> bool + Send + Sync + 'static> IntoPattern<Typed<T>> for F {
    fn into_pattern(self) -> Pattern {
        let check = move |payload: &Payload| match payload.parse::<T>() {
            Ok(value) => self(value).then_some(()).ok_or_else(|| "the closure says no".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        Pattern { kind: Kind::Holds(Box::new(check)), shown: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_named_is_free_and_the_first_difference_is_told() {
        for (expected, actual, told) in [
            (json!({}), json!({"a": 1}), None),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), None),
            (json!({"a": {"b": [1, {"c": 2}]}}), json!({"a": {"b": [1, {"c": 2, "d": 3}]}}), None),
            (json!({"a": null}), json!({"a": null}), None),
            (json!({"a": null}), json!({}), Some("a is missing")),
            (json!({"a": {"b": 1}}), json!({"a": {"b": "1"}}), Some(r#"a.b is "1", not 1"#)),
            (json!({"a": [1, 2]}), json!({"a": [1, 3]}), Some("a[1] is 3, not 2")),
            (json!({"a": [1]}), json!({"a": [1, 2]}), Some("a is [1,2], not [1]")),
            (json!({"a": 1}), json!([1]), Some(r#"it is [1], not {"a":1}"#)),
        ] {
            let payload = Payload::json(&actual).unwrap();
            let checked = expected.clone().into_pattern().check(&payload);
            assert_eq!(checked.err().as_deref(), told, "{expected} against {actual}");
        }
    }

    #[test]
    fn bytes_and_json_are_never_equal() {
        let bytes = Payload::binary("{}");
        assert_eq!((&b"{}"[..]).into_pattern().check(&bytes), Ok(()));
        assert!(json!({}).into_pattern().check(&bytes).is_err());
        assert!((b"{}").into_pattern().check(&Payload::empty()).is_err());
    }

    #[test]
    fn a_closure_asks_about_a_type() {
        let large = (|numbers: Vec<u32>| numbers.len() > 1).into_pattern();
        for (payload, matches) in [(json!([1, 2]), true), (json!([1]), false), (json!({"a": 1}), false)] {
            assert_eq!(large.check(&Payload::json(&payload).unwrap()).is_ok(), matches, "{payload}");
        }
    }
}
