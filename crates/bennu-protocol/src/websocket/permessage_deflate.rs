//! Agreeing on compression in the opening handshake (RFC 7692, 5 and 7.1).
//!
//! Both sides here compress each message by itself: what a client may refer to of
//! earlier ones would have to be kept for every connection. So a server answers
//! each offer that it accepts with both `no_context_takeover` parameters, and a
//! client asks for them.
//!
//! ```
//! use bennu_protocol::websocket::{Extension, permessage_deflate};
//!
//! // What browsers offer.
//! let answer = permessage_deflate::answer(["permessage-deflate; client_max_window_bits"]);
//! assert_eq!(answer, Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"));
//! // And what our client makes of an answer.
//! assert_eq!(permessage_deflate::agreed(answer), Ok(Extension::Deflate));
//! assert_eq!(permessage_deflate::agreed([]), Ok(Extension::None));
//! ```

use thiserror::Error;

use super::Extension;

/// What a client sends as `Sec-WebSocket-Extensions`.
pub const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The answer to an offer, and the one to an offer that names the largest window.
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const ANSWER_WITH_WINDOW: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";

const NAME: &str = "permessage-deflate";

/// The window that is always compressed with, so that all clients can share what is compressed.
const WINDOW_BITS: u8 = 15;

/// The server's answer to a client's offers, given every value of its
/// `Sec-WebSocket-Extensions` headers: for the first offer that can be accepted.
///
/// An offer is passed over that has a parameter twice, an unknown one or one with a wrong
/// value, and one that wants a smaller window of the server than 2^15 bytes. Without an answer
/// the connection goes on uncompressed.
pub fn answer<'a>(offers: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
    let offers = offers.into_iter().flat_map(|header| split(header, ','));
    offers.filter_map(Parameters::of_offer).find_map(|parameters| match parameters.server_max_window_bits {
        None => Some(ANSWER),
        Some(WINDOW_BITS) => Some(ANSWER_WITH_WINDOW),
        Some(_) => None,
    })
}

/// What a client that sent [`OFFER`] has agreed on, given every value of the
/// `Sec-WebSocket-Extensions` headers in the response.
///
/// # Errors
///
/// [`AnswerError`] when the server answers with what was not offered; the client
/// has to fail the connection (RFC 6455, 4.1).
pub fn agreed<'a>(answers: impl IntoIterator<Item = &'a str>) -> Result<Extension, AnswerError> {
    let mut answers = answers.into_iter().flat_map(|header| split(header, ','));
    let Some(answer) = answers.next() else { return Ok(Extension::None) };
    if answers.next().is_some() {
        return Err(AnswerError::Several);
    }
    let parameters = Parameters::of_answer(answer)?;
    // Its own messages the client compresses one by one, whatever the server allows.
    match parameters.server_no_context_takeover {
        true => Ok(Extension::Deflate),
        false => Err(AnswerError::ContextTakeover),
    }
}

/// Why a server's answer cannot be accepted.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// There is more than the one extension that was offered.
    #[error("the server answers with several extensions")]
    Several,
    /// The extension is another one.
    #[error("the server answers with an extension that was not offered")]
    NotOffered,
    /// A parameter is unknown, comes twice, has a wrong value or was not offered.
    #[error("the server answers permessage-deflate with a wrong parameter")]
    Parameter,
    /// The server wants to refer to earlier messages, which the offer ruled out.
    #[error("the server does not compress each message by itself")]
    ContextTakeover,
}

/// The parameters of one offer or answer.
#[derive(Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// Whether the client's window is spoken of; its value binds none but the client.
    client_max_window_bits: bool,
}

impl Parameters {
    /// Those of an offer of ours, if all are right.
    fn of_offer(offer: &str) -> Option<Self> {
        let mut elements = split(offer, ';');
        let is_known = elements.next() == Some(NAME);
        let mut parameters = Parameters::default();
        let mut add = |parameter| match Parameter::parse(parameter)? {
            // In an offer it may come without a value: the client can be told one.
            Parameter { name: "client_max_window_bits", value: None } => {
                first(&mut parameters.client_max_window_bits)
            }
            parameter => parameters.add(&parameter),
        };
        (is_known && elements.all(|parameter| add(parameter).is_some())).then_some(parameters)
    }

