//! The AsyncAPI 3.0 document of a contract.

use serde_json::{Map, Value, json};

use crate::contract::{ChannelShape, Settled};
use crate::event::{EventShape, ReplyShape};
use crate::payload::{Kind, Shape};
use crate::schemas::plain;

/// How messages are on the wire, which AsyncAPI has no words for.
const WIRE: &str = "Phoenix Channels: every message is the JSON array [join_ref, ref, topic, event, payload], or a binary \
                    frame of the same five. A message's name here is its event, and its payload is the fifth.";

/// Builds the document. The server is the application that is described: it receives what clients push.
pub(crate) fn document(contract: &Settled<'_>) -> Value {
    let mut document = Document::default();
    for channel in &contract.channels {
        document.channel(channel, &contract.rejection);
    }
    let description = match contract.description {
        Some(description) => format!("{description}\n\n{WIRE}"),
        None => WIRE.to_owned(),
    };
    let schemas: Map<String, Value> = contract.schemas.clone().into_iter().collect();
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": { "title": contract.title, "version": contract.version, "description": description },
        "defaultContentType": "application/json",
        "channels": document.channels,
        "operations": document.operations,
        "components": { "schemas": schemas },
    });
    document.sort_all_objects();
    document
}

#[derive(Default)]
struct Document {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
}

/// The messages of one channel, by key: letters that keys and references have, so that
/// `message:new` becomes `message_new`.
struct Messages<'a> {
    channel: &'a str,
    messages: Map<String, Value>,
}

impl Document {
    fn channel(&mut self, channel: &ChannelShape, rejection: &Shape) {
        let mut messages = Messages { channel: &channel.name, messages: Map::new() };
        self.client_event(&join(channel, rejection), rejection, &mut messages);
        for event in &channel.client_events {
            self.client_event(event, rejection, &mut messages);
        }
        for event in &channel.server_events {
            self.server_event(event, &mut messages);
        }
        let (address, parameters) = address(&channel.pattern);
        let mut described = json!({ "address": address, "messages": messages.messages });
        if let Some(parameters) = parameters {
            described["parameters"] = parameters;
        }
        self.channels.insert(channel.name.clone(), described);
    }

    fn client_event(&mut self, event: &EventShape, rejection: &Shape, messages: &mut Messages<'_>) {
        let key = messages.event("receive", event);
        let (ok, errors) = event.replies(rejection);
        let ok = ok.map(|ok| messages.reply(event.name, "ok", &[ok]));
        let error = messages.reply(event.name, "error", &errors);
        let replies = ok.into_iter().chain([error]).collect();
        self.operation(messages.channel, "receive", &key, event.docs, Some(replies));
    }

    fn server_event(&mut self, event: &EventShape, messages: &mut Messages<'_>) {
        let key = messages.event("send", event);
        self.operation(messages.channel, "send", &key, event.docs, None);
    }

    fn operation(
        &mut self,
        channel: &str,
        action: &str,
        message: &str,
        docs: &str,
        replies: Option<Vec<String>>,
    ) {
        let of_channel = json!({ "$ref": format!("#/channels/{channel}") });
        let message_of = |key: &str| json!({ "$ref": format!("#/channels/{channel}/messages/{key}") });
        let mut operation =
            json!({ "action": action, "channel": of_channel, "messages": [message_of(message)] });
        if !docs.is_empty() {
            operation["description"] = docs.into();
        }
        if let Some(replies) = replies {
            let messages: Vec<Value> = replies.iter().map(|key| message_of(key)).collect();
            operation["reply"] = json!({ "channel": of_channel, "messages": messages });
        }
        // A message's key is unique in its channel.
        self.operations.insert(format!("{channel}.{message}"), operation);
    }
}

impl Messages<'_> {
    /// Adds the message of an event, and gives its key.
    fn event(&mut self, action: &str, event: &EventShape) -> String {
        let Content { content_type, schema } = payload(&event.payload);
        let mut message = json!({
            "name": event.name,
            "title": format!("{} {}", self.channel, event.name),
            "contentType": content_type,
            "payload": schema,
        });
        if !event.docs.is_empty() {
            message["description"] = event.docs.into();
        }
        self.add(&format!("{action}.{}", event.name), message)
    }

    /// Adds a reply to an event, which has its status beside the response, and gives its key.
    fn reply(&mut self, event: &str, status: &str, responses: &[&Shape]) -> String {
        let mut contents: Vec<Content> = responses.iter().map(|response| payload(response)).collect();
        let Content { content_type, schema } = match contents.len() {
            1 => contents.remove(0),
            _ => Content::either(contents),
        };
        let schema = match content_type {
            JSON => json!({
                "type": "object",
                "properties": { "status": { "const": status }, "response": schema },
                "required": ["status", "response"],
            }),
            // In a binary frame the status stands in the event's place.
            _ => schema,
        };
        let message = json!({
            "name": "phx_reply",
            "title": format!("{} {event}: {status}", self.channel),
            "contentType": content_type,
            "payload": schema,
        });
        self.add(&format!("reply.{event}.{status}"), message)
    }

    fn add(&mut self, wish: &str, message: Value) -> String {
        let mut key = wish.split('.').map(plain).collect::<Vec<_>>().join(".");
        while self.messages.contains_key(&key) {
            key.push('_');
        }
        self.messages.insert(key.clone(), message);
        key
    }
}

/// A join is an event as any other: its payload is the params, its reply the response.
fn join(channel: &ChannelShape, rejection: &Shape) -> EventShape {
    let reply = ReplyShape { ok: channel.response.clone(), error: rejection.clone() };
    EventShape {
        name: "phx_join",
        docs: "Joins the topic.",
        payload: channel.params.clone(),
        reply: Some(reply),
    }
}

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// A payload as AsyncAPI describes it.
struct Content {
    content_type: &'static str,
    schema: Value,
}

impl Content {
    fn either(contents: Vec<Content>) -> Self {
        let schemas: Vec<Value> = contents.into_iter().map(|content| content.schema).collect();
        Content { content_type: JSON, schema: json!({ "anyOf": schemas }) }
    }
}

fn payload(shape: &Shape) -> Content {
    match &shape.0 {
        Kind::Empty => Content { content_type: JSON, schema: json!({ "type": "object" }) },
        Kind::Binary => {
            Content { content_type: BYTES, schema: json!({ "type": "string", "format": "binary" }) }
        }
        Kind::Json(schema) => Content { content_type: JSON, schema: schema.clone() },
    }
}

/// The address of a pattern, with a parameter for its `*`.
fn address(pattern: &str) -> (String, Option<Value>) {
    match pattern.strip_suffix('*') {
        Some(prefix) => {
            let rest = json!({ "description": format!("What follows {prefix:?} in the topic.") });
            (format!("{prefix}{{rest}}"), Some(json!({ "rest": rest })))
        }
        None => (pattern.to_owned(), None),
    }
}
