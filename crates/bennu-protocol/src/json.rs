//! A strict JSON validator that also finds where each value ends.
//!
//! Payloads of clients travel on as the bytes they came in, so everything that
//! could break another client's parser must be refused here: lone surrogates,
//! numbers that no `f64` holds, nesting without end, control characters.

use std::borrow::Cow;
use std::ops::Range;

use thiserror::Error;

/// How deep arrays and objects may nest in one frame, the frame's own array or object counted.
///
/// One more than what `serde_json` reads by default fits inside, so that what
/// passes here can be parsed by every handler.
pub const MAX_DEPTH: usize = 128;

/// Why a text is refused as JSON, with the byte offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{kind} at byte {offset}")]
pub struct JsonError {
    kind: &'static str,
    offset: usize,
}

/// Checks that `text` is one JSON value and nothing else.
///
/// # Errors
///
/// [`JsonError`] tells the first place where it is not.
pub fn validate(text: &str) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.value()?;
    scanner.end()
}

/// The keys of an object, decoded.
pub(crate) fn keys(object: &[u8]) -> Result<Vec<Cow<'_, str>>, JsonError> {
    let mut scanner = Scanner::new(object);
    let mut keys = Vec::new();
    if !scanner.eat(b'{') {
        return Err(scanner.error("expected an object"));
    }
    scanner.enter();
    let mut more = !scanner.eat(b'}');
    while more {
        let (key, _) = scanner.member()?;
        keys.push(decode_key(&object[key]));
        more = scanner.eat(b',');
        if !more {
            scanner.expect(b'}')?;
        }
    }
    scanner.leave();
    scanner.end()?;
    Ok(keys)
}

/// A key without its quotes and escapes.
pub(crate) fn decode_key(quoted: &[u8]) -> Cow<'_, str> {
    let plain = std::str::from_utf8(&quoted[1..quoted.len() - 1]).ok().filter(|text| !text.contains('\\'));
    match plain {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(serde_json::from_slice(quoted).unwrap_or_default()),
    }
}

