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
    Type::of(schema, indent).text
}

/// A type as it is written.
struct Type {
    text: String,
    /// Whether `|` or `&` joins its parts, so that it needs parentheses inside of others.
    is_joined: bool,
}

impl Type {
    fn of(schema: &Value, indent: &str) -> Self {
        let Some(object) = schema.as_object() else {
            return Type::simple(if schema == &Value::Bool(false) { "never" } else { "unknown" });
        };
        if let Some(name) = reference(schema) {
            return Type::simple(name);
        }
        if let Some(value) = object.get("const") {
            return Type::simple(value.to_string());
        }
        if let Some(values) = array(object, "enum") {
            return Type::union(values.iter().map(|value| Type::simple(value.to_string())));
        }
        // An object can have alternatives beside its own members, as an enum flattened into a struct.
        let own = own_type(object, indent);
        let all = array(object, "allOf").into_iter().flatten().map(|part| Type::of(part, indent));
        let any = ["anyOf", "oneOf"].into_iter().filter_map(|key| array(object, key));
        let any = any.map(|parts| Type::union(parts.iter().map(|part| Type::of(part, indent))));
        Type::intersection(own.into_iter().chain(all).chain(any).collect())
    }

    fn simple(text: impl Into<String>) -> Self {
        Type { text: text.into(), is_joined: false }
    }

    fn union(parts: impl Iterator<Item = Type>) -> Self {
        let mut different: Vec<Type> = Vec::new();
        for part in parts {
            if !different.iter().any(|other| other.text == part.text) {
                different.push(part);
            }
        }
        match different.len() {
            0 => Type::simple("never"),
            1 => different.remove(0),
            _ => {
                let texts: Vec<String> = different.into_iter().map(|part| part.text).collect();
                Type { text: texts.join(" | "), is_joined: true }
            }
        }
    }

    fn intersection(mut parts: Vec<Type>) -> Self {
        match parts.len() {
            0 => Type::simple("unknown"),
            1 => parts.remove(0),
            _ => {
                let texts: Vec<String> = parts.iter().map(Type::grouped).collect();
                Type { text: texts.join(" & "), is_joined: true }
            }
        }
    }

    fn grouped(&self) -> String {
        if self.is_joined { format!("({})", self.text) } else { self.text.clone() }
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
fn own_type(schema: &Map<String, Value>, indent: &str) -> Option<Type> {
    match schema.get("type") {
        Some(Value::String(kind)) => Some(of_kind(kind, schema, indent)),
        Some(Value::Array(kinds)) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            Some(Type::union(kinds.map(|kind| of_kind(kind, schema, indent))))
        }
        _ => schema.contains_key("properties").then(|| object(schema, indent)),
    }
}

fn of_kind(kind: &str, schema: &Map<String, Value>, indent: &str) -> Type {
    match kind {
        "integer" | "number" => Type::simple("number"),
        "string" | "boolean" | "null" => Type::simple(kind),
        "array" => Type::simple(items(schema, indent)),
        "object" => object(schema, indent),
        _ => Type::simple("unknown"),
    }
}

fn items(schema: &Map<String, Value>, indent: &str) -> String {
    let item = match schema.get("items") {
        None => return "unknown[]".into(),
        Some(Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| expression(item, indent)).collect();
            return format!("[{}]", items.join(", "));
        }
        Some(item) => Type::of(item, indent),
    };
    match (length(schema, "minItems"), length(schema, "maxItems")) {
        // An array of a fixed length; a long one is better to read as one of any length.
        (Some(least), Some(most)) if least == most && most <= 8 => {
            format!("[{}]", vec![item.text; most].join(", "))
        }
        _ => format!("{}[]", item.grouped()),
    }
}

fn length(schema: &Map<String, Value>, key: &str) -> Option<usize> {
    schema.get(key)?.as_u64()?.try_into().ok()
}

/// An object: its members, its map, or both.
fn object(schema: &Map<String, Value>, indent: &str) -> Type {
    let map = map_values(schema).map(|values| format!("{{ [key: string]: {} }}", expression(values, indent)));
    match (has_members(schema), map) {
        (true, None) => Type::simple(members(schema, indent)),
        (true, Some(map)) => {
            Type::intersection(vec![Type::simple(members(schema, indent)), Type::simple(map)])
        }
        (false, Some(map)) => Type::simple(map),
        (false, None) if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
            Type::simple("Record<string, never>")
        }
        (false, None) => Type::simple("{ [key: string]: unknown }"),
    }
}

fn has_members(schema: &Map<String, Value>) -> bool {
    schema.get("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty())
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
    schema.get("type").is_some_and(|kind| kind == "object")
        && has_members(schema)
        && map_values(schema).is_none()
        && !combined.iter().any(|key| schema.contains_key(*key))
}

fn array<'a>(schema: &'a Map<String, Value>, key: &str) -> Option<&'a Vec<Value>> {
    schema.get(key).and_then(Value::as_array)
}

