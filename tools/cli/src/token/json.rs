//! Erlang's terms as JSON, for programs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu_token::Term;
use bennu_token::term::BigInteger;
use serde_json::{Map, Number, Value, json};

/// What an Elixir program would most likely have meant: atoms are text, tuples are arrays. Bytes that are no text are
/// `{"base64": "…"}`. `inspect` without `--json` tells all kinds apart.
pub(super) fn value(term: &Term) -> Value {
    match term {
        Term::Integer(value) => (*value).into(),
        Term::BigInteger(value) => big(value),
        Term::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Term::Atom(name) => atom(name),
        Term::Binary(bytes) => bytes_value(bytes),
        Term::Bitstring { bytes, last_bits } => {
            json!({"base64": STANDARD.encode(bytes), "last_bits": last_bits})
        }
        Term::Tuple(elements) | Term::List(elements) => elements.iter().map(value).collect(),
        Term::ImproperList(elements, tail) => elements.iter().chain([&**tail]).map(value).collect(),
        Term::Map(map) => {
            let entries = map.iter().map(|(key, element)| (key_text(key), value(element)));
            Value::Object(entries.collect::<Map<String, Value>>())
        }
        other => Value::String(format!("{other:?}")),
    }
}

fn atom(name: &str) -> Value {
    match name {
        "nil" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => name.into(),
    }
}

fn bytes_value(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({"base64": STANDARD.encode(bytes)}),
    }
}

/// As a number where 64 bits hold it, else its digits as text.
fn big(value: &BigInteger) -> Value {
    match value.to_u128() {
        Some(small) if u64::try_from(small).is_ok() => json!(small as u64),
        _ => digits(value).into(),
    }
}

/// In decimal where 128 bits hold it, else in hexadecimal.
pub(super) fn digits(value: &BigInteger) -> String {
    if let Some(small) = value.to_i128() {
        return small.to_string();
    }
    let hex: String = value.magnitude().iter().rev().map(|byte| format!("{byte:02X}")).collect();
    let sign = if value.is_negative() { "-" } else { "" };
    format!("{sign}0x{}", hex.trim_start_matches('0'))
}

fn key_text(key: &Term) -> String {
    match value(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_as_json() {
        let atom = Term::atom;
        for (name, term, json) in [
            ("text", Term::from("a"), json!("a")),
            ("bytes", Term::Binary(vec![255]), json!({"base64": "/w=="})),
            ("atom", atom("admin"), json!("admin")),
            ("nil", Term::nil(), json!(null)),
            ("tuple", Term::tuple([atom("ok"), 1.into()]), json!(["ok", 1])),
            ("map", Term::map([(atom("user_id"), 42)]), json!({"user_id": 42})),
            ("map of integers", Term::map([(1, "one")]), json!({"1": "one"})),
            ("large", Term::from(u64::MAX), json!(u64::MAX)),
        ] {
            assert_eq!(value(&term), json, "{name}");
        }
    }
}
