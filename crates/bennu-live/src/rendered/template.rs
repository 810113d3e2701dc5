//! What of a template is known when it is compiled.

/// The part of a template that never changes: a constant, made by the `html!` macro.
///
/// A template has one literal string more than holes. Each body of an `if`, `match` or loop is a template of its own.
#[derive(Debug)]
pub struct Template {
    /// The literal strings around the holes.
    pub statics: &'static [&'static str],
    /// The same as an array of JSON.
    pub json: &'static str,
    /// Tells templates apart: equal for two renders of one template, and different for two templates.
    pub fingerprint: u64,
    /// Whether what it renders is exactly one element, white space aside. The client skips such parts when they are unchanged.
    pub is_element: bool,
}

impl Template {
    /// How many holes it has.
    #[must_use]
    pub const fn holes(&self) -> usize {
        self.statics.len() - 1
    }
}
