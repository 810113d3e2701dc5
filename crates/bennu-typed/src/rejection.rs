//! What a client is told when its message cannot be served.

use std::collections::BTreeMap;

use bennu_protocol::Payload;
use bennu_server::{ChannelError, JoinRefusal};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Why a message or a join is refused, in words for its sender: the response of an error reply.
///
/// On the wire it is `{"reason": "invalid payload", "errors": {"body": ["is empty"]}}`, and
/// `errors` is left out when there are none. With `?`, a handler or a join ends with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// A doc comment would become the description of the schema, which clients read.
#[schemars(description = "Why a message or a join was refused.")]
pub struct Rejection {
    /// Why, in a few words.
    pub reason: String,
    /// What is wrong with which field, by path, such as `items[2].name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, Vec<String>>,
}

impl Rejection {
    /// The path of the payload as a whole.
    pub const WHOLE: &'static str = ".";

    /// A refusal that is not about a field, such as `unauthorized`.
    pub fn reason(reason: impl Into<String>) -> Self {
        Rejection { reason: reason.into(), errors: BTreeMap::new() }
    }

    /// A payload with a wrong field; the reason is `invalid payload`.
    pub fn invalid(path: impl Into<String>, error: impl Into<String>) -> Self {
        Rejection::reason("invalid payload").and(path, error)
    }

    /// Adds what is wrong with a field.
    #[must_use]
    pub fn and(mut self, path: impl Into<String>, error: impl Into<String>) -> Self {
        self.errors.entry(path.into()).or_default().push(error.into());
        self
    }
}

impl From<Rejection> for ChannelError {
    fn from(rejection: Rejection) -> Self {
        ChannelError::reply(rejection)
    }
}

impl From<Rejection> for JoinRefusal {
    fn from(rejection: Rejection) -> Self {
        JoinRefusal::with(rejection)
    }
}

/// Reads a payload, as [`Payload::parse`] does, and names the field that is wrong. It serves
/// untyped channels as well: `let message: NewMessage = parse(&payload)?;`.
///
/// # Errors
///
/// A [`Rejection`] with the first thing that is wrong, since serde stops there.
pub fn parse<T: DeserializeOwned>(payload: &Payload) -> Result<T, Rejection> {
    let Some(text) = payload.as_json() else {
        return Err(Rejection::invalid(Rejection::WHOLE, "expected JSON, got binary"));
    };
    // Keeping track of the path costs time, so that is left to payloads that are wrong.
    serde_json::from_slice(text).or_else(|_| {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| rejection(&error))
    })
}

/// What serde says about a missing or unknown field is said about the object that has, or lacks, it.
const ABOUT_A_MEMBER: &[(&str, &str)] = &[
    ("missing field `", "is missing"),
    ("unknown field `", "is unknown"),
    ("duplicate field `", "is there twice"),
];

fn rejection(error: &serde_path_to_error::Error<serde_json::Error>) -> Rejection {
    let (path, text) = (error.path(), message(error.inner()));
    for (start, instead) in ABOUT_A_MEMBER {
        let Some((member, _)) = text.strip_prefix(start).and_then(|rest| rest.split_once('`')) else {
            continue;
        };
        let is_at_the_member = path.iter().next_back().is_some_and(|last| last.to_string() == member);
        let path = match path.iter().next() {
            None => member.to_owned(),
            Some(_) if is_at_the_member => path.to_string(),
            Some(_) => format!("{path}.{member}"),
        };
        return Rejection::invalid(path, *instead);
    }
    Rejection::invalid(path.to_string(), text)
}

/// The text without the position, which means nothing to who built the payload from values.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Order {
        id: u64,
        #[serde(default)]
        items: Vec<Item>,
        kind: Option<OrderKind>,
        email: Option<Email>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Item {
        name: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum OrderKind {
        Express,
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Email;

    impl TryFrom<String> for Email {
        type Error = &'static str;

        fn try_from(text: String) -> Result<Self, Self::Error> {
            if text.contains('@') { Ok(Email) } else { Err("has no @") }
        }
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        for (payload, path, error) in [
            (json!({}), "id", "is missing"),
            (json!({"id": "7"}), "id", "invalid type: string \"7\", expected u64"),
            (json!({"id": -1}), "id", "invalid value: integer `-1`, expected u64"),
            (json!({"id": 1, "items": [{"name": "a"}, {}]}), "items[1].name", "is missing"),
            (
                json!({"id": 1, "items": [{"name": 2}]}),
                "items[0].name",
                "invalid type: integer `2`, expected a string",
            ),
            (json!({"id": 1, "colour": "red"}), "colour", "is unknown"),
            (json!({"id": 1, "kind": "slow"}), "kind", "unknown variant `slow`, expected `express`"),
            (json!({"email": "ada", "id": 1, "kind": "express"}), "email", "has no @"),
            (json!([]), ".", "invalid length 0, expected struct Order with 4 elements"),
            (json!(null), ".", "invalid type: null, expected struct Order"),
        ] {
            let rejection = parse::<Order>(&Payload::json(&payload).unwrap()).unwrap_err();
            assert_eq!(rejection, Rejection::invalid(path, error), "{payload}");
        }
        let twice = Payload::Json(r#"{"id": 1, "id": 2}"#.into());
        assert_eq!(parse::<Order>(&twice).unwrap_err(), Rejection::invalid("id", "is there twice"));
        let binary = Payload::binary(vec![1]);
        assert_eq!(parse::<Order>(&binary).unwrap_err().errors["."], ["expected JSON, got binary"]);
    }

    #[test]
    fn a_rejection_without_fields_is_a_reason_alone() {
        assert_eq!(json!(Rejection::reason("unauthorized")), json!({"reason": "unauthorized"}));
        assert_eq!(
            json!(Rejection::invalid("body", "is empty").and("body", "is rude")),
            json!({"reason": "invalid payload", "errors": {"body": ["is empty", "is rude"]}})
        );
    }
}
