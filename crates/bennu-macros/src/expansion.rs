//! The code that stands for a derive.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, Fields, FieldsNamed, Ident, Result, Type};

use crate::declaration::{Declaration, Event, is_for_serde};

/// What one variant becomes.
struct Parts {
    /// Its arm in the match.
    arm: TokenStream,
    /// What follows `events.event(…)` where it is described.
    description: TokenStream,
    /// The type that stands for members with names.
    payload: TokenStream,
}

/// `impl ClientEvents`.
pub(crate) fn client_events(declaration: &Declaration<'_>) -> Result<TokenStream> {
    let enumeration = declaration.ident;
    let parts = all_parts(declaration, client_event)?;
    let describe = describe(declaration, &parts);
    let payloads = parts.iter().map(|parts| &parts.payload);
    let arms = parts.iter().map(|parts| &parts.arm);
    Ok(quote! {
        const _: () = {
            #(#payloads)*

            #[automatically_derived]
            #[allow(unreachable_code)]
            impl ::bennu::typed::ClientEvents for #enumeration {
                fn read(
                    event: &str,
                    payload: &::bennu::Payload,
                ) -> ::core::result::Result<::core::option::Option<Self>, ::bennu::typed::Rejection> {
                    ::core::result::Result::Ok(::core::option::Option::Some(match event {
                        #(#arms)*
                        _ => return ::core::result::Result::Ok(::core::option::Option::None),
                    }))
                }

                #describe
            }
        };
    })
}

