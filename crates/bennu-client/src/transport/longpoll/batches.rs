//! What waits to be posted.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu_protocol::{Frame, FrameKind};
use bytes::Bytes;

/// How many lines of a body servers read; they ignore the rest.
const MAX_LINES: usize = 100;

/// How large a body gets by several lines. Servers refuse those of 8,000,000 bytes.
const MAX_BYTES: usize = 1 << 20;

/// How much may wait before no more is taken.
const HIGH_WATER: usize = 64 * 1024;

/// Lines in order, each a message.
#[derive(Default)]
pub(super) struct Batches {
    lines: VecDeque<Line>,
    bytes: usize,
}

/// A message in the form in which it is posted.
enum Line {
    /// One of those that can share a body: a JSON array, or bytes in base64.
    Shared(Bytes),
    /// What servers take for text only when it is the body: version 1.0.0 has objects.
    Alone(Bytes),
}

/// The body of a post.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

impl Batches {
    pub(super) fn push(&mut self, frame: &Frame) {
        let payload = frame.payload();
        let line = match frame.kind() {
            FrameKind::Text if payload.first() == Some(&b'[') => Line::Shared(in_one_line(payload)),
            FrameKind::Text => Line::Alone(payload),
            FrameKind::Binary => Line::Shared(STANDARD.encode(payload).into()),
        };
        self.bytes += line.bytes().len();
        self.lines.push_back(line);
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= MAX_LINES || self.bytes >= HIGH_WATER
    }

    /// The next body: as many of the first lines as fit.
    pub(super) fn next(&mut self) -> Option<Batch> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.bytes().len();
        let first = match line {
            Line::Alone(body) => return Some(Batch { content_type: "application/json", body }),
            Line::Shared(first) => first,
        };
        let mut body = Vec::from(first);
        let mut lines = 1;
        while lines < MAX_LINES
            && let Some(Line::Shared(next)) = self.lines.front()
            && body.len() + next.len() < MAX_BYTES
        {
            // Between lines alone: behind the last one, servers would read another that is empty.
            body.push(b'\n');
            body.extend_from_slice(next);
            self.bytes -= next.len();
            self.lines.pop_front();
            lines += 1;
        }
        Some(Batch { content_type: "application/x-ndjson", body: body.into() })
    }
}

impl Line {
    fn bytes(&self) -> &Bytes {
        match self {
            Line::Shared(bytes) | Line::Alone(bytes) => bytes,
        }
    }
}

/// JSON without line breaks, which only stand between its tokens: in strings they are escaped.
fn in_one_line(json: Bytes) -> Bytes {
    let breaks = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !json.iter().any(breaks) {
        return json;
    }
    json.iter().map(|byte| if breaks(byte) { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(frames: impl IntoIterator<Item = Frame>) -> Vec<(&'static str, String)> {
        let mut batches = Batches::default();
        frames.into_iter().for_each(|frame| batches.push(&frame));
        let bodies: Vec<_> = std::iter::from_fn(|| batches.next()).collect();
        assert_eq!(batches.bytes, 0);
        bodies
            .into_iter()
            .map(|batch| (batch.content_type, String::from_utf8(batch.body.into()).unwrap()))
            .collect()
    }

    #[test]
    fn messages_and_the_bodies_they_make() {
        let (ndjson, json) = ("application/x-ndjson", "application/json");
        for (name, frames, expected) in [
            ("one", vec![Frame::text("[1]")], vec![(ndjson, "[1]")]),
            ("two", vec![Frame::text("[1]"), Frame::text("[2]")], vec![(ndjson, "[1]\n[2]")]),
            ("bytes", vec![Frame::binary("hello"), Frame::text("[1]")], vec![(ndjson, "aGVsbG8=\n[1]")]),
            ("line breaks", vec![Frame::text("[1,\r\n\"a\\n\"]")], vec![(ndjson, "[1,  \"a\\n\"]")]),
            (
                "version 1.0.0",
                vec![Frame::text("{\"a\":\n1}"), Frame::text("{}")],
                vec![(json, "{\"a\":\n1}"), (json, "{}")],
            ),
            (
                "both",
                vec![Frame::text("[1]"), Frame::text("{}"), Frame::text("[2]")],
                vec![(ndjson, "[1]"), (json, "{}"), (ndjson, "[2]")],
            ),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(kind, body)| (kind, body.to_owned())).collect();
            assert_eq!(batches(frames), expected, "{name}");
        }
    }

    #[test]
    fn a_body_has_at_most_a_hundred_lines_and_a_mebibyte() {
        let many = batches((0..250).map(|number| Frame::text(format!("[{number}]"))));
        let lines: Vec<usize> = many.iter().map(|(_, body)| body.lines().count()).collect();
        assert_eq!(lines, [100, 100, 50]);
        let all: Vec<&str> = many.iter().flat_map(|(_, body)| body.lines()).collect();
        assert_eq!(all, (0..250).map(|number| format!("[{number}]")).collect::<Vec<_>>());

        let large = || Frame::text(format!("[\"{}\"]", "x".repeat(MAX_BYTES / 2)));
        let lines: Vec<usize> =
            batches([large(), large(), large()]).iter().map(|(_, body)| body.lines().count()).collect();
        assert_eq!(lines, [1, 1, 1]);
    }
}
