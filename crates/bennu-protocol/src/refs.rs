//! Message references, which belong to the client and come back as they were sent.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::EncodeError;
use crate::json;

/// The `ref` or `join_ref` of a message: any JSON value but null, which is `None`.
///
/// Two refs are equal when they are the same JSON value of the same type: `1`,
/// `1.0` and `"1"` all differ. A ref that a client sends as `"17"` takes no heap.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ref(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// A JSON string of decimal digits without a leading zero, as every official client sends.
    Decimal(u64),
    /// Canonical JSON text of any other value.
    Json(Box<str>),
    /// Bytes of a binary frame that are no UTF-8; they have no form in JSON.
    Raw(Box<[u8]>),
}

impl Ref {
    /// The ref that stands for this JSON string.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match decimal(text.as_bytes()) {
            Some(number) => Ref(Repr::Decimal(number)),
            None => Ref(Repr::Json(quoted(text))),
        }
    }

    /// The ref that stands for the JSON string of this number.
    pub(crate) fn from_number(number: impl Into<u64>) -> Self {
        Ref(Repr::Decimal(number.into()))
    }

    /// The number that a client's counter gave, if it is one.
    pub(crate) fn as_counted(&self) -> Option<u64> {
        match self.0 {
            Repr::Decimal(number) => Some(number),
            Repr::Json(_) | Repr::Raw(_) => None,
        }
    }

    /// The number, if it is the JSON string of one.
    pub(crate) fn as_number(&self) -> Option<u32> {
        match self.0 {
            Repr::Decimal(number) => number.try_into().ok(),
            Repr::Json(_) | Repr::Raw(_) => None,
        }
    }

    /// The ref of a field in a binary frame; an empty field is the empty string.
    #[must_use]
    pub fn from_binary(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ref::from_text(text),
            Err(_) => Ref(Repr::Raw(bytes.into())),
        }
    }

    /// The ref of a validated JSON value, `None` for null.
    pub(crate) fn from_json(raw: &str) -> Option<Self> {
        if let Some(number) = quoted_decimal(raw.as_bytes()) {
            return Some(Ref(Repr::Decimal(number)));
        }
        if raw == "null" {
            return None;
        }
        if let Some(text) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
            && !text.contains('\\')
        {
            return Some(Ref::from_text(text));
        }
        Some(match serde_json::from_str::<serde_json::Value>(raw) {
            Ok(serde_json::Value::String(text)) => Ref::from_text(&text),
            Ok(serde_json::Value::Number(_)) => Ref(Repr::Json(canonical_number(raw))),
            Ok(value) => Ref(Repr::Json(value.to_string().into())),
            // Nested deeper than serde_json reads: kept as it came.
            Err(_) => Ref(Repr::Json(raw.into())),
        })
    }

    /// Bytes that it keeps beside its own place.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        match &self.0 {
            Repr::Decimal(_) => 0,
            Repr::Json(text) => text.len(),
            Repr::Raw(bytes) => bytes.len(),
        }
    }

    /// Appends the ref as JSON.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>, field: &'static str) -> Result<(), EncodeError> {
        match &self.0 {
            Repr::Decimal(number) => {
                out.push(b'"');
                out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
                out.push(b'"');
            }
            Repr::Json(text) => out.extend_from_slice(text.as_bytes()),
            Repr::Raw(_) => return Err(EncodeError::NotUtf8(field)),
        }
        Ok(())
    }

    /// The ref as a field of a binary frame: a string's bytes, a number's digits.
    pub(crate) fn to_binary(&self, field: &'static str) -> Result<Vec<u8>, EncodeError> {
        match &self.0 {
            Repr::Decimal(number) => Ok(number.to_string().into_bytes()),
            Repr::Raw(bytes) => Ok(bytes.to_vec()),
            Repr::Json(text) => match serde_json::from_str(text) {
                Ok(serde_json::Value::String(text)) => Ok(text.into_bytes()),
                Ok(serde_json::Value::Number(_)) => Ok(text.as_bytes().to_vec()),
                _ => Err(EncodeError::NoBinaryForm(field)),
            },
        }
    }
}