    /// Those of an answer to [`OFFER`], which allows none for the client's window.
    fn of_answer(answer: &str) -> Result<Self, AnswerError> {
        let mut elements = split(answer, ';');
        if elements.next() != Some(NAME) {
            return Err(AnswerError::NotOffered);
        }
        let mut parameters = Parameters::default();
        let are_right = elements
            .all(|parameter| Parameter::parse(parameter).is_some_and(|p| parameters.add(&p).is_some()));
        match are_right && !parameters.client_max_window_bits {
            true => Ok(parameters),
            false => Err(AnswerError::Parameter),
        }
    }

    /// Notes one parameter; `None` if it is wrong.
    fn add(&mut self, parameter: &Parameter<'_>) -> Option<()> {
        match (parameter.name, parameter.value) {
            ("server_no_context_takeover", None) => first(&mut self.server_no_context_takeover),
            ("client_no_context_takeover", None) => first(&mut self.client_no_context_takeover),
            ("server_max_window_bits", Some(bits)) if self.server_max_window_bits.is_none() => {
                self.server_max_window_bits = Some(window_bits(bits)?);
                Some(())
            }
            ("client_max_window_bits", Some(bits)) => {
                window_bits(bits)?;
                first(&mut self.client_max_window_bits)
            }
            _ => None,
        }
    }
}

/// Sets what was not set before.
fn first(flag: &mut bool) -> Option<()> {
    (!std::mem::replace(flag, true)).then_some(())
}

/// A number from 8 to 15, as it is written without a leading zero (7.1.2).
fn window_bits(text: &str) -> Option<u8> {
    (8..=WINDOW_BITS).find(|bits| bits.to_string() == text)
}

struct Parameter<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> Parameter<'a> {
    /// `None` if it has a quoted value that is no token in quotes (RFC 6455, 9.1).
    fn parse(text: &'a str) -> Option<Self> {
        let Some((name, value)) = text.split_once('=') else {
            return Some(Parameter { name: text, value: None });
        };
        let value = match value.trim().strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"')?,
            None => value.trim(),
        };
        Some(Parameter { name: name.trim(), value: Some(value) })
    }
}

