//! The code of a template.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::body::{Body, Hole};
use super::elements;
use super::inputs::{Bound, Inputs, binding, with};

/// A name that is ours, whatever the user's variables are called.
fn own(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// A value that can be rendered.
pub(super) fn view(body: &Body) -> TokenStream {
    let (template, fill, holes) = (template(body), fill(body, &Bound::new()), own("holes"));
    quote! {{
        #[allow(unused_imports)]
        use ::bennu_live::rendered::Untracked as _;
        #template
        ::bennu_live::rendered::rendered(&TEMPLATE, move |#holes: &mut ::bennu_live::rendered::Holes<'_>| { #fill })
    }}
}

/// The constant part.
fn template(body: &Body) -> TokenStream {
    let Body { statics, is_element, .. } = body;
    let json = json(statics);
    // Of its code the part that names the holes: the expansion of the whole.
    let mut hasher = DefaultHasher::new();
    statics.hash(&mut hasher);
    fill(body, &Bound::new()).to_string().hash(&mut hasher);
    let fingerprint = hasher.finish();
    quote! {
        static TEMPLATE: ::bennu_live::rendered::Template = ::bennu_live::rendered::Template {
            statics: &[#(#statics),*],
            json: #json,
            fingerprint: #fingerprint,
            is_element: #is_element,
        };
    }
}

/// An array of strings as JSON.
fn json(statics: &[String]) -> String {
    let strings: Vec<String> = statics
        .iter()
        .map(|text| {
            let mut string = String::from("\"");
            for character in text.chars() {
                match character {
                    '"' => string.push_str("\\\""),
                    '\\' => string.push_str("\\\\"),
                    '\n' => string.push_str("\\n"),
                    control if control < ' ' => string.push_str(&format!("\\u{:04x}", u32::from(control))),
                    other => string.push(other),
                }
            }
            string + "\""
        })
        .collect();
    format!("[{}]", strings.join(","))
}

/// The statements that fill the holes.
fn fill(body: &Body, bound: &Bound) -> TokenStream {
    let (slot, holes) = (own("slot"), own("holes"));
    let fills = body.holes.iter().map(|hole| {
        let changed = hole.inputs(bound).changed();
        let fill = hole_fill(hole, bound);
        quote! { #holes.hole(#changed, |#slot| #fill); }
    });
    quote! { #(#fills)* }
}

fn hole_fill(hole: &Hole, bound: &Bound) -> TokenStream {
    let (slot, holes, entry, key_of) = (own("slot"), own("holes"), own("entry"), own("key"));
    match hole {
        Hole::Value(value) => {
            quote_spanned! { value.span() => ::bennu_live::rendered::View::render(&(#value), #slot) }
        }
        Hole::Attribute { name, value } => {
            let render = if elements::is_address(name) { quote!(render_address) } else { quote!(render) };
            quote_spanned! { value.span() => ::bennu_live::rendered::AttributeValue::#render(&(#value), #name, #slot) }
        }
        Hole::If(branches, otherwise) => {
            let branches = branches.iter().map(|(condition, body)| {
                let node = node(body, &with(bound, condition));
                quote! { if #condition { #node } else }
            });
            let otherwise =
                otherwise.as_ref().map_or_else(|| quote!(#slot.empty()), |body| node(body, bound));
            quote! { #(#branches)* { #otherwise } }
        }
        Hole::Match { on, arms } => {
            let inputs = Inputs::of_expression(on, bound);
            let arms = arms.iter().map(|(pat, guard, body)| {
                let node = node(body, &binding(bound, pat, &inputs));
                let guard = guard.iter();
                quote! { #pat #(if #guard)* => { #node } }
            });
            quote! { match #on { #(#arms)* } }
        }
        Hole::For { pat, items, key, body } => {
            let bound = binding(bound, pat, &Inputs::of_expression(items, bound));
            let (template, fill) = (template(body), fill(body, &bound));
            let key = key.as_ref().map_or_else(|| quote!(#entry.index()), |key| quote!(&(#key)));
            quote! {{
                #template
                #slot.list(&TEMPLATE, #items, |#pat, #entry: ::bennu_live::rendered::Entry<'_, '_>| {
                    let #key_of = ::bennu_live::rendered::key(#key);
                    #entry.fill(#key_of, |#holes| { #fill });
                })
            }}
        }
        Hole::Component { path, fields, children } => {
            let names = fields.iter().map(|(name, _)| name);
            let values = fields.iter().map(|(_, value)| value);
            let children = children.iter().map(|body| {
                let (template, fill) = (template(body), fill(body, bound));
                quote! { children: {
                    #template
                    ::bennu_live::rendered::rendered(&TEMPLATE, |#holes: &mut ::bennu_live::rendered::Holes<'_>| { #fill })
                } }
            });
            quote_spanned! { path.span() =>
                ::bennu_live::rendered::View::render(&#path { #(#names: #values,)* #(#children)* }, #slot)
            }
        }
    }
}

/// A body rendered as a template of its own.
fn node(body: &Body, bound: &Bound) -> TokenStream {
    let (slot, holes) = (own("slot"), own("holes"));
    if body.is_empty() {
        return quote!(#slot.empty());
    }
    let (template, fill) = (template(body), fill(body, bound));
    quote! {{
        #template
        #slot.node(&TEMPLATE, |#holes| { #fill })
    }}
}
