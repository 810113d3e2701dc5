//! Messages, as people and as programs read them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};

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
    json_text(&line).unwrap_or_default()
}

/// A value as JSON in one line, the same for a program and a terminal.
pub(crate) fn json_text(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(escape_controls(&serde_json::to_string(value)?).into_owned())
}

/// JSON of one line that says the same, and in which nothing can play with the terminal. Control characters are within its
/// strings only, where they may be escaped; as they are, a terminal would obey them, and a pipe would lose them.
fn escape_controls(json: &str) -> Cow<'_, str> {
    if !json.contains(char::is_control) {
        return json.into();
    }
    let escaped = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(escaped).collect::<String>().into()
}

/// Writes a line on standard output, and waits until it is written. A thread of its own does it: whoever reads may take
/// their time, and heartbeats and signals must not wait with the line.
pub(crate) async fn out(line: String) -> io::Result<()> {
    let write = move || {
        let mut stdout = anstream::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()
    };
    tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
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
        (Some(json), _) => escape_controls(&one_line(json)).into_owned(),
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
            (json("\"\u{9b}31m\u{7f}\""), r#""\u009b31m\u007f""#),
            (Payload::binary(vec![1, 255]), "<2 bytes: 01 ff>"),
        ] {
            assert_eq!(strip(line(&message(payload))), format!("room:1  shout  {expected}"));
        }
        let long = strip(line(&message(Payload::binary(vec![0; 1000]))));
        assert!(long.contains("<1000 bytes: 00") && long.ends_with("00 …>") && long.len() < 150, "{long}");
    }

    #[test]
    fn json_without_control_characters_says_the_same() {
        let controls: String = ('\0'..='\u{a0}').filter(|c| c.is_control()).collect();
        let text = json_text(&controls).unwrap();
        assert!(text.is_ascii() && !text.contains(char::is_control), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), controls);
    }

    #[test]
    fn lines_for_programs_keep_the_payload_as_it_came() {
        let raw = RawValue::from_string("{\"n\":1.50,\n\"big\":123456789012345678901234567890}".to_owned())
            .unwrap();
        let line = json(&message(Payload::json(&raw).unwrap()));
        assert!(line.contains(r#""payload":{"n":1.50, "big":123456789012345678901234567890}"#), "{line}");
        assert!(!line.contains('\n'));
        let line = json(&Message::new("room:\u{9b}", "\u{1b}[2J", Payload::empty()));
        assert!(line.ends_with(r#""topic":"room:\u009b","event":"\u001b[2J","payload":{}}"#), "{line}");
        let line = json(&message(Payload::binary(vec![1, 255])));
        assert!(line.ends_with(r#""topic":"room:1","event":"shout","binary":"Af8=","length":2}"#), "{line}");
    }
}
