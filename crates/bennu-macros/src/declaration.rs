//! The enum as its author wrote it.

use std::collections::HashMap;

use proc_macro2::Span;
use syn::{Attribute, Data, DeriveInput, Error, Expr, Fields, Ident, Lit, LitStr, Meta, Result};

/// An enum of events.
pub(crate) struct Declaration<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) events: Vec<Event<'a>>,
}

/// One variant.
pub(crate) struct Event<'a> {
    pub(crate) ident: &'a Ident,
    /// As it is on the wire.
    pub(crate) name: LitStr,
    pub(crate) docs: String,
    pub(crate) fields: &'a Fields,
    /// Attributes for the type that is made of a variant with named members.
    pub(crate) serde: Vec<&'a Attribute>,
}

/// Reads the enum.
pub(crate) fn parse(input: &DeriveInput) -> Result<Declaration<'_>> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "events are an enum, with one variant for each event"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "an enum of events cannot be generic"));
    }
    let mut names = HashMap::new();
    let mut events = Vec::new();
    for variant in &data.variants {
        let event = Event {
            ident: &variant.ident,
            name: event_name(&variant.attrs, &variant.ident)?,
            docs: docs(&variant.attrs),
            fields: &variant.fields,
            serde: variant.attrs.iter().filter(|attribute| is_for_serde(attribute)).collect(),
        };
        if let Some(first) = names.insert(event.name.value(), event.ident) {
            let text = format!("the event {:?} is already the variant `{first}`", event.name.value());
            return Err(Error::new(event.name.span(), text));
        }
        events.push(event);
    }
    Ok(Declaration { ident: &input.ident, events })
}

/// What `#[event("…")]` says, or else the variant's name in snake case.
fn event_name(attributes: &[Attribute], variant: &Ident) -> Result<LitStr> {
    let mut given = attributes.iter().filter(|attribute| attribute.path().is_ident("event"));
    let Some(attribute) = given.next() else {
        return Ok(LitStr::new(&snake_case(&variant.to_string()), variant.span()));
    };
    if let Some(second) = given.next() {
        return Err(Error::new_spanned(second, "an event has one name"));
    }
    let name: LitStr = attribute
        .parse_args()
        .map_err(|_| Error::new_spanned(attribute, "write the event's name: `#[event(\"message:new\")]`"))?;
    match name.value() {
        value if value.is_empty() => Err(Error::new(name.span(), "an event's name cannot be empty")),
        value if value.starts_with("phx_") => {
            Err(Error::new(name.span(), "events that start with `phx_` belong to the protocol"))
        }
        _ => Ok(name),
    }
}

fn snake_case(variant: &str) -> String {
    let mut name = String::new();
    for (index, letter) in variant.trim_start_matches("r#").char_indices() {
        if letter.is_uppercase() && index > 0 {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The doc comment, without the space in front of each line.
fn docs(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(doc_line).collect();
    lines.join("\n").trim().to_owned()
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else { return None };
    let Expr::Lit(value) = &meta.value else { return None };
    let Lit::Str(line) = &value.lit else { return None };
    meta.path.is_ident("doc").then(|| line.value().strip_prefix(' ').map_or(line.value(), str::to_owned))
}

/// Whether an attribute is for the types that the macros make.
pub(crate) fn is_for_serde(attribute: &Attribute) -> bool {
    attribute.path().is_ident("serde") || attribute.path().is_ident("schemars")
}

impl Event<'_> {
    /// Where errors about the variant belong.
    pub(crate) fn span(&self) -> Span {
        self.ident.span()
    }
}