/// How many bytes [`write_json`] appends.
pub(crate) fn json_len(reference: Option<&Ref>) -> usize {
    match reference.map(|reference| &reference.0) {
        Some(Repr::Decimal(number)) => 3 + number.checked_ilog10().unwrap_or_default() as usize,
        Some(Repr::Json(text)) => text.len(),
        Some(Repr::Raw(_)) => 0,
        None => "null".len(),
    }
}

/// Appends an optional ref as JSON, null when there is none.
pub(crate) fn write_json(
    out: &mut Vec<u8>,
    reference: Option<&Ref>,
    field: &'static str,
) -> Result<(), EncodeError> {
    match reference {
        Some(reference) => reference.write_json(out, field),
        None => {
            out.extend_from_slice(b"null");
            Ok(())
        }
    }
}

impl Serialize for Ref {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Repr::Decimal(number) => serializer.collect_str(number),
            Repr::Json(text) => {
                let raw: &RawValue = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
                raw.serialize(serializer)
            }
            Repr::Raw(_) => Err(serde::ser::Error::custom("a ref that is no UTF-8 has no form in JSON")),
        }
    }
}

impl std::fmt::Debug for Ref {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Repr::Decimal(number) => write!(f, "\"{number}\""),
            Repr::Json(text) => f.write_str(text),
            Repr::Raw(bytes) => write!(f, "{bytes:?}"),
        }
    }
}

/// The number of a decimal without a leading zero that fits.
fn decimal(digits: &[u8]) -> Option<u64> {
    // 19 digits are always below 2^64.
    let is_canonical = (1..=19).contains(&digits.len()) && (digits[0] != b'0' || digits.len() == 1);
    if !is_canonical {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Some(number * 10 + u64::from(digit - b'0')),
        _ => None,
    })
}

fn quoted_decimal(json: &[u8]) -> Option<u64> {
    match json {
        [b'"', digits @ .., b'"'] => decimal(digits),
        _ => None,
    }
}

fn quoted(text: &str) -> Box<str> {
    let mut out = Vec::with_capacity(text.len() + 2);
    json::write_string(&mut out, text);
    String::from_utf8(out).expect("a JSON string of text is text").into()
}

/// Integers keep every digit; other numbers are compared by value, so they get one spelling.
fn canonical_number(raw: &str) -> Box<str> {
    if raw == "-0" {
        return "0".into();
    }
    if raw.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return raw.into();
    }
    match raw.parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
        Some(number) => number.to_string().into(),
        None => raw.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echoed(raw: &str) -> String {
        let mut out = Vec::new();
        write_json(&mut out, Ref::from_json(raw).as_ref(), "ref").unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn refs_come_back_with_their_type() {
        for (sent, back) in [
            ("null", "null"),
            (r#""1""#, r#""1""#),
            (r#""01""#, r#""01""#),
            (r#""""#, r#""""#),
            ("1", "1"),
            ("1.0", "1.0"),
            ("1e2", "100.0"),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("true", "true"),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (r#""a\"b""#, r#""a\"b""#),
            (r#""99999999999999999999""#, r#""99999999999999999999""#),
        ] {
            assert_eq!(echoed(sent), back, "{sent}");
        }
    }

    #[test]
    fn equality_is_of_values_and_types() {
        let all = ["1", "1.0", r#""1""#, "true", r#""01""#, "2"];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(Ref::from_json(a) == Ref::from_json(b), i == j, "{a} {b}");
            }
        }
        assert_eq!(Ref::from_json(r#""\u0031""#), Ref::from_json(r#""1""#));
        assert_eq!(Ref::from_json("1.50"), Ref::from_json("15e-1"));
    }

    #[test]
    fn a_ref_is_small() {
        assert!(size_of::<Option<Ref>>() <= 24);
    }

    #[test]
    fn bytes_that_are_no_text_have_no_json_form() {
        let reference = Ref::from_binary(&[0xff]);
        assert_eq!(reference.to_binary("ref").unwrap(), [0xff]);
        assert_eq!(reference.write_json(&mut Vec::new(), "ref"), Err(EncodeError::NotUtf8("ref")));
    }
}
