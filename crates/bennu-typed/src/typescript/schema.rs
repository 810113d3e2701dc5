//! JSON schemas as TypeScript types.

use serde_json::{Map, Value};

use crate::schemas::reference;

/// The declaration of a named schema: an interface for an object, otherwise an alias.
pub(crate) fn declaration(name: &str, schema: &Value) -> String {
    let docs = docs(schema, "");
    match schema.as_object().filter(|schema| is_plain_object(schema)) {
        Some(object) => format!("{docs}export interface {name} {}\n", members(object, "")),
        None => format!("{docs}export type {name} = {};\n", expression(schema, "")),
    }
}

/// The type of values that a schema allows, for a place that is indented so.
pub(crate) fn expression(schema: &Value, indent: &str) -> String {
    let Some(schema) = schema.as_object() else {
        return if schema == &Value::Bool(false) { "never".into() } else { "unknown".into() };
    };
    if let Some(name) = reference(&Value::Object(schema.clone())) {
        return name;
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = array(schema, "enum") {
        return union(values.iter().map(ToString::to_string));
    }
    let all = array(schema, "allOf").into_iter().flatten().map(|part| expression(part, indent));
    let any = ["anyOf", "oneOf"].into_iter().filter_map(|key| array(schema, key));
    let any = any.map(|parts| union(parts.iter().map(|part| expression(part, indent))));
    // An object whose alternatives are beside its own members, as an enum flattened into a struct.
    let own = own_type(schema, indent);
    let parts: Vec<String> = own.into_iter().chain(all).chain(any).collect();
    match parts.len() {
        0 => "unknown".into(),
        1 => parts.into_iter().next().unwrap_or_default(),
        _ => parts.iter().map(|part| grouped(part)).collect::<Vec<_>>().join(" & "),
    }
}

/// A comment of what people should know, with `indent` in front of each line.
pub(crate) fn docs(schema: &Value, indent: &str) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let format = schema.get("format").and_then(Value::as_str);
    // Widths of numbers mean nothing to JavaScript, where all are doubles.
    let format = format.filter(|_| schema.get("type").is_some_and(|kind| mentions(kind, "string")));
    let tags = [
        format.map(|format| format!("@format {format}")),
        schema.get("default").map(|value| format!("@default {value}")),
        schema.get("deprecated").filter(|flag| **flag == Value::Bool(true)).map(|_| "@deprecated".into()),
    ];
    comment(text, tags.into_iter().flatten(), indent)
}

/// A comment of this text and these tags, or nothing.
pub(crate) fn comment(text: &str, tags: impl Iterator<Item = String>, indent: &str) -> String {
    let lines = text.lines().map(str::to_owned).chain(tags);
    let lines: Vec<String> = lines.map(|line| line.replace("*/", "*\\/")).collect();
    match &lines[..] {
        [] => String::new(),
        [line] => format!("{indent}/** {line} */\n"),
        lines => {
            let text: String =
                lines.iter().map(|line| format!("{indent} * {line}").trim_end().to_owned() + "\n").collect();
            format!("{indent}/**\n{text}{indent} */\n")
        }
    }
}

/// A member's name as it stands in a type.
pub(crate) fn key(name: &str) -> String {
    let mut letters = name.chars();
    let is_identifier =
        letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_' || first == '$')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$');
    if is_identifier { name.to_owned() } else { Value::from(name).to_string() }
}

/// What `type`, `properties` and `items` say, if they are there.
fn own_type(schema: &Map<String, Value>, indent: &str) -> Option<String> {
    match schema.get("type") {
        Some(Value::String(kind)) => Some(of_kind(kind, schema, indent)),
        Some(Value::Array(kinds)) => {
            Some(union(kinds.iter().filter_map(Value::as_str).map(|kind| of_kind(kind, schema, indent))))
        }
        _ => schema.contains_key("properties").then(|| of_kind("object", schema, indent)),
    }
}

