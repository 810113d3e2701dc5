//! What a hole is made of: the fields which, unchanged, leave it as it was.
//!
//! It is found by looking at names, so it is careful: a hole counts as made of fields alone only if nothing else can be in it. Calls
//! may depend on anything, but for some of the standard library that read what they are called on.

use std::collections::{BTreeMap, HashMap};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::visit::Visit;
use syn::{Expr, Pat, PatIdent};

use super::body::{Body, Hole};

/// What something is made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Inputs {
    /// Anything may be in it.
    unknown: bool,
    /// The fields of `self`, by name, as they are written.
    fields: BTreeMap<String, TokenStream>,
}

/// What the names that patterns bind are made of.
pub(super) type Bound = HashMap<String, Inputs>;

/// Methods that read what they are called on, and nothing else.
const READING: &[&str] = &[
    "as_deref",
    "as_ref",
    "as_slice",
    "as_str",
    "chars",
    "clone",
    "cloned",
    "contains",
    "contains_key",
    "copied",
    "ends_with",
    "enumerate",
    "first",
    "get",
    "is_empty",
    "is_none",
    "is_some",
    "iter",
    "keys",
    "last",
    "len",
    "rev",
    "skip",
    "starts_with",
    "take",
    "to_lowercase",
    "to_owned",
    "to_string",
    "to_uppercase",
    "trim",
    "values",
    "zip",
];

const KEYWORDS: &[&str] = &["as", "else", "false", "if", "in", "let", "match", "mut", "ref", "true"];

impl Inputs {
    /// An expression that says whether any of it may have changed.
    pub(super) fn changed(&self) -> TokenStream {
        if self.unknown {
            return quote!(true);
        }
        let fields = self.fields.values();
        quote!(false #(|| ::bennu_live::rendered::Input(&#fields).is_changed())*)
    }

    fn add(&mut self, other: Self) {
        self.unknown |= other.unknown;
        self.fields.extend(other.fields);
    }

    pub(super) fn of_hole(hole: &Hole, bound: &Bound) -> Self {
        let mut inputs = Self::default();
        match hole {
            Hole::Value(value) | Hole::Attribute { value, .. } => inputs.add(Self::of(value, bound)),
            Hole::If(branches, otherwise) => {
                for (condition, body) in branches {
                    inputs.add(Self::of(condition, bound));
                    inputs.add(Self::of_body(body, &with(bound, condition)));
                }
                otherwise.iter().for_each(|body| inputs.add(Self::of_body(body, bound)));
            }
            Hole::Match { on, arms } => {
                inputs.add(Self::of(on, bound));
                for (pat, guard, body) in arms {
                    let bound = binding(bound, pat, &Self::of(on, bound));
                    guard.iter().for_each(|guard| inputs.add(Self::of(guard, &bound)));
                    inputs.add(Self::of_body(body, &bound));
                }
            }
            Hole::For { pat, items, key, body } => {
                inputs.add(Self::of(items, bound));
                let bound = binding(bound, pat, &Self::of(items, bound));
                key.iter().for_each(|key| inputs.add(Self::of(key, &bound)));
                inputs.add(Self::of_body(body, &bound));
            }
            Hole::Component { fields, children, .. } => {
                fields.iter().for_each(|(_, value)| inputs.add(Self::of(value, bound)));
                children.iter().for_each(|body| inputs.add(Self::of_body(body, bound)));
            }
        }
        inputs
    }

    fn of_body(body: &Body, bound: &Bound) -> Self {
        let mut inputs = Self::default();
        body.holes.iter().for_each(|hole| inputs.add(Self::of_hole(hole, bound)));
        inputs
    }

    fn of(value: &impl ToTokens, bound: &Bound) -> Self {
        let mut inputs = Self::default();
        inputs.scan(value.to_token_stream(), bound);
        inputs
    }

    fn scan(&mut self, tokens: TokenStream, bound: &Bound) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |index: Option<usize>, character: char| {
            let token = index.and_then(|index| tokens.get(index));
            matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
        };
        let is_call = |index: usize| matches!(tokens.get(index), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.scan(group.stream(), bound),
                TokenTree::Ident(ident) => {
                    let name = ident.to_string();
                    let follows_dot = is(index.checked_sub(1), '.');
                    // A range is no field.
                    let is_member = follows_dot && !is(index.checked_sub(2), '.');
                    let next = index + 1;
                    if is(Some(next), '!') && !is(Some(next + 1), '=') {
                        self.unknown = true;
                    } else if name == "self" {
                        match tokens.get(next + 1) {
                            Some(field @ (TokenTree::Ident(_) | TokenTree::Literal(_)))
                                if is(Some(next), '.') && !is_call(next + 2) && !is(Some(next + 2), ':') =>
                            {
                                self.fields.insert(field.to_string(), quote!(#ident.#field));
                            }
                            _ => self.unknown = true,
                        }
                    } else if is_member {
                        let called = is_call(next) || is(Some(next), ':');
                        self.unknown |= called && !READING.contains(&name.as_str());
                    } else if KEYWORDS.contains(&name.as_str()) {
                    } else if let Some(inputs) = bound.get(&name) {
                        self.add(inputs.clone());
                        self.unknown |= is_call(next);
                    } else {
                        // A type, a variant or a constant is what it is; of anything else nothing is known.
                        self.unknown |= !name.starts_with(char::is_uppercase);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

/// With the names that the `let`s of a condition bind.
pub(super) fn with(bound: &Bound, condition: &Expr) -> Bound {
    struct Lets<'a>(&'a mut Bound);
    impl<'ast> Visit<'ast> for Lets<'_> {
        fn visit_expr_let(&mut self, expr: &'ast syn::ExprLet) {
            let inputs = Inputs::of(&expr.expr, self.0);
            *self.0 = binding(self.0, &expr.pat, &inputs);
        }
    }
    let mut bound = bound.clone();
    Lets(&mut bound).visit_expr(condition);
    bound
}

/// With the names that a pattern binds to parts of what is made of these inputs.
pub(super) fn binding(bound: &Bound, pat: &Pat, inputs: &Inputs) -> Bound {
    struct Names(Vec<String>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_pat_ident(&mut self, pat: &'ast PatIdent) {
            self.0.push(pat.ident.to_string());
            syn::visit::visit_pat_ident(self, pat);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_pat(pat);
    let mut bound = bound.clone();
    bound.extend(names.0.into_iter().map(|name| (name, inputs.clone())));
    bound
}

impl Hole {
    /// What it is made of.
    pub(super) fn inputs(&self, bound: &Bound) -> Inputs {
        Inputs::of_hole(self, bound)
    }
}

impl Inputs {
    /// What an expression is made of.
    pub(super) fn of_expression(value: &impl ToTokens, bound: &Bound) -> Self {
        Self::of(value, bound)
    }
}