/// `impl ServerEvents`.
pub(crate) fn server_events(declaration: &Declaration<'_>) -> Result<TokenStream> {
    let enumeration = declaration.ident;
    let parts = all_parts(declaration, server_event)?;
    let describe = describe(declaration, &parts);
    let payloads = parts.iter().map(|parts| &parts.payload);
    let arms = parts.iter().map(|parts| &parts.arm);
    Ok(quote! {
        const _: () = {
            #(#payloads)*

            #[automatically_derived]
            #[allow(unreachable_code)]
            impl ::bennu::typed::ServerEvents for #enumeration {
                fn into_message(
                    self,
                ) -> ::core::result::Result<(&'static str, ::bennu::Payload), ::bennu::EncodeError> {
                    ::core::result::Result::Ok(match self { #(#arms)* })
                }

                #describe
            }
        };
    })
}

fn all_parts(
    declaration: &Declaration<'_>,
    parts: fn(&Ident, &Event<'_>) -> Result<Parts>,
) -> Result<Vec<Parts>> {
    declaration.events.iter().map(|event| parts(declaration.ident, event)).collect()
}

fn describe(declaration: &Declaration<'_>, parts: &[Parts]) -> TokenStream {
    let names = declaration.events.iter().map(|event| &event.name);
    let docs = declaration.events.iter().map(|event| &event.docs);
    let descriptions = parts.iter().map(|parts| &parts.description);
    quote! {
        fn describe(events: &mut ::bennu::typed::Events<'_>) {
            let _ = &events;
            #(events.event(#names, #docs)#descriptions;)*
        }
    }
}

fn client_event(enumeration: &Ident, event: &Event<'_>) -> Result<Parts> {
    let (ident, name) = (event.ident, &event.name);
    let types = unnamed(event.fields);
    let (payload, value, description) = match (event.fields, &types[..]) {
        (Fields::Unit, _) => (quote!(), quote!(#enumeration::#ident), quote!()),
        (Fields::Named(fields), _) => {
            let (payload, declared) = declare(enumeration, event, fields, &quote!(Deserialize));
            let members: Vec<_> = fields.named.iter().map(|field| &field.ident).collect();
            let value = quote!({
                let #payload { #(#members),* } = ::bennu::typed::FromMessage::from_payload(payload)?;
                #enumeration::#ident { #(#members),* }
            });
            (declared, value, quote!(.payload::<#payload>()))
        }
        (Fields::Unnamed(_), [payload]) => {
            let read = read(payload);
            (quote!(), quote!(#enumeration::#ident(#read)), quote!(.payload::<#payload>()))
        }
        (Fields::Unnamed(_), [payload, reply]) => {
            let (read, token) = (read(payload), quote_spanned!(reply.span()=> ::bennu::typed::Reply::new()));
            let description = quote!(.payload::<#payload>().answered({
                let reply: #reply = #token;
                reply
            }));
            (quote!(), quote!(#enumeration::#ident(#read, #token)), description)
        }
        (Fields::Unnamed(_), _) => {
            let text = "a client event has a payload and, where the client waits for an answer, a `Reply`";
            return Err(Error::new(event.span(), text));
        }
    };
    Ok(Parts { arm: quote!(#name => #value,), description, payload })
}

fn server_event(enumeration: &Ident, event: &Event<'_>) -> Result<Parts> {
    let (ident, name) = (event.ident, &event.name);
    let write = |span, value| quote_spanned!(span=> ::bennu::typed::IntoMessage::into_payload(#value)?);
    Ok(match (event.fields, &unnamed(event.fields)[..]) {
        (Fields::Unit, _) => Parts {
            arm: quote!(#enumeration::#ident => (#name, ::bennu::Payload::empty()),),
            description: quote!(),
            payload: quote!(),
        },
        (Fields::Named(fields), _) => {
            let (payload, declared) = declare(enumeration, event, fields, &quote!(Serialize));
            let members: Vec<_> = fields.named.iter().map(|field| &field.ident).collect();
            let written = write(event.span(), quote!(#payload { #(#members),* }));
            Parts {
                arm: quote!(#enumeration::#ident { #(#members),* } => (#name, #written),),
                description: quote!(.pushes::<#payload>()),
                payload: declared,
            }
        }
        (Fields::Unnamed(_), [payload]) => {
            let written = write(payload.span(), quote!(payload));
            Parts {
                arm: quote!(#enumeration::#ident(payload) => (#name, #written),),
                description: quote!(.pushes::<#payload>()),
                payload: quote!(),
            }
        }
        (Fields::Unnamed(_), _) => return Err(Error::new(event.span(), "a server event has one payload")),
    })
}

fn read(payload: &Type) -> TokenStream {
    quote_spanned!(payload.span()=> <#payload as ::bennu::typed::FromMessage>::from_payload(payload)?)
}

fn unnamed(fields: &Fields) -> Vec<&Type> {
    match fields {
        Fields::Unnamed(fields) => fields.unnamed.iter().map(|field| &field.ty).collect(),
        Fields::Named(_) | Fields::Unit => Vec::new(),
    }
}

/// The struct whose members are those of a variant, and its name.
fn declare(
    enumeration: &Ident,
    event: &Event<'_>,
    fields: &FieldsNamed,
    derive: &TokenStream,
) -> (Ident, TokenStream) {
    let public = format!("{enumeration}{}", event.ident);
    let ident = format_ident!("__{public}");
    let attributes = &event.serde;
    let members = fields.named.iter().map(|field| {
        let (ident, ty) = (&field.ident, &field.ty);
        let attributes = field.attrs.iter().filter(|attribute| describes_a_member(attribute));
        quote!(#(#attributes)* #ident: #ty)
    });
    let members = members.map(|member| member.into_token_stream());
    let declared = quote! {
        #[derive(::bennu::typed::serde::#derive, ::bennu::typed::schemars::JsonSchema)]
        #[serde(crate = "::bennu::typed::serde")]
        #[schemars(crate = "::bennu::typed::schemars", rename = #public)]
        #(#attributes)*
        struct #ident { #(#members),* }
    };
    (ident, declared)
}

fn describes_a_member(attribute: &Attribute) -> bool {
    is_for_serde(attribute) || attribute.path().is_ident("doc")
}

#[cfg(test)]
mod tests {
    use syn::{DeriveInput, parse_quote};

    use super::*;
    use crate::declaration::parse;

    fn error(expand: fn(&Declaration<'_>) -> Result<TokenStream>, input: &DeriveInput) -> String {
        match parse(input).and_then(|declaration| expand(&declaration)) {
            Ok(code) => panic!("{code}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let rows: [(DeriveInput, &str); 8] = [
            (
                parse_quote!(
                    struct In;
                ),
                "events are an enum, with one variant for each event",
            ),
            (
                parse_quote!(
                    enum In<T> {
                        A(T),
                    }
                ),
                "an enum of events cannot be generic",
            ),
            (
                parse_quote!(
                    enum In {
                        #[event]
                        A,
                    }
                ),
                "write the event's name: `#[event(\"message:new\")]`",
            ),
            (
                parse_quote!(
                    enum In {
                        #[event(a)]
                        A,
                    }
                ),
                "write the event's name: `#[event(\"message:new\")]`",
            ),
            (
                parse_quote!(
                    enum In {
                        #[event("")]
                        A,
                    }
                ),
                "an event's name cannot be empty",
            ),
            (
                parse_quote!(
                    enum In {
                        #[event("a")]
                        #[event("b")]
                        A,
                    }
                ),
                "an event has one name",
            ),
            (
                parse_quote!(
                    enum In {
                        #[event("phx_join")]
                        A,
                    }
                ),
                "events that start with `phx_` belong to the protocol",
            ),
            (
                parse_quote!(
                    enum In {
                        NewMsg,
                        #[event("new_msg")]
                        Other,
                    }
                ),
                "the event \"new_msg\" is already the variant `NewMsg`",
            ),
        ];
        for (input, expected) in rows {
            assert_eq!(error(client_events, &input), expected);
            assert_eq!(error(server_events, &input), expected);
        }
    }

    #[test]
    fn a_variant_has_the_fields_of_its_direction() {
        let three: DeriveInput = parse_quote!(
            enum In {
                A(One, Reply, Three),
            }
        );
        let two: DeriveInput = parse_quote!(
            enum Out {
                A(One, Two),
            }
        );
        let expected = "a client event has a payload and, where the client waits for an answer, a `Reply`";
        assert_eq!(error(client_events, &three), expected);
        assert_eq!(error(server_events, &two), "a server event has one payload");
    }

    #[test]
    fn an_event_without_a_name_has_the_variants_in_snake_case() {
        let input: DeriveInput = parse_quote!(
            enum In {
                NewMsg,
                Ping,
                #[event("typing:start")]
                Typing,
            }
        );
        let declaration = parse(&input).unwrap();
        let names: Vec<String> = declaration.events.iter().map(|event| event.name.value()).collect();
        assert_eq!(names, ["new_msg", "ping", "typing:start"]);
    }
}
