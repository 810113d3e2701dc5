//! Messages, as people and as programs read them.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu_client::Message;
use bennu_protocol::Payload;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

/// So many bytes of a binary payload are shown to people.
const SHOWN_BYTES: usize = 32;

/// One message in one line: topic, event, payload.
pub(crate) fn line(message: &Message) -> String {
    let (topic, event) = (styled(AnsiColor::Cyan), styled(AnsiColor::Green).bold());
    format!(
        "{topic}{}{topic:#}  {event}{}{event:#}  {}",
        plain(message.topic.as_str()),
        plain(message.event.as_str()),
        payload(&message.payload)
    )
}

/// One message as one JSON object, in one line.
pub(crate) fn json(message: &Message) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        at: String,
        topic: &'a str,
        event: &'a str,
        #[serde(flatten)]
        content: Content,
    }
    let content = Content::of(&message.payload);
    let line = Line {
        at: Timestamp::now().to_string(),
        topic: message.topic.as_str(),
        event: message.event.as_str(),
        content,
    };
    // Text and raw JSON always have a form in JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

/// A payload within a JSON object: `payload`, or `binary` in base64 with its `length`.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Json { payload: Box<RawValue> },
    Binary { binary: String, length: usize },
}

impl Content {
    pub(crate) fn of(payload: &Payload) -> Self {
        let json = payload.as_json().and_then(|json| RawValue::from_string(one_line(json)).ok());
        match json {
            Some(payload) => Content::Json { payload },
            None => {
                let bytes = payload.as_binary().map_or(&[][..], |bytes| bytes);
                Content::Binary { binary: STANDARD.encode(bytes), length: bytes.len() }
            }
        }
    }
}

/// A payload for people, in one line.
pub(crate) fn payload(payload: &Payload) -> String {
    match (payload.as_json(), payload.as_binary()) {
        (Some(json), _) => plain(&one_line(json)).into_owned(),
        (None, Some(bytes)) => hexadecimal(bytes),
        (None, None) => String::new(),
    }
}

/// Line breaks in JSON are between its tokens only, where a blank means the same.
fn one_line(json: &[u8]) -> String {
    String::from_utf8_lossy(json).replace(['\n', '\r', '\t'], " ")
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = format!("<{} bytes:", bytes.len());
    for byte in bytes.iter().take(SHOWN_BYTES) {
        // A string takes everything.
        let _ = write!(text, " {byte:02x}");
    }
    text.push_str(if bytes.len() > SHOWN_BYTES { " …>" } else { ">" });
    text
}

/// Text of others, in which nothing can play with the terminal.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let escaped = |c: char| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect::<String>().into()
}

fn styled(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(color.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: Payload) -> Message {
        Message::new("room:1", "shout", payload)
    }

    #[test]
    fn lines_for_people() {
        let strip = |text: String| anstream::adapter::strip_str(&text).to_string();
        let json =
            |text: &'static str| Payload::json(&RawValue::from_string(text.to_owned()).unwrap()).unwrap();
        for (payload, expected) in [
            (json(r#"{"a": 1}"#), r#"{"a": 1}"#),
            (json("{\"a\":\n\t1}"), "{\"a\":  1}"),
            (json("\"\u{9b}31m\""), "\"\\u{9b}31m\""),
            (Payload::binary(vec![1, 255]), "<2 bytes: 01 ff>"),
        ] {
            assert_eq!(strip(line(&message(payload))), format!("room:1  shout  {expected}"));
        }
        let long = strip(line(&message(Payload::binary(vec![0; 1000]))));
        assert!(long.contains("<1000 bytes: 00") && long.ends_with("00 …>") && long.len() < 150, "{long}");
    }

    #[test]
    fn lines_for_programs_keep_the_payload_as_it_came() {
        let raw = RawValue::from_string("{\"n\":1.50,\n\"big\":123456789012345678901234567890}".to_owned())
            .unwrap();
        let line = json(&message(Payload::json(&raw).unwrap()));
        assert!(line.contains(r#""payload":{"n":1.50, "big":123456789012345678901234567890}"#), "{line}");
        assert!(!line.contains('\n'));
        let line = json(&message(Payload::binary(vec![1, 255])));
        assert!(line.ends_with(r#""topic":"room:1","event":"shout","binary":"Af8=","length":2}"#), "{line}");
    }
}
