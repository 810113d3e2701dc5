//! Under which key a client is tracked.

use bennu::Payload;
use serde_json::{Map, Value};

/// The member `name` of a join payload, as text, if it is there.
pub(crate) fn from_join(payload: &Payload, name: &str) -> Option<String> {
    let members: Map<String, Value> = payload.parse().ok()?;
    match members.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