fn of_kind(kind: &str, schema: &Map<String, Value>, indent: &str) -> String {
    match kind {
        "integer" | "number" => "number".into(),
        "string" | "boolean" | "null" => kind.into(),
        "array" => items(schema, indent),
        "object" => object(schema, indent),
        _ => "unknown".into(),
    }
}

fn items(schema: &Map<String, Value>, indent: &str) -> String {
    match schema.get("items") {
        None => "unknown[]".into(),
        Some(Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| expression(item, indent)).collect();
            format!("[{}]", items.join(", "))
        }
        Some(item) => {
            let item = expression(item, indent);
            // An array of a fixed length is a tuple.
            match (length(schema, "minItems"), length(schema, "maxItems")) {
                (Some(least), Some(most)) if least == most && most <= 8 => {
                    format!("[{}]", vec![item; most].join(", "))
                }
                _ => format!("{}[]", grouped(&item)),
            }
        }
    }
}

fn length(schema: &Map<String, Value>, key: &str) -> Option<usize> {
    schema.get(key)?.as_u64()?.try_into().ok()
}

/// An object: its members, its map, or both.
fn object(schema: &Map<String, Value>, indent: &str) -> String {
    let has_members = schema.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
    match (has_members, map_values(schema)) {
        (true, None) => members(schema, indent),
        (true, Some(values)) => {
            let values = expression(values, indent);
            format!("{} & {{ [key: string]: {values} }}", members(schema, indent))
        }
        (false, Some(values)) => format!("{{ [key: string]: {} }}", expression(values, indent)),
        // A struct without members, or an object of which nothing is known.
        (false, None) if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
            "Record<string, never>".into()
        }
        (false, None) => "{ [key: string]: unknown }".into(),
    }
}

/// The schema of a map's values. Maps with keys of numbers have a pattern for their keys.
fn map_values(schema: &Map<String, Value>) -> Option<&Value> {
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    let further = schema.get("additionalProperties").filter(|values| **values != Value::Bool(false));
    patterns.and_then(|patterns| patterns.values().next()).or(further)
}

fn members(schema: &Map<String, Value>, indent: &str) -> String {
    let required = array(schema, "required").map(Vec::as_slice).unwrap_or_default();
    let inner = format!("{indent}  ");
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let lines: String = properties
        .map(|(name, schema)| {
            let optional = if required.iter().any(|required| required == name) { "" } else { "?" };
            let (docs, value) = (docs(schema, &inner), expression(schema, &inner));
            format!("{docs}{inner}{}{optional}: {value};\n", key(name))
        })
        .collect();
    if lines.is_empty() { "{}".into() } else { format!("{{\n{lines}{indent}}}") }
}

/// Whether the schema says nothing but which members an object has.
fn is_plain_object(schema: &Map<String, Value>) -> bool {
    let combined = ["allOf", "anyOf", "oneOf", "patternProperties", "enum", "const"];
    let has_members = schema.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
    schema.get("type").is_some_and(|kind| kind == "object")
        && has_members
        && map_values(schema).is_none()
        && !combined.iter().any(|key| schema.contains_key(*key))
}

fn union(parts: impl Iterator<Item = String>) -> String {
    let mut different: Vec<String> = Vec::new();
    for part in parts {
        if !different.contains(&part) {
            different.push(part);
        }
    }
    if different.is_empty() { "never".into() } else { different.join(" | ") }
}

/// In parentheses where an operator or brackets would otherwise take a part of it.
fn grouped(expression: &str) -> String {
    let depth_zero = |text: &str| {
        let mut depth = 0_i32;
        text.char_indices().any(|(index, letter)| {
            match letter {
                '{' | '[' | '(' | '<' => depth += 1,
                '}' | ']' | ')' | '>' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(letter, '|' | '&') && index > 0
        })
    };
    if depth_zero(expression) { format!("({expression})") } else { expression.to_owned() }
}

fn array<'a>(schema: &'a Map<String, Value>, key: &str) -> Option<&'a Vec<Value>> {
    schema.get(key).and_then(Value::as_array)
}

fn mentions(kind: &Value, name: &str) -> bool {
    kind == name || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
}
