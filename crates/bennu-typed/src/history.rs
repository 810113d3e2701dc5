//! What a topic's history adds to the messages of its channel.

use serde_json::{Value, json};

/// In the params of a join.
pub(crate) fn recover() -> Value {
    let position = json!({
        "type": "object",
        "properties": { "epoch": { "type": "string" }, "offset": offset_schema() },
        "required": ["epoch", "offset"],
    });
    let recover = json!({
        "description": "Where the client was: what it missed since then is sent again, all of it or nothing.",
        "anyOf": [position, { "type": "null" }],
    });
    json!({ "type": "object", "properties": { "recover": recover } })
}

/// In the response to a join.
pub(crate) fn position() -> Value {
    json!({
        "type": "object",
        "properties": {
            "epoch": { "type": "string", "description": "Which history the offset is of." },
            "offset": offset_schema(),
            "recovered": { "type": "boolean", "description": "Whether `recover`, if it was there, will be had." },
        },
        "required": ["epoch", "offset"],
    })
}

/// In the payload of a broadcast.
pub(crate) fn offset() -> Value {
    let mut offset = offset_schema();
    offset["description"] = "Its place in the history, if it is a broadcast.".into();
    json!({ "type": "object", "properties": { "phx_offset": offset } })
}

fn offset_schema() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}