/// Reads JSON from front to back, value by value.
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
    /// One bit for each open container, the innermost lowest: 1 is an object.
    containers: u128,
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Scanner { text, position: 0, containers: 0, depth: 0 }
    }

    /// Validates the next value and returns where it stands.
    pub(crate) fn value(&mut self) -> Result<Range<usize>, JsonError> {
        self.whitespace();
        let start = self.position;
        if self.peek() == Some(b'"') {
            self.string()?;
            return Ok(start..self.position);
        }
        let outer = self.depth;
        loop {
            let opened = self.scalar_or_open()?;
            if opened {
                continue;
            }
            // A value has just ended: close containers until another value is due.
            while self.depth > outer && !self.after_value()? {}
            if self.depth == outer {
                return Ok(start..self.position);
            }
        }
    }

    /// Consumes `byte` after whitespace, if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        self.whitespace();
        let found = self.peek() == Some(byte);
        self.position += usize::from(found);
        found
    }

    /// Enters a container that the caller reads itself; it counts towards the depth.
    pub(crate) fn enter(&mut self) {
        self.containers <<= 1;
        self.depth += 1;
    }

    /// Leaves a container that the caller read itself.
    pub(crate) fn leave(&mut self) {
        self.containers >>= 1;
        self.depth -= 1;
    }

    /// Consumes `byte` after whitespace, or fails.
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        match self.eat(byte) {
            true => Ok(()),
            false => Err(self.error("expected a comma or the end of the container")),
        }
    }

    /// Reads a key with its quotes, and its value, and returns where both stand.
    pub(crate) fn member(&mut self) -> Result<(Range<usize>, Range<usize>), JsonError> {
        let key = self.key()?;
        Ok((key, self.value()?))
    }

    /// Fails unless only whitespace is left.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        self.whitespace();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error("trailing data")),
        }
    }

    /// Reads a scalar, or opens a container; true when a container with content was opened.
    fn scalar_or_open(&mut self) -> Result<bool, JsonError> {
        self.whitespace();
        match self.peek() {
            Some(b'"') => self.string().map(|()| false),
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.literal(b"true").map(|()| false),
            Some(b'f') => self.literal(b"false").map(|()| false),
            Some(b'n') => self.literal(b"null").map(|()| false),
            Some(_) => Err(self.error("unexpected character")),
            None => Err(self.error("unexpected end")),
        }
    }

    fn open(&mut self, object: bool) -> Result<bool, JsonError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error("nesting over 128"));
        }
        self.position += 1;
        if self.eat(if object { b'}' } else { b']' }) {
            return Ok(false);
        }
        self.containers = self.containers << 1 | u128::from(object);
        self.depth += 1;
        if object {
            self.key()?;
        }
        Ok(true)
    }

    /// Reads what follows a value in a container; true when another value is due.
    fn after_value(&mut self) -> Result<bool, JsonError> {
        let object = self.containers & 1 == 1;
        if self.eat(b',') {
            if object {
                self.key()?;
            }
            return Ok(true);
        }
        if !self.eat(if object { b'}' } else { b']' }) {
            return Err(self.error("expected a comma or the end of the container"));
        }
        self.leave();
        Ok(false)
    }

    fn key(&mut self) -> Result<Range<usize>, JsonError> {
        self.whitespace();
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key"));
        }
        let start = self.position;
        self.string()?;
        let key = start..self.position;
        match self.eat(b':') {
            true => Ok(key),
            false => Err(self.error("expected a colon")),
        }
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.position += 1;
        loop {
            self.position += plain_len(&self.text[self.position..]);
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.error("control character in a string")),
                None => return Err(self.error("unexpected end")),
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), JsonError> {
        self.position += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.position += 1;
                Ok(())
            }
            Some(b'u') => self.unicode_escape(),
            _ => Err(self.error("unknown escape")),
        }
    }

    /// A `\uXXXX`, or the two of a surrogate pair; a lone surrogate is no character.
    fn unicode_escape(&mut self) -> Result<(), JsonError> {
        match self.hex4()? {
            0xd800..=0xdbff => {
                if !self.text[self.position..].starts_with(b"\\u") {
                    return Err(self.error("lone surrogate"));
                }
                self.position += 1;
                match self.hex4()? {
                    0xdc00..=0xdfff => Ok(()),
                    _ => Err(self.error("lone surrogate")),
                }
            }
            0xdc00..=0xdfff => Err(self.error("lone surrogate")),
            _ => Ok(()),
        }
    }

    fn hex4(&mut self) -> Result<u16, JsonError> {
        self.position += 1;
        let Some(digits) = self.text.get(self.position..self.position + 4) else {
            return Err(self.error("unexpected end"));
        };
        let mut code = 0;
        for &digit in digits {
            let value = (digit as char).to_digit(16);
            let value = value.ok_or_else(|| self.error("not a hexadecimal digit"))?;
            code = code << 4 | value as u16;
        }
        self.position += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.position;
        self.position += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.position += 1,
            _ => self.digits()?,
        }
        let integer = self.position - start;
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.position += 1;
            self.position += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        // Up to 308 digits and without an exponent, every number is below f64::MAX.
        match (exponent || integer > 308) && !is_finite(&self.text[start..self.position]) {
            true => Err(self.error("number out of range")),
            false => Ok(()),
        }
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let rest = &self.text[self.position..];
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.position += count;
        match count {
            0 => Err(self.error("expected a digit")),
            _ => Ok(()),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.text[self.position..].starts_with(word) {
            return Err(self.error("unexpected character"));
        }
        self.position += word.len();
        Ok(())
    }

    #[inline]
    fn whitespace(&mut self) {
        if self.peek().is_some_and(|byte| byte > b' ') {
            return;
        }
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.position += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn error(&self, kind: &'static str) -> JsonError {
        JsonError { kind, offset: self.position }
    }
}

