//! What must not be in a log.

use std::fmt;

/// Stands for a value that is left out.
pub(crate) const FILTERED: &str = "[FILTERED]";

/// A name with one of these in it, in any case, names a secret.
const SECRET_NAMES: [&str; 9] =
    ["token", "api_key", "apikey", "api-key", "password", "secret", "authorization", "cookie", "credential"];

/// Characters of a text that are logged.
const MAX_TEXT: usize = 200;

/// Whether what goes by this name is a credential.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// Writes a peer's text in quotes, control characters escaped, its end cut off when it is
/// long; a text that carries a secret, such as `token=abc`, is left out.
pub(crate) fn text(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if text.split_once('=').is_some() && is_secret(text) {
        return fmt::Debug::fmt(FILTERED, f);
    }
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => write!(f, "{:?}…", &text[..end]),
        None => fmt::Debug::fmt(text, f),
    }
}

#[cfg(test)]
mod tests {
    use crate::params::Params;

    #[test]
    fn secrets_are_left_out_of_what_is_logged() {
        for (query, shown) in [
            ("user=7&token=abc", r#"{"token": "[FILTERED]", "user": "7"}"#),
            ("Api_Key=abc", r#"{"Api_Key": "[FILTERED]"}"#),
            (
                "access_token=abc&x[password]=abc",
                r#"{"access_token": "[FILTERED]", "x": {"password": "[FILTERED]"}}"#,
            ),
            ("cookie[]=abc", r#"{"cookie": "[FILTERED]"}"#),
            ("back=%2Fhome%3Ftoken%3Dabc", r#"{"back": "[FILTERED]"}"#),
            ("x=a%0D%0Ab", r#"{"x": "a\r\nb"}"#),
        ] {
            assert_eq!(format!("{:?}", Params::decode(query).unwrap()), shown, "{query}");
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let query = format!("x={}", "é".repeat(300));
        let shown = format!("{:?}", Params::decode(&query).unwrap());
        assert_eq!(shown.matches('é').count(), 200);
        assert!(shown.ends_with("…}"));
    }
}
