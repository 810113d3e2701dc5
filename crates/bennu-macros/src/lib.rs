//! The derives of typed channels. Use them from `bennu::typed`, where the traits of the same
//! names are and where what they write is shown.

mod declaration;
mod expansion;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `bennu::typed::ClientEvents` for an enum with one variant for each event that a
/// client may send.
///
/// | Variant | What the client sends |
/// | --- | --- |
/// | `TypingStart` | the event alone; its payload is ignored |
/// | `MessageNew(NewMessage)` | a payload |
/// | `MessageNew(NewMessage, Reply<MessageCreated>)` | a payload, and it waits for an answer |
/// | `Rename { name: String }` | an object with these members |
///
/// `#[event("message:new")]` on a variant is the event's name; without it that is the variant's
/// name in snake case. The payload's type is read by `bennu::typed::FromMessage`. The members of a
/// variant with names may carry attributes of serde and schemars.
#[proc_macro_derive(ClientEvents, attributes(event, serde, schemars))]
pub fn client_events(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    declaration::parse(&input)
        .and_then(|events| expansion::client_events(&events))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Implements `bennu::typed::ServerEvents` for an enum with one variant for each event that the
/// server pushes or broadcasts.
///
/// | Variant | What the client gets |
/// | --- | --- |
/// | `Closing` | the event with `{}` |
/// | `MessageNew(Message)` | a payload |
/// | `Typing { user_id: u64 }` | an object with these members |
///
/// `#[event("message:new")]` on a variant is the event's name; without it that is the variant's
/// name in snake case. The payload's type is written by `bennu::typed::IntoMessage`. The members of a
/// variant with names may carry attributes of serde and schemars.
#[proc_macro_derive(ServerEvents, attributes(event, serde, schemars))]
pub fn server_events(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    declaration::parse(&input)
        .and_then(|events| expansion::server_events(&events))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
