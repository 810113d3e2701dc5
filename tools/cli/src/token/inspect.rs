//! What can be said of a token without the secret.

use std::io::Write as _;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bennu_token::Term;
use serde_json::{Value, json};

use super::json::value;
use super::notation::Elixir;
use super::{from_unix_ms, moment, timestamp};
use crate::exit::{Exit, failure};
use crate::print;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const NOT_VERIFIED: &str = "nothing was verified: anyone can write this";

/// How a token is protected, by what stands before its first dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    Signed(&'static str),
    Encrypted(&'static str),
}

impl Protection {
    fn of(token: &str) -> Option<Self> {
        match token.split_once('.')?.0 {
            "SFMyNTY" => Some(Protection::Signed("HMAC-SHA256")),
            "SFMzODQ" => Some(Protection::Signed("HMAC-SHA384")),
            "SFM1MTI" => Some(Protection::Signed("HMAC-SHA512")),
            "XCP" => Some(Protection::Encrypted("XChaCha20-Poly1305")),
            "QTEyOEdDTQ" => Some(Protection::Encrypted("AES-GCM, as plug_crypto 1 wrote it")),
            _ => None,
        }
    }
}

pub(super) fn is_encrypted(token: &str) -> bool {
    matches!(Protection::of(token), Some(Protection::Encrypted(_)))
}

pub(super) fn run(token: &str, as_json: bool) -> anyhow::Result<Exit> {
    let mut stdout = anstream::stdout();
    match Protection::of(token) {
        None => Err(not_a_token(token)),
        Some(Protection::Encrypted(cipher)) if as_json => {
            writeln!(stdout, "{}", json!({"kind": "encrypted", "algorithm": cipher, "verified": false}))?;
            Ok(Exit::Done)
        }
        Some(Protection::Encrypted(cipher)) => {
            writeln!(stdout, "kind:      encrypted ({cipher})")?;
            writeln!(stdout, "data:      cannot be read without the secret: `bennu token verify` decrypts")?;
            writeln!(stdout, "verified:  no; {NOT_VERIFIED}")?;
            Ok(Exit::Done)
        }
        Some(Protection::Signed(digest)) => {
            let content = Content::read(token)?;
            let text = if as_json { print::json_text(&content.json(digest))? } else { content.text(digest) };
            writeln!(stdout, "{text}")?;
            Ok(Exit::Done)
        }
    }
}

fn not_a_token(token: &str) -> anyhow::Error {
    let hint = match token.starts_with("eyJ") {
        true => "it looks like a JSON Web Token, which Phoenix.Token does not make",
        false => "one begins with SFMyNTY. (signed) or XCP. (encrypted)",
    };
    failure(Exit::InvalidToken, format!("this is no token of Phoenix.Token: {hint}"))
}

/// What a signed message holds.
enum Content {
    /// Data and its age.
    Token { data: Term, signed_at: i64, max_age: Option<Term> },
    /// Something else that was signed, as a session cookie.
    Other(Term),
}

impl Content {
    fn read(token: &str) -> anyhow::Result<Self> {
        let unreadable =
            |what: &str| failure(Exit::InvalidToken, format!("the token cannot be read: {what}"));
        let parts: Vec<&str> = token.split('.').collect();
        let [_, message, _] = parts[..] else {
            return Err(unreadable("it has not three parts, so something was cut off or added"));
        };
        let bytes = BASE64.decode(message).map_err(|_| unreadable("its second part is no base64url"))?;
        let term = Term::decode(&bytes).map_err(|error| unreadable(&error.to_string()))?;
        Ok(match &term {
            Term::Tuple(elements) => match &elements[..] {
                [data, Term::Integer(ms), max_age] => {
                    Content::Token { data: data.clone(), signed_at: *ms, max_age: Some(max_age.clone()) }
                }
                [data, Term::Integer(ms)] => {
                    Content::Token { data: data.clone(), signed_at: *ms, max_age: None }
                }
                _ => Content::Other(term),
            },
            Term::Map(map) => match (map.get(&Term::atom("data")), map.get(&Term::atom("signed"))) {
                (Some(data), Some(Term::Integer(ms))) => {
                    Content::Token { data: data.clone(), signed_at: *ms, max_age: None }
                }
                _ => Content::Other(term),
            },
            _ => Content::Other(term),
        })
    }

    fn json(&self, digest: &str) -> Value {
        match self {
            Content::Token { data, signed_at, max_age } => json!({
                "kind": "signed",
                "algorithm": digest,
                "data": value(data),
                "signed_at": from_unix_ms(*signed_at).map(timestamp),
                "max_age": max_age.as_ref().map(value),
                "verified": false,
            }),
            Content::Other(term) => {
                json!({"kind": "other", "algorithm": digest, "data": value(term), "verified": false})
            }
        }
    }

    fn text(&self, digest: &str) -> String {
        match self {
            Content::Token { data, signed_at, max_age } => format!(
                "kind:      signed ({digest})\ndata:      {}\nsigned at: {}\nmax age:   {}\nverified:  no; {NOT_VERIFIED}",
                Elixir(data),
                from_unix_ms(*signed_at).map_or_else(|| signed_at.to_string(), moment),
                max_age_text(max_age.as_ref()),
            ),
            Content::Other(term) => format!(
                "kind:      signed ({digest}), but not by Phoenix.Token: a session cookie perhaps\ndata:      {}\n\
                 verified:  no; {NOT_VERIFIED}",
                Elixir(term),
            ),
        }
    }
}

fn max_age_text(max_age: Option<&Term>) -> String {
    match max_age {
        None => "not in the token, which an old version of Phoenix made".to_owned(),
        Some(Term::Integer(seconds)) => match u64::try_from(*seconds) {
            Ok(seconds) => crate::span::describe(std::time::Duration::from_secs(seconds)),
            Err(_) => format!("{seconds} s"),
        },
        Some(Term::Float(seconds)) => format!("{seconds} s"),
        Some(other) => Elixir(other).to_string(),
    }
}
