//! Where a client is in a topic's stream, as join params and join replies say it.

use bennu_protocol::{EncodeError, Payload};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Longer than any epoch of ours.
const MAX_EPOCH: usize = 64;

/// What the `recover` of join params asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recover {
    /// There is none, or it is null.
    NotAsked,
    Since(Position),
    /// It is no position.
    Malformed,
}

/// A client's own position, from its last join reply and the broadcasts since.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Position {
    pub(super) epoch: String,
    pub(super) offset: u64,
}

impl Recover {
    pub(super) fn of(params: &Payload) -> Self {
        #[derive(Deserialize)]
        struct Params {
            #[serde(default)]
            recover: Option<Box<RawValue>>,
        }

        // Serde would read an array as a struct too.
        let is_object = |text: &[u8]| text.trim_ascii_start().starts_with(b"{");
        if !params.as_json().is_some_and(is_object) {
            return Recover::NotAsked;
        }
        let Ok(params) = params.parse::<Params>() else { return Recover::Malformed };
        let Some(recover) = params.recover else { return Recover::NotAsked };
        match serde_json::from_str::<Position>(recover.get()) {
            Ok(position) if is_object(recover.get().as_bytes()) && position.epoch.len() <= MAX_EPOCH => {
                Recover::Since(position)
            }
            Ok(_) | Err(_) => Recover::Malformed,
        }
    }
}

/// Adds a position to a join's response.
///
/// # Errors
///
/// [`EncodeError`] when the response is no object or has one of the members.
pub(super) fn tell(
    response: &Payload,
    epoch: &str,
    offset: u64,
    recovered: Option<bool>,
) -> Result<Payload, EncodeError> {
    #[derive(Serialize)]
    struct Told<'a> {
        epoch: &'a str,
        offset: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
    }

    response.with_members(&Told { epoch, offset, recovered })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recover_is_read_strictly() {
        let since = |offset| Recover::Since(Position { epoch: "e".to_owned(), offset });
        let long = format!(r#"{{"recover":{{"epoch":"{}","offset":1}}}}"#, "e".repeat(65));
        for (params, expected) in [
            ("{}", Recover::NotAsked),
            ("null", Recover::NotAsked),
            ("[]", Recover::NotAsked),
            (r#"[{"epoch":"e","offset":7}]"#, Recover::NotAsked),
            (r#"{"recover":null}"#, Recover::NotAsked),
            (r#"{"recover":{"epoch":"e","offset":7}}"#, since(7)),
            (r#" {"token":"t","recover":{"offset":0,"epoch":"e","more":[]}}"#, since(0)),
            (r#"{"recover":{"epoch":"e","offset":18446744073709551615}}"#, since(u64::MAX)),
            (r#"{"recover":{"epoch":"e","offset":18446744073709551616}}"#, Recover::Malformed),
            (r#"{"recover":{"epoch":"e","offset":-1}}"#, Recover::Malformed),
            (r#"{"recover":{"epoch":"e","offset":1.5}}"#, Recover::Malformed),
            (r#"{"recover":{"epoch":"e","offset":"7"}}"#, Recover::Malformed),
            (r#"{"recover":{"epoch":"e","offset":null}}"#, Recover::Malformed),
            (r#"{"recover":{"epoch":7,"offset":7}}"#, Recover::Malformed),
            (r#"{"recover":{"epoch":"e"}}"#, Recover::Malformed),
            (r#"{"recover":{"offset":7}}"#, Recover::Malformed),
            (r#"{"recover":["e",7]}"#, Recover::Malformed),
            (r#"{"recover":true}"#, Recover::Malformed),
            (r#"{"recover":{},"recover":{}}"#, Recover::Malformed),
            (&long, Recover::Malformed),
        ] {
            assert_eq!(Recover::of(&Payload::Json(params.to_owned().into())), expected, "{params}");
        }
        assert_eq!(Recover::of(&Payload::binary(vec![1])), Recover::NotAsked);
    }
}
