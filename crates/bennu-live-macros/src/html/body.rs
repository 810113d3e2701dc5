//! A template: what never changes, and the holes.

use proc_macro2::{LineColumn, TokenStream};
use quote::ToTokens;
use rstml::node::{KeyedAttribute, KeyedAttributeValue, Node, NodeAttribute, NodeElement, NodeName};
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprLit, ExprPath, Ident, Lit, Pat, Stmt};

use super::control::{self, Control, Else, If};
use super::{elements, space};

/// A template. There is one literal string more than holes.
pub(super) struct Body {
    pub(super) statics: Vec<String>,
    pub(super) holes: Vec<Hole>,
    /// It is exactly one element.
    pub(super) is_element: bool,
}

pub(super) enum Hole {
    Value(TokenStream),
    Attribute {
        name: String,
        value: TokenStream,
    },
    /// Bodies under conditions, of which the first that holds is rendered.
    If(Vec<(Expr, Body)>, Option<Body>),
    Match {
        on: Box<Expr>,
        arms: Vec<(Pat, Option<Expr>, Body)>,
    },
    For {
        pat: Box<Pat>,
        items: Box<Expr>,
        key: Option<TokenStream>,
        body: Body,
    },
    Component {
        path: ExprPath,
        fields: Vec<(Ident, TokenStream)>,
        children: Option<Body>,
    },
}

/// A template while it is put together.
struct Builder<'a> {
    body: Body,
    errors: &'a mut Vec<Error>,
}

impl Body {
    pub(super) fn new(nodes: Vec<Node>, errors: &mut Vec<Error>) -> Self {
        let elements =
            |node: &Node| matches!(node, Node::Element(element) if component(element.name()).is_none());
        let is_element = nodes.len() == 1 && nodes.iter().all(elements);
        let body = Body { statics: vec![String::new()], holes: Vec::new(), is_element };
        let mut builder = Builder { body, errors };
        builder.nodes(nodes);
        builder.body
    }

    pub(super) fn is_empty(&self) -> bool {
        self.holes.is_empty() && self.statics.iter().all(String::is_empty)
    }

    /// The body of an `if`, a loop or an arm.
    fn nested(tokens: TokenStream, errors: &mut Vec<Error>) -> Self {
        Self::new(nested_nodes(tokens, errors), errors)
    }
}

/// Reads markup where Rust could be expected: text must be in quotes there.
fn nested_nodes(tokens: TokenStream, errors: &mut Vec<Error>) -> Vec<Node> {
    let nodes = control::nodes(tokens, errors);
    for node in &nodes {
        if let Node::RawText(text) = node
            && !text.is_empty()
        {
            errors.push(Error::new_spanned(
                text,
                "text must be in quotes here, and a value in braces: `{value}`",
            ));
        }
    }
    nodes
}

