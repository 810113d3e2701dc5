//! The templates of live views. Use them from `bennu::live`, where they are described.

mod html;

use proc_macro::TokenStream;

/// A template: HTML with holes in braces.
///
/// | | |
/// | --- | --- |
/// | `{self.name}` | any expression that can be rendered: text, a number, another template, an `Option` |
/// | `class={..}` | an attribute's value; a `bool` says whether the attribute is there |
/// | `{if a { <b>"yes"</b> } else { <i>"no"</i> }}` | also `if let` and `else if` |
/// | `{match a { Some(a) => { <b>{a}</b> } None => {} }}` | each arm's body in braces |
/// | `{for item in &self.items { <li key={item.id}>{item.name}</li> }}` | with a key, entries keep what is theirs when they move |
/// | `<Badge label="new">"text"</Badge>` | a component: a struct that can be rendered, with the attributes as fields, and `children` |
///
/// White space between two parts is one space, or one line break; at the start and end of an element there is none.
/// Text of more than plain words is best quoted, as Rust reads it.
#[proc_macro]
pub fn html(input: TokenStream) -> TokenStream {
    html::expand(input.into()).into()
}
