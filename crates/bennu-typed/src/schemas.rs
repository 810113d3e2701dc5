//! The JSON schemas of a contract's types.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::payload::{Kind, Shape};

/// Where references to named schemas lead, in both documents.
pub(crate) const DEFINITIONS: &str = "#/components/schemas/";

/// Collects the schemas of a contract's types, one set for each way: serde may read another shape
/// than it writes, such as where a field has a default.
pub struct Schemas {
    received: SchemaGenerator,
    sent: SchemaGenerator,
}

impl Schemas {
    pub(crate) fn new() -> Self {
        // Draft 7 is the one that AsyncAPI's schemas extend.
        let settings = SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Schemas {
            received: settings.clone().for_deserialize().into_generator(),
            sent: settings.for_serialize().into_generator(),
        }
    }

    /// What a client sends for `T`.
    pub fn received<T: JsonSchema>(&mut self) -> Shape {
        shape::<T>(&mut self.received)
    }

    /// What a client gets for `T`.
    pub fn sent<T: JsonSchema>(&mut self) -> Shape {
        shape::<T>(&mut self.sent)
    }

    /// All named schemas under names that both documents can have, none of which is in `taken`.
    pub(crate) fn merge(&self, mut taken: BTreeSet<String>) -> Merged {
        let (sent, received) = (definitions(&self.sent), definitions(&self.received));
        let differing = differing(&sent, &received);
        let mut name = |wish: String| {
            let mut name = wish;
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            name
        };
        let sent_names: Names = sent.keys().map(|key| (key.clone(), name(plain(key)))).collect();
        let received_names = received.keys().map(|key| {
            let name = match sent_names.get(key) {
                None => name(plain(key)),
                Some(_) if differing.contains(key) => name(format!("{}Input", plain(key))),
                Some(same) => same.clone(),
            };
            (key.clone(), name)
        });
        let received_names: Names = received_names.collect();
        let mut schemas = BTreeMap::new();
        for (definitions, names) in [(received, &received_names), (sent, &sent_names)] {
            for (name, mut schema) in definitions {
                rename(&mut schema, names);
                // Their order depends on a feature of serde_json, which any crate can turn on.
                schema.sort_all_objects();
                schemas.insert(names[&name].clone(), schema);
            }
        }
        Merged { schemas, sent_names, received_names }
    }
}

/// What schemars called a schema, and what the documents call it.
type Names = BTreeMap<String, String>;

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |generator: &SchemaGenerator| generator.definitions().keys().cloned().collect::<Vec<_>>();
        let (received, sent) = (names(&self.received), names(&self.sent));
        f.debug_struct("Schemas").field("received", &received).field("sent", &sent).finish()
    }
}

/// The named schemas of both ways.
pub(crate) struct Merged {
    pub(crate) schemas: BTreeMap<String, Value>,
    sent_names: Names,
    received_names: Names,
}

impl Merged {
    /// A shape that clients send, with the documents' names.
    pub(crate) fn received(&self, shape: &Shape) -> Shape {
        renamed(shape, &self.received_names)
    }

    /// A shape that clients get, with the documents' names.
    pub(crate) fn sent(&self, shape: &Shape) -> Shape {
        renamed(shape, &self.sent_names)
    }
}

fn renamed(shape: &Shape, names: &Names) -> Shape {
    let mut shape = shape.clone();
    if let Kind::Json(schema) = &mut shape.0 {
        rename(schema, names);
        schema.sort_all_objects();
    }
    shape
}

/// A name of letters that are allowed everywhere: those of an identifier.
pub(crate) fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The name that a reference leads to.
pub(crate) fn reference(schema: &Value) -> Option<String> {
    let encoded = schema.get("$ref")?.as_str()?.strip_prefix(DEFINITIONS)?;
    // Names of schemas are written by schemars as they stand in a JSON pointer within a URI.
    Some(decode_uri(encoded).replace("~1", "/").replace("~0", "~"))
}

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Shape {
    let schema = generator.subschema_for::<T>();
    Shape(Kind::Json(transformed(generator, schema)))
}

fn definitions(generator: &SchemaGenerator) -> BTreeMap<String, Value> {
    let mut generator = generator.clone();
    generator.take_definitions(true).into_iter().collect()
}

fn transformed(generator: &mut SchemaGenerator, mut schema: Schema) -> Value {
    for transform in generator.transforms_mut() {
        transform.transform(&mut schema);
    }
    schema.to_value()
}

/// Names whose schemas differ between the ways, themselves or in what they refer to.
fn differing(sent: &BTreeMap<String, Value>, received: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let both = || received.iter().filter_map(|(name, schema)| Some((name, schema, sent.get(name)?)));
    let mut differing: BTreeSet<String> =
        both().filter(|(_, one, other)| one != other).map(|(name, ..)| name.clone()).collect();
    loop {
        let refers = |schema: &Value| references(schema).iter().any(|name| differing.contains(name));
        let more: Vec<String> = both()
            .filter(|(name, schema, _)| !differing.contains(*name) && refers(schema))
            .map(|(name, ..)| name.clone())
            .collect();
        if more.is_empty() {
            return differing;
        }
        differing.extend(more);
    }
}

fn references(schema: &Value) -> Vec<String> {
    let inner: Vec<String> = match schema {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(members) => members.values().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    inner.into_iter().chain(reference(schema)).collect()
}

/// Lets every reference lead to the new names.
fn rename(schema: &mut Value, names: &Names) {
    if let Some(name) = reference(schema).and_then(|name| names.get(&name)) {
        schema["$ref"] = format!("{DEFINITIONS}{name}").into();
    }
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Value::Object(members) => members.values_mut().for_each(|member| rename(member, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn decode_uri(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (code, part.get(2..)) {
            (Some(code), Some(rest)) => {
                bytes.push(code);
                bytes.extend(rest.as_bytes());
            }
            _ => {
                bytes.push(b'%');
                bytes.extend(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
