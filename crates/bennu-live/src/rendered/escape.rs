//! Text on its way into HTML, and HTML on its way into JSON.

use std::fmt;

/// Takes text, and appends it to a page so that it stays text, in an element as in a quoted attribute.
pub(super) struct Text<'a>(pub(super) &'a mut Vec<u8>);

/// The same for a page that is in a string of JSON.
pub(super) struct TextInJson<'a>(pub(super) &'a mut Vec<u8>);

/// Takes HTML as it is, and appends it to a string of JSON.
pub(super) struct HtmlInJson<'a>(pub(super) &'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        replace(self.0, text, |byte| entity(byte).unwrap_or(""));
        Ok(())
    }
}

impl fmt::Write for TextInJson<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        replace(self.0, text, |byte| entity(byte).unwrap_or_else(|| escape(byte)));
        Ok(())
    }
}

impl fmt::Write for HtmlInJson<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        replace(self.0, text, escape);
        Ok(())
    }
}

/// Appends text with some of its ASCII bytes replaced: those for which there is a replacement.
fn replace(out: &mut Vec<u8>, text: &str, replacement: impl Fn(u8) -> &'static str) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let replacement = replacement(byte);
        if !replacement.is_empty() {
            out.extend_from_slice(&bytes[copied..at]);
            out.extend_from_slice(replacement.as_bytes());
            copied = at + 1;
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// What stands for a character that HTML gives a meaning.
fn entity(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\'' => Some("&#39;"),
        _ => None,
    }
}

/// What stands for a character that a string of JSON cannot have; nothing for the others.
fn escape(byte: u8) -> &'static str {
    const CONTROL: [&str; 32] = [
        "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b", "\\t",
        "\\n", "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012", "\\u0013",
        "\\u0014", "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c",
        "\\u001d", "\\u001e", "\\u001f",
    ];
    match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        0..32 => CONTROL[usize::from(byte)],
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_character_arrives_as_text() {
        let all: String = (0..0x250_u32).filter_map(char::from_u32).collect();
        let (mut html, mut json) = (Vec::new(), b"\"".to_vec());
        Text(&mut html).write_str(&all).unwrap();
        TextInJson(&mut json).write_str(&all).unwrap();
        json.push(b'"');
        let html = String::from_utf8(html).unwrap();
        assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), html);
        let back = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
            .iter()
            .fold(html.clone(), |html, (entity, character)| html.replace(entity, character));
        assert_eq!(back, all);
        assert!(!html.contains(['<', '>', '"', '\'']));
    }

    #[test]
    fn html_arrives_as_it_is() {
        let html = "<p class=\"a\">\\ \u{0} é \u{2028}</p>\n";
        let mut json = b"\"".to_vec();
        HtmlInJson(&mut json).write_str(html).unwrap();
        json.push(b'"');
        assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), html);
    }
}