fn is_finite(number: &[u8]) -> bool {
    let text = std::str::from_utf8(number).unwrap_or_default();
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Appends `text` as a JSON string: only `"`, `\` and characters below U+0020 are escaped.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
        return out.push(b'"');
    }
    let mut plain = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0x00..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..index]);
        plain = index + 1;
        match escape {
            b"" => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            escape => out.extend_from_slice(escape),
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

/// Whether a JSON string of this text is the text itself between quotes.
pub(crate) fn is_plain(text: &str) -> bool {
    plain_len(text.as_bytes()) == text.len()
}

/// How many bytes go by before one that ends a string, escapes something, or is a control character.
#[inline]
fn plain_len(text: &[u8]) -> usize {
    let mut len = 0;
    while let Some(word) = text[len..].first_chunk() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return len + (special.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    let rest = &text[len..];
    // What is left, in front of blanks, which are not special.
    let mut word = [b' '; 8];
    word[..rest.len()].copy_from_slice(rest);
    match special(u64::from_le_bytes(word)) {
        0 => text.len(),
        special => len + (special.trailing_zeros() / 8) as usize,
    }
}

/// Marks which of eight bytes are a quote, a backslash or below 0x20, by their highest bits; above the lowest mark,
/// others may be false. A byte is zero, or less than a bound up to 128, exactly if borrowing from it sets a high bit
/// that it does not have itself (Warren, "Hacker's Delight", 6-1).
#[inline]
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    let equals = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equals(b'"') | equals(b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn valid_texts_pass() {
        for text in [
            "null",
            " true ",
            "false",
            "0",
            "-0",
            "-0.0",
            "1.10",
            "1e2",
            "1E+5",
            "1e-400",
            "\"\"",
            "[]",
            "{}",
            "[1,2,[3,{\"a\":[]}]]",
            "{\"a\":{\"b\":null},\"c\":[{}]}",
            "\"\\ud83d\\ude80\"",
            "\"é🚀\"",
            "\"\\u0000\\/\\b\\f\\n\\r\\t\"",
            "\t\r\n[ 1 , 2 ]\n",
            "123456789012345678901234567890",
        ] {
            assert_eq!(validate(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn invalid_texts_are_refused() {
        for text in [
            "",
            " ",
            "nul",
            "tru",
            "nope",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "NaN",
            "Infinity",
            "1e400",
            "-1e400",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\\ud800x\"",
            "\"\n\"",
            "[",
            "]",
            "[1,]",
            "[,]",
            "[1 2]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[}",
            "{]",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "{} {}",
            "\u{feff}1",
            "'a'",
        ] {
            assert!(validate(text).is_err(), "{text}");
        }
        let long = format!("{}.5", "9".repeat(400));
        assert!(validate(&long).is_err(), "an integer part over f64");
    }

    #[test]
    fn nesting_is_allowed_up_to_the_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(validate(&nested(MAX_DEPTH)), Ok(()));
        assert!(validate(&nested(MAX_DEPTH + 1)).is_err());
        assert!(validate(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn strings_are_written_so_that_they_read_back() {
        for text in ["", "plain", "q\"b\\", "\u{1}\n\r\t\u{8}\u{c}\u{1f}", "é🚀"] {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn all_that_serde_json_writes_passes(value in json()) {
            prop_assert_eq!(validate(&value.to_string()), Ok(()));
        }

        #[test]
        fn all_that_passes_is_read_by_serde_json(
            text in "[\\[\\]{},:\"\\\\u0-9a-dtrefalsn .+-]{0,40}"
        ) {
            if validate(&text).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn mutated_texts_agree_with_serde_json(value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut text = value.to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            if let Ok(text) = String::from_utf8(text) && validate(&text).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn plain_bytes_are_counted_as_one_by_one(text in prop::collection::vec(any::<u8>(), 0..40), fill in any::<u8>()) {
            let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
            for text in [text.clone(), [vec![fill; 19], text].concat()] {
                prop_assert_eq!(plain_len(&text), text.iter().position(is_special).unwrap_or(text.len()));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = validate(&text);
        }
    }
}