impl Builder<'_> {
    fn push(&mut self, text: &str) {
        if let Some(last) = self.body.statics.last_mut() {
            last.push_str(text);
        }
    }

    fn hole(&mut self, hole: Hole) {
        self.body.holes.push(hole);
        self.body.statics.push(String::new());
    }

    fn nodes(&mut self, nodes: Vec<Node>) {
        let mut before: Option<LineColumn> = None;
        for node in nodes {
            if matches!(&node, Node::RawText(text) if text.is_empty()) {
                continue;
            }
            let extent = space::extent(node.to_token_stream());
            if let (Some(before), Some((start, _))) = (before, extent) {
                self.push(space::between(before, start));
            }
            before = extent.map(|(_, end)| end);
            self.node(node);
        }
    }

    fn node(&mut self, node: Node) {
        match node {
            Node::Element(element) => self.element(element),
            Node::Fragment(fragment) => self.nodes(fragment.children),
            Node::Text(text) => self.push(&escape(&text.value_string())),
            Node::RawText(text) => self.push(&space::text(text.to_token_stream())),
            Node::Doctype(_) => self.push("<!DOCTYPE html>"),
            Node::Block(block) => match control::control(&block) {
                Ok(control) => self.control(control),
                Err(error) => self.errors.push(error),
            },
            Node::Comment(_) | Node::Custom(_) => {}
        }
    }

    fn control(&mut self, control: Control) {
        let hole = match control {
            Control::Value(value) => Hole::Value(value),
            Control::If(branches) => self.branches(branches),
            Control::Match { on, arms } => {
                let arms = arms
                    .into_iter()
                    .map(|arm| (arm.pat, arm.guard, Body::nested(arm.body, self.errors)))
                    .collect();
                Hole::Match { on, arms }
            }
            Control::For { pat, items, body } => {
                let mut nodes = nested_nodes(body, self.errors);
                let key = nodes.iter_mut().find_map(take_key);
                Hole::For { pat, items, key, body: Body::new(nodes, self.errors) }
            }
        };
        self.hole(hole);
    }

    fn branches(&mut self, first: Box<If>) -> Hole {
        let mut branches = Vec::new();
        let mut next = Some(Else::If(first));
        loop {
            match next.take() {
                Some(Else::If(branch)) => {
                    branches.push((branch.condition, Body::nested(branch.then, self.errors)));
                    next = branch.otherwise;
                }
                Some(Else::Body(body)) => return Hole::If(branches, Some(Body::nested(body, self.errors))),
                None => return Hole::If(branches, None),
            }
        }
    }

    fn element(&mut self, element: NodeElement<rstml::Infallible>) {
        if let Some(path) = component(element.name()) {
            let path = path.clone();
            return self.component(path, element);
        }
        let name = element.name().to_string();
        if let Err(error) = elements::check_element(&name, element.name().span()) {
            self.errors.push(error);
        }
        self.push(&format!("<{name}"));
        for attribute in element.open_tag.attributes {
            match attribute {
                NodeAttribute::Attribute(attribute) => self.attribute(&attribute),
                NodeAttribute::Block(block) => {
                    self.errors
                        .push(Error::new_spanned(block, "an attribute has a name: write `name={value}`"));
                }
            }
        }
        self.push(">");
        if !elements::VOID.contains(&name.as_str()) {
            self.nodes(element.children);
            self.push(&format!("</{name}>"));
        }
    }

    fn attribute(&mut self, attribute: &KeyedAttribute) {
        let name = attribute.key.to_string();
        let literal = matches!(attribute.possible_value, KeyedAttributeValue::None)
            || attribute.value().is_some_and(|value| matches!(value, Expr::Lit(_)));
        if let Err(error) = elements::check_attribute(&name, !literal, attribute.key.span()) {
            self.errors.push(error);
        }
        match &attribute.possible_value {
            KeyedAttributeValue::None => self.push(&format!(" {name}")),
            _ => match attribute.value() {
                Some(Expr::Lit(ExprLit { lit: Lit::Bool(value), .. })) => {
                    if value.value {
                        self.push(&format!(" {name}"));
                    }
                }
                Some(Expr::Lit(_)) => {
                    let value = attribute.value_literal_string().unwrap_or_default();
                    self.push(&format!(" {name}=\"{}\"", escape(&value)));
                }
                Some(value) => self.hole(Hole::Attribute { name, value: unwrapped(value) }),
                None => self
                    .errors
                    .push(Error::new_spanned(attribute, "the value of an attribute is an expression")),
            },
        }
    }

    fn component(&mut self, path: ExprPath, element: NodeElement<rstml::Infallible>) {
        let mut fields = Vec::new();
        for attribute in &element.open_tag.attributes {
            match field(attribute) {
                Ok(field) => fields.push(field),
                Err(error) => self.errors.push(error),
            }
        }
        let children = (!element.children.is_empty()).then(|| Body::new(element.children, self.errors));
        self.hole(Hole::Component { path, fields, children });
    }
}

/// What a component's attribute gives to which of its fields.
fn field(attribute: &NodeAttribute) -> Result<(Ident, TokenStream), Error> {
    let NodeAttribute::Attribute(attribute) = attribute else {
        return Err(Error::new_spanned(
            attribute,
            "a component's attributes are its fields: write `name={value}`",
        ));
    };
    let name: Ident = syn::parse2(attribute.key.to_token_stream())?;
    let value = match &attribute.possible_value {
        KeyedAttributeValue::None => quote::quote!(true),
        _ => attribute
            .value()
            .map(unwrapped)
            .ok_or_else(|| Error::new_spanned(attribute, "this is no expression"))?,
    };
    Ok((name, value))
}

/// Takes `key={..}` off an element.
fn take_key(node: &mut Node) -> Option<TokenStream> {
    let Node::Element(element) = node else { return None };
    let attributes = element.attributes_mut();
    let is_key = |attribute: &NodeAttribute| matches!(attribute, NodeAttribute::Attribute(attribute) if attribute.key.to_string() == "key");
    let index = attributes.iter().position(is_key)?;
    let NodeAttribute::Attribute(attribute) = attributes.remove(index) else { return None };
    attribute.value().map(unwrapped)
}

/// The path of a component: a name as types have it.
fn component(name: &NodeName) -> Option<&ExprPath> {
    let NodeName::Path(path) = name else { return None };
    let last = path.path.segments.last()?.ident.to_string();
    last.starts_with(char::is_uppercase).then_some(path)
}

/// A value without the braces around it.
fn unwrapped(value: &Expr) -> TokenStream {
    match value {
        Expr::Block(block) if block.attrs.is_empty() && block.label.is_none() => {
            match block.block.stmts.as_slice() {
                [Stmt::Expr(value, None)] => value.to_token_stream(),
                _ => value.to_token_stream(),
            }
        }
        value => value.to_token_stream(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
