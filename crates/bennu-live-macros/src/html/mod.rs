//! From HTML with holes to templates and the code that fills them.

mod body;
mod control;
mod elements;
mod expansion;
mod inputs;
mod space;

use proc_macro2::TokenStream;

/// Expands a template; what is wrong with it becomes compiler errors, each at its place.
pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut errors = Vec::new();
    let nodes = control::nodes(input, &mut errors);
    let body = body::Body::new(nodes, &mut errors);
    match errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        Some(errors) => errors.to_compile_error(),
        None => expansion::view(&body),
    }
}