/// The elements of a list, where a separator in quotes is none; empty ones do not count.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let elements = text.split(move |character| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return character == separator && !is_quoted,
        }
        false
    });
    elements.map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offers_and_their_answers() {
        for (offer, expected) in [
            ("permessage-deflate", Some(ANSWER)),
            ("permessage-deflate; client_max_window_bits", Some(ANSWER)),
            ("permessage-deflate; client_max_window_bits=8", Some(ANSWER)),
            ("permessage-deflate;client_max_window_bits=\"10\"", Some(ANSWER)),
            ("permessage-deflate; server_no_context_takeover", Some(ANSWER)),
            ("permessage-deflate; client_no_context_takeover", Some(ANSWER)),
            (OFFER, Some(ANSWER)),
            ("permessage-deflate; server_max_window_bits=15", Some(ANSWER_WITH_WINDOW)),
            ("permessage-deflate ; server_max_window_bits = 15 ;", Some(ANSWER_WITH_WINDOW)),
            (",, permessage-deflate ,", Some(ANSWER)),
            ("x-unknown; a=\"b, permessage-deflate; c\", permessage-deflate", Some(ANSWER)),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate", Some(ANSWER)),
            (
                "permessage-deflate; mux, permessage-deflate; server_max_window_bits=15",
                Some(ANSWER_WITH_WINDOW),
            ),
            // What declines an offer.
            ("", None),
            ("x-webkit-deflate-frame", None),
            ("Permessage-Deflate", None),
            ("permessage-deflate2", None),
            ("permessage-deflate=1", None),
            ("permessage-deflate; unknown", None),
            ("permessage-deflate; unknown=1", None),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=", None),
            ("permessage-deflate; server_max_window_bits=7", None),
            ("permessage-deflate; server_max_window_bits=8", None),
            ("permessage-deflate; server_max_window_bits=14", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=99", None),
            ("permessage-deflate; server_max_window_bits=015", None),
            ("permessage-deflate; server_max_window_bits=+15", None),
            ("permessage-deflate; server_max_window_bits=\"15", None),
            ("permessage-deflate; server_max_window_bits=15; server_max_window_bits=15", None),
            ("permessage-deflate; client_max_window_bits=7", None),
            ("permessage-deflate; client_max_window_bits=16", None),
            ("permessage-deflate; client_max_window_bits=", None),
            ("permessage-deflate; client_max_window_bits; client_max_window_bits=15", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            ("permessage-deflate; client_no_context_takeover=\"\"", None),
            ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
            ("permessage-deflate; a=\"b, permessage-deflate", None),
        ] {
            assert_eq!(answer([offer]), expected, "{offer}");
        }
    }

    #[test]
    fn the_first_good_offer_of_several_headers_is_answered() {
        let offers = [
            "mux",
            "permessage-deflate; nonsense",
            "permessage-deflate; server_max_window_bits=15",
            "permessage-deflate",
        ];
        assert_eq!(answer(offers), Some(ANSWER_WITH_WINDOW));
    }

    #[test]
    fn answers_and_what_a_client_makes_of_them() {
        use AnswerError::*;
        for (answers, expected) in [
            (&[][..], Ok(Extension::None)),
            (&[""], Ok(Extension::None)),
            (&[ANSWER], Ok(Extension::Deflate)),
            (&[ANSWER_WITH_WINDOW], Ok(Extension::Deflate)),
            (&["permessage-deflate;server_no_context_takeover"], Ok(Extension::Deflate)),
            (
                &["permessage-deflate;server_no_context_takeover;server_max_window_bits=9"],
                Ok(Extension::Deflate),
            ),
            (&["permessage-deflate"], Err(ContextTakeover)),
            (&["permessage-deflate; client_no_context_takeover"], Err(ContextTakeover)),
            (&["x-other"], Err(NotOffered)),
            (&[ANSWER, ANSWER], Err(Several)),
            (&["permessage-deflate; server_no_context_takeover, x-other"], Err(Several)),
            (&["permessage-deflate; server_no_context_takeover; client_max_window_bits=15"], Err(Parameter)),
            (&["permessage-deflate; server_no_context_takeover; client_max_window_bits"], Err(Parameter)),
            (&["permessage-deflate; server_no_context_takeover; server_max_window_bits=16"], Err(Parameter)),
            (&["permessage-deflate; server_no_context_takeover; server_no_context_takeover"], Err(Parameter)),
            (&["permessage-deflate; server_no_context_takeover; more"], Err(Parameter)),
        ] {
            assert_eq!(agreed(answers.iter().copied()), expected, "{answers:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn nonsense_is_passed_over(parts in proptest::collection::vec(nonsense(), 0..12)) {
            let text = parts.concat();
            let answered = answer([&*text]);
            // Whatever stands before and behind it, a good offer is found, unless it is inside of quotes.
            if !text.contains(['"', '\\']) {
                let found = answer([&*format!("{text}, {NAME}")]);
                prop_assert_eq!(found, Some(answered.unwrap_or(ANSWER)));
            }
            let _ = agreed([&*text]);
        }
    }

    fn nonsense() -> impl Strategy<Value = String> {
        let words = [
            NAME,
            "server_no_context_takeover",
            "client_no_context_takeover",
            "server_max_window_bits",
            "client_max_window_bits",
            "=",
            ";",
            ",",
            "\"",
            "\\",
            " ",
            "15",
            "8",
            "99",
            "-1",
        ];
        prop_oneof![9 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,5}"]
    }
}