fn mentions(kind: &Value, name: &str) -> bool {
    kind == name || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;
    use crate::payload::{Kind, Shape};
    use crate::schemas::Schemas;

    #[test]
    fn schemas_become_types() {
        for (schema, expected) in [
            (json!(true), "unknown"),
            (json!(false), "never"),
            (json!({}), "unknown"),
            (json!({"description": "anything"}), "unknown"),
            (json!({"type": "integer", "format": "uint64"}), "number"),
            (json!({"type": ["string", "null"]}), "string | null"),
            (json!({"type": ["array", "null"], "items": {"type": "string"}}), "string[] | null"),
            (json!({"const": "a\"b"}), r#""a\"b""#),
            (json!({"enum": ["a", 1, null]}), r#""a" | 1 | null"#),
            (json!({"$ref": "#/components/schemas/Message"}), "Message"),
            (json!({"type": "array", "items": {"enum": ["{", "|"]}}), r#"("{" | "|")[]"#),
            (json!({"type": "array", "items": {"const": "a|b"}}), r#""a|b"[]"#),
            (json!({"type": "array"}), "unknown[]"),
            (json!({"type": "array", "items": {"type": ["string", "null"]}}), "(string | null)[]"),
            (json!({"type": "array", "items": [{"type": "string"}, {"type": "number"}]}), "[string, number]"),
            (
                json!({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
                "[number, number]",
            ),
            (json!({"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 2}), "number[]"),
            (json!({"type": "object"}), "{ [key: string]: unknown }"),
            (json!({"type": "object", "additionalProperties": false}), "Record<string, never>"),
            (
                json!({"type": "object", "additionalProperties": {"type": "number"}}),
                "{ [key: string]: number }",
            ),
            (
                json!({"type": "object", "patternProperties": {"^\\d+$": {"type": "string"}}, "additionalProperties": false}),
                "{ [key: string]: string }",
            ),
            (json!({"type": "object", "properties": {"a-b": {"type": "null"}}}), "{\n  \"a-b\"?: null;\n}"),
            (json!({"anyOf": [{"type": "string"}, {"type": "string"}, {"type": "null"}]}), "string | null"),
            (
                json!({"allOf": [{"$ref": "#/components/schemas/A"}, {"anyOf": [{"const": 1}, {"const": 2}]}]}),
                "A & (1 | 2)",
            ),
            (
                json!({"type": "array", "items": {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}}),
                "{\n  a: 1 | 2;\n}[]",
            ),
        ] {
            assert_eq!(expression(&schema, ""), expected, "{schema}");
        }
    }

    #[test]
    fn comments_say_what_types_cannot() {
        for (schema, expected) in [
            (json!({"type": "string"}), ""),
            (json!({"type": "string", "description": "Its end: */"}), "/** Its end: *\\/ */\n"),
            (json!({"type": "string", "format": "date-time"}), "/** @format date-time */\n"),
            (json!({"type": "integer", "format": "uint64"}), ""),
            (
                json!({"type": "string", "description": "One.\n\nTwo.", "deprecated": true, "default": "x"}),
                "/**\n * One.\n *\n * Two.\n * @default \"x\"\n * @deprecated\n */\n",
            ),
        ] {
            assert_eq!(docs(&schema, ""), expected, "{schema}");
        }
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Tree {
        value: Option<i64>,
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        children: Vec<Tree>,
        by_number: BTreeMap<u32, String>,
        tags: BTreeSet<String>,
        #[serde(rename = "if")]
        condition: Box<Condition>,
        #[serde(flatten)]
        extra: BTreeMap<String, Value>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "type", content = "value", rename_all = "kebab-case")]
    enum Condition {
        AlwaysTrue,
        Equals(String),
        Both(Box<Condition>, Box<Condition>),
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "type")]
    enum Tagged {
        Leaf(Leaf),
        Nothing,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Leaf {
        name: String,
    }

    fn declared(shape: fn(&mut Schemas) -> Shape) -> BTreeMap<String, String> {
        let mut schemas = Schemas::new();
        assert!(matches!(shape(&mut schemas).0, Kind::Json(_)));
        let merged = schemas.merge(BTreeSet::new());
        merged.schemas.iter().map(|(name, schema)| (name.clone(), declaration(name, schema))).collect()
    }

    #[test]
    fn what_serde_writes_and_reads_is_what_is_declared() {
        let sent = declared(Schemas::sent::<Tree>);
        assert_eq!(
            sent["Tree"],
            "export type Tree = {\n  by_number: { [key: string]: string };\n  children?: Tree[];\n  if: Condition;\n  \
             tags: string[];\n  value: number | null;\n} & { [key: string]: unknown };\n"
        );
        let received = declared(Schemas::received::<Tree>);
        assert!(received["Tree"].contains("\n  value?: number | null;\n"), "{}", received["Tree"]);
        assert_eq!(
            sent["Condition"],
            "export type Condition = {\n  type: \"always-true\";\n} | {\n  type: \"equals\";\n  value: string;\n} | {\n  \
             type: \"both\";\n  value: [Condition, Condition];\n};\n"
        );
    }

    #[test]
    fn a_tag_beside_a_named_type_is_an_intersection() {
        let tagged = declared(Schemas::sent::<Tagged>);
        assert_eq!(
            tagged["Tagged"],
            "export type Tagged = {\n  type: \"Leaf\";\n} & Leaf | {\n  type: \"Nothing\";\n};\n"
        );
    }
}
