//! The file as a whole: payloads, channels, and the faces of the official client.

use serde_json::Value;

use crate::contract::{ChannelShape, Settled};
use crate::event::EventShape;
use crate::payload::{Kind, Shape};
use crate::typescript::schema::{comment, declaration, expression, key};

/// Names of the file's own and of the language, which no payload's type may have.
pub(crate) const RESERVED: &[&str] =
    &["ArrayBuffer", "ChannelContract", "Omit", "Record", "TypedChannel", "TypedPush", "TypedSocket"];

/// What does not depend on the contract.
const CLIENT: &str = include_str!("client.d.ts");

/// Writes the file.
pub(crate) fn write(contract: &Settled<'_>) -> String {
    let Settled { title, version, .. } = contract;
    let mut file = format!(
        "// The channels of {title} {version}, written by bennu from their Rust types. Do not edit.\n"
    );
    for (name, schema) in &contract.schemas {
        file += "\n";
        file += &declaration(name, schema);
    }
    for channel in &contract.channels {
        file += "\n";
        file += &channel_contract(channel, &contract.rejection);
    }
    file += "\n";
    file += &socket(contract);
    file += "\n";
    file += CLIENT;
    file
}

/// One channel's contract, from which `TypedChannel` takes its types.
fn channel_contract(channel: &ChannelShape, rejection: &Shape) -> String {
    let ChannelShape { name, pattern, params, response, client_events, server_events } = channel;
    let mut text = format!("/** The contract of `{pattern}`. */\nexport interface {name} {{\n");
    text += &format!("  params: {};\n", of_shape(params, "  "));
    text += &format!(
        "  join: {{ ok: {}; error: {}; timeout: undefined }};\n",
        of_shape(response, "  "),
        of_shape(rejection, "  "),
    );
    text += &block("push", client_events, |event| {
        let payload = match of_shape(&event.payload, "    ").as_str() {
            // Any JSON, of which the official client sends objects.
            "unknown" => "object".to_owned(),
            known => known.to_owned(),
        };
        format!("{{ payload: {payload}; replies: {} }}", replies(event, rejection))
    });
    text += &block("on", server_events, |event| of_shape(&event.payload, "    "));
    text + "}\n"
}

fn block(name: &str, events: &[EventShape], value: impl Fn(&EventShape) -> String) -> String {
    let lines: String = events
        .iter()
        .map(|event| {
            let docs = comment(event.docs, std::iter::empty(), "    ");
            format!("{docs}    {}: {};\n", key(event.name), value(event))
        })
        .collect();
    if lines.is_empty() { format!("  {name}: {{}};\n") } else { format!("  {name}: {{\n{lines}  }};\n") }
}

fn replies(event: &EventShape, rejection: &Shape) -> String {
    let (ok, errors) = event.replies(rejection);
    let ok = ok.map_or_else(String::new, |ok| format!("ok: {}; ", of_shape(ok, "    ")));
    let errors: Vec<String> = errors.into_iter().map(|error| of_shape(error, "    ")).collect();
    format!("{{ {ok}error: {}; timeout: undefined }}", errors.join(" | "))
}

/// The socket's `channel`, with one signature for each pattern, in the order in which they match.
fn socket(contract: &Settled<'_>) -> String {
    let signatures: String = contract
        .channels
        .iter()
        .map(|channel| {
            let params = format!("{0}[\"params\"] | (() => {0}[\"params\"])", channel.name);
            let optional = if can_be_left_out(&channel.params, contract) { "?" } else { "" };
            let topic = topic(&channel.pattern);
            format!(
                "  channel(topic: {topic}, params{optional}: {params}): TypedChannel<{}>;\n",
                channel.name
            )
        })
        .collect();
    format!(
        "/** A `Socket` of the official client that knows the channels: `const socket: TypedSocket = new Socket(…)`. */\n\
         export interface TypedSocket {{\n{signatures}}}\n"
    )
}

/// Whether `{}` will do.
fn can_be_left_out(params: &Shape, contract: &Settled<'_>) -> bool {
    match &params.0 {
        Kind::Empty => true,
        Kind::Binary => false,
        Kind::Json(schema) => allows_empty(schema, contract),
    }
}

/// Whether a schema of objects allows the one without members.
fn allows_empty(schema: &Value, contract: &Settled<'_>) -> bool {
    let name = crate::schemas::reference(schema);
    let schema = name.and_then(|name| contract.schemas.get(&name)).unwrap_or(schema);
    match schema.get("allOf").and_then(Value::as_array) {
        Some(all) => all.iter().all(|schema| allows_empty(schema, contract)),
        None => schema.get("type").is_some_and(|kind| kind == "object") && schema.get("required").is_none(),
    }
}

/// The type of the topics of a pattern.
fn topic(pattern: &str) -> String {
    match pattern.strip_suffix('*') {
        Some("") => "string".into(),
        Some(prefix) => {
            format!("`{}${{string}}`", prefix.replace('\\', "\\\\").replace('`', "\\`").replace("${", "\\${"))
        }
        None => Value::from(pattern).to_string(),
    }
}

fn of_shape(shape: &Shape, indent: &str) -> String {
    match &shape.0 {
        Kind::Empty => "Record<string, never>".into(),
        Kind::Binary => "ArrayBuffer".into(),
        Kind::Json(schema) => expression(schema, indent),
    }
}
