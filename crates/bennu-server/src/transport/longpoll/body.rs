//! What a client posts: a bounded body, and the frames in it.

use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu_protocol::Frame;
use bytes::{Bytes, BytesMut};
use http_body::Body;

/// The longest body that is read, in bytes.
const MAX_BODY: usize = 8_000_000;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How many lines of a body are used; official clients send no more in one.
const MAX_LINES: usize = 100;

/// The body could not be read whole: too long, too slow, or cut off.
#[derive(Debug)]
pub(crate) struct Unreadable;

/// Reads a body to its end. One that announces too much is not read at all.
pub(crate) async fn read<B: Body<Data = Bytes>>(body: B) -> Result<Bytes, Unreadable> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(Unreadable);
    }
    tokio::time::timeout(TIMEOUT, read_bounded(body)).await.map_err(|_| Unreadable)?
}

async fn read_bounded<B: Body<Data = Bytes>>(body: B) -> Result<Bytes, Unreadable> {
    let mut body = pin!(body);
    let mut read = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| Unreadable)?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > MAX_BODY {
            return Err(Unreadable);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// The frames of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) frames: Vec<Frame>,
    /// Whether a line after them is no base64; it and what follows is left out.
    pub(crate) cut_off: bool,
}

impl Posted {
    /// Reads lines, each a message, when the content type says so; else the body is one message.
    pub(crate) fn decode(body: Bytes, is_ndjson: bool) -> Self {
        if !is_ndjson {
            return Posted { frames: vec![Frame::text(body)], cut_off: false };
        }
        let mut frames = Vec::new();
        for line in body.split(|byte| *byte == b'\n').take(MAX_LINES) {
            match frame(line.strip_suffix(b"\r").unwrap_or(line)) {
                Some(frame) => frames.push(frame),
                None => return Posted { frames, cut_off: true },
            }
        }
        Posted { frames, cut_off: false }
    }
}

/// A line that begins with a bracket is text, any other is a binary frame in base64.
///
/// Text is copied: a short line that waits for its handler must not keep a long body alive.
fn frame(line: &[u8]) -> Option<Frame> {
    match line.first() {
        Some(b'[') => Some(Frame::text(Bytes::copy_from_slice(line))),
        _ => STANDARD.decode(line).ok().map(Frame::binary),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ndjson(body: &str) -> Posted {
        Posted::decode(Bytes::copy_from_slice(body.as_bytes()), true)
    }

    #[test]
    fn a_line_is_text_or_base64() {
        let (text, binary, empty) =
            (Frame::text("[1]"), Frame::binary(vec![0, 255, 1]), Frame::binary(Bytes::new()));
        for (name, body, frames, cut_off) in [
            ("one", "[1]", vec![text.clone()], false),
            ("two", "[1]\n[1]", vec![text.clone(), text.clone()], false),
            ("carriage returns", "[1]\r\n[1]", vec![text.clone(), text.clone()], false),
            ("mixed", "[1]\nAP8B", vec![text.clone(), binary], false),
            ("nothing", "", vec![empty.clone()], false),
            ("a newline at the end", "[1]\n", vec![text.clone(), empty], false),
            ("no base64", "[1]\nnot json!\n[1]", vec![text.clone()], true),
            ("no padding", "[1]\nAA", vec![text.clone()], true),
            ("a blank in front", " [1]", vec![], true),
        ] {
            assert_eq!(ndjson(body), Posted { frames, cut_off }, "{name}");
        }
    }

    #[test]
    fn a_hundred_lines_are_used_and_the_rest_is_not_looked_at() {
        let body = format!("{}\n{}", vec!["[1]"; 100].join("\n"), "\n".repeat(1_000_000));
        assert_eq!(ndjson(&body), Posted { frames: vec![Frame::text("[1]"); 100], cut_off: false });
    }

    #[test]
    fn any_other_type_is_one_message() {
        let body = Bytes::from_static(b"{\"topic\":\"a\"}\n[1]");
        let posted = Posted::decode(body.clone(), false);
        assert_eq!(posted, Posted { frames: vec![Frame::text(body)], cut_off: false });
    }
}
