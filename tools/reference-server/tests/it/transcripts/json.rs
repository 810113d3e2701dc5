//! JSON values with nothing lost: numbers as they are written, members that come twice.

use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    /// Members in their order; one name may come twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn parse(text: &str) -> Result<Json, serde_json::Error> {
        let raw: &RawValue = serde_json::from_str(text)?;
        let text = raw.get().trim();
        Ok(match text.as_bytes()[0] {
            b'n' => Json::Null,
            b't' | b'f' => Json::Bool(text == "true"),
            b'"' => Json::Text(serde_json::from_str(text)?),
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                Json::List(items.into_iter().map(|item| Json::parse(item.get())).collect::<Result<_, _>>()?)
            }
            b'{' => Json::Object(serde_json::Deserializer::from_str(text).deserialize_map(Members)?),
            _ => Json::Number(text.to_owned()),
        })
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, Json)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            members.push((name, Json::parse(value.get()).map_err(A::Error::custom)?));
        }
        Ok(members)
    }
}

/// Whether two spellings are one number: integers digit by digit, others as doubles, and never one as the other.
pub(crate) fn same_number(one: &str, other: &str) -> bool {
    let is_integer = |text: &str| !text.contains(['.', 'e', 'E']);
    match (is_integer(one), is_integer(other)) {
        (true, true) => one == other,
        (false, false) => {
            let bits = |text: &str| text.parse::<f64>().map(f64::to_bits);
            bits(one) == bits(other) && bits(one).is_ok()
        }
        (true, false) | (false, true) => false,
    }
}

#[test]
fn numbers_are_compared_without_losing_digits() {
    for (one, other, same) in [
        ("1", "1", true),
        ("1", "1.0", false),
        ("1.10", "1.1", true),
        ("1e2", "100.0", true),
        ("-0.0", "0.0", false),
        ("123456789012345678901", "123456789012345678902", false),
        ("1.0e30", "1e30", true),
    ] {
        assert_eq!(same_number(one, other), same, "{one} {other}");
    }
}

#[test]
fn members_that_come_twice_are_kept() {
    let Json::Object(members) = Json::parse(r#" {"a": 1, "b": [true, null], "a": "x"} "#).unwrap() else {
        panic!("an object");
    };
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "b", "a"]);
}
