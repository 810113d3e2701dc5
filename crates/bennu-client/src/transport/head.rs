//! The head of an HTTP/1.1 response, as a WebSocket's and a proxy's answer have one.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How many headers a response may have.
const MAX_HEADERS: usize = 128;

/// What one read takes.
const CHUNK: usize = 4 * 1024;

/// How much of what a server says to a refusal is kept.
const MAX_REFUSAL: usize = 8 * 1024;

/// The beginning of what a server said when it refused, without the rest.
pub(super) fn beginning(body: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&body[..body.len().min(MAX_REFUSAL)])
}

/// How long the rest of what it says is waited for.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// Status and headers.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
}

/// Why there is no head.
#[derive(Debug, Error)]
pub(super) enum HeadError {
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("the server closed the connection without an answer")]
    Closed,
    #[error("the head of the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the answer is no http")]
    Malformed,
}

/// Reads a head of at most `max` bytes, and what came behind it. Those before a final one, as `103`, are passed over.
pub(super) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    max: usize,
) -> Result<(Head, Vec<u8>), HeadError> {
    let mut buffer = Vec::new();
    // How many bytes there were of those that were passed over.
    let mut passed = 0;
    let mut searched = 0;
    loop {
        if let Some(end) = find_end(&buffer, searched) {
            let rest = buffer.split_off(end);
            let head = parse(&buffer)?;
            if !matches!(head.status, 100 | 102..=199) {
                return Ok((head, rest));
            }
            passed += end;
            buffer = rest;
            searched = 0;
            continue;
        }
        if passed + buffer.len() >= max {
            return Err(HeadError::TooLarge(max));
        }
        searched = buffer.len();
        let room = CHUNK.min(max - passed - buffer.len()) as u64;
        if (&mut *stream).take(room).read_buf(&mut buffer).await? == 0 {
            return Err(if buffer.is_empty() { HeadError::Closed } else { HeadError::Malformed });
        }
    }
}

/// Where the head ends, of which the first bytes were looked at before: a head that comes in pieces is parsed once.
fn find_end(buffer: &[u8], searched: usize) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let start = searched.saturating_sub(END.len() - 1);
    let at = buffer[start..].windows(END.len()).position(|window| window == END)?;
    Some(start + at + END.len())
}

fn parse(bytes: &[u8]) -> Result<Head, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    if !matches!(response.parse(bytes), Ok(httparse::Status::Complete(_))) {
        return Err(HeadError::Malformed);
    }
    let mut headers = HeaderMap::new();
    for header in &*response.headers {
        let name = HeaderName::try_from(header.name).map_err(|_| HeadError::Malformed)?;
        headers.append(name, HeaderValue::from_bytes(header.value).map_err(|_| HeadError::Malformed)?);
    }
    Ok(Head { status: response.code.ok_or(HeadError::Malformed)?, headers })
}

impl Head {
    /// The values of a header as text; others count as absent.
    pub(super) fn texts(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Whether one of the elements of a list header is this, in any case.
    pub(super) fn lists(&self, name: HeaderName, element: &str) -> bool {
        let mut elements = self.texts(name).flat_map(|list| list.split(','));
        elements.any(|listed| listed.trim().eq_ignore_ascii_case(element))
    }

    /// The beginning of the body, of which `rest` has come: up to [`MAX_REFUSAL`], and what comes soon.
    pub(super) async fn body<S: AsyncRead + Unpin>(&self, stream: &mut S, mut rest: Vec<u8>) -> Bytes {
        let length = self.texts(header::CONTENT_LENGTH).next().and_then(|length| length.trim().parse().ok());
        let wanted = length.unwrap_or(MAX_REFUSAL).min(MAX_REFUSAL);
        let read = async {
            while rest.len() < wanted {
                let room = (wanted - rest.len()) as u64;
                // What has come is worth showing, whatever ended it.
                match (&mut *stream).take(room).read_buf(&mut rest).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        // As above: the rest is not worth more waiting.
        let _ = tokio::time::timeout(REFUSAL_PATIENCE, read).await;
        rest.truncate(wanted);
        if self.lists(header::TRANSFER_ENCODING, "chunked") {
            rest = unchunk(&rest);
        }
        rest.into()
    }
}

/// The data of a chunked body, as far as it has come.
fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(body) {
        let chunk = &body[start..];
        let length = usize::try_from(size).unwrap_or(usize::MAX).min(chunk.len());
        data.extend_from_slice(&chunk[..length]);
        let Some(next) = chunk.get(length + "\r\n".len()..).filter(|_| size > 0) else { break };
        body = next;
    }
    data
}

/// How long the server asks to be left alone: seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    async fn read_all(mut bytes: &[u8], max: usize) -> Result<(u16, Vec<u8>), String> {
        let (head, rest) = read(&mut bytes, max).await.map_err(|error| error.to_string())?;
        Ok((head.status, [&rest, bytes].concat()))
    }

    #[tokio::test]
    async fn heads_and_what_follows_them() {
        let closed = Err("the server closed the connection without an answer".to_owned());
        let malformed = Err("the answer is no http".to_owned());
        for (name, bytes, expected) in [
            ("alone", "HTTP/1.1 200 OK\r\n\r\n", Ok((200, vec![]))),
            ("with more behind", "HTTP/1.1 403 Forbidden\r\na: b\r\n\r\nno", Ok((403, b"no".to_vec()))),
            ("without a reason", "HTTP/1.1 101\r\n\r\n", Ok((101, vec![]))),
            (
                "after a hint",
                "HTTP/1.1 103 Hints\r\na: b\r\n\r\nHTTP/1.1 101 x\r\n\r\n!",
                Ok((101, b"!".to_vec())),
            ),
            ("nothing", "", closed),
            ("cut off", "HTTP/1.1 200 OK\r\n", malformed.clone()),
            ("another protocol", "SSH-2.0-OpenSSH_9.9\r\n\r\n", malformed.clone()),
            ("a broken header", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", malformed),
        ] {
            assert_eq!(read_all(bytes.as_bytes(), 1_000).await, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn the_limit_is_for_all_that_is_read() {
        let head = "HTTP/1.1 200 OK\r\nx: 1\r\n\r\n";
        assert_eq!(read_all(head.as_bytes(), head.len()).await, Ok((200, vec![])));
        let too_large = Err(format!("the head of the answer is larger than {} bytes", head.len() - 1));
        assert_eq!(read_all(head.as_bytes(), head.len() - 1).await, too_large);
        let hints = "HTTP/1.1 103 Hints\r\n\r\n".repeat(100);
        assert!(read_all(hints.as_bytes(), 1_000).await.is_err(), "hints without end");
    }

    #[tokio::test]
    async fn bodies_of_refusals() {
        let long = "x".repeat(MAX_REFUSAL + 1);
        for (name, headers, body, expected) in [
            ("of a length", "content-length: 2", "nope", "no"),
            ("up to the end", "a: b", "nope", "nope"),
            ("cut off", "content-length: 9", "nope", "nope"),
            ("empty", "content-length: 0", "", ""),
            ("chunked", "transfer-encoding: chunked", "2\r\nno\r\n3\r\npe!\r\n0\r\n\r\n", "nope!"),
            ("chunked and cut off", "transfer-encoding: chunked", "2\r\nno\r\nff\r\npe", "nope"),
            ("too long", "a: b", &long, &long[..MAX_REFUSAL]),
        ] {
            let text = format!("HTTP/1.1 403 x\r\n{headers}\r\n\r\n{body}");
            let mut stream = text.as_bytes();
            let (head, rest) = read(&mut stream, 1_000).await.unwrap();
            assert_eq!(head.body(&mut stream, rest).await, expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_not_waited_for() {
        let (mut client, mut server) = tokio::io::duplex(1_000);
        tokio::io::AsyncWriteExt::write_all(&mut server, b"HTTP/1.1 403 x\r\n\r\nno").await.unwrap();
        let (head, rest) = read(&mut client, 1_000).await.unwrap();
        assert_eq!(head.body(&mut client, rest).await, "no");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
        for (value, expected) in [
            ("3", Some(3..=3)),
            ("0", Some(0..=0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0..=0)),
            (&later, Some(3590..=3600)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
            let parsed = retry_after(&headers).map(|wait| wait.as_secs());
            assert_eq!(parsed.is_some(), expected.is_some(), "{value}");
            assert!(parsed.is_none_or(|wait| expected.unwrap().contains(&wait)), "{value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn no_answer_panics_or_is_read_beyond_its_limits(parts in vec(nonsense(), 0..20), max in 0..300_usize) {
            let bytes = parts.concat();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut stream = &*bytes;
                let Ok((head, rest)) = read(&mut stream, max).await else { return };
                assert!(bytes.len() - stream.len() <= max);
                let body = head.body(&mut stream, rest).await;
                assert!(body.len() <= MAX_REFUSAL);
                retry_after(&head.headers);
            });
        }
    }

    fn nonsense() -> impl Strategy<Value = Vec<u8>> {
        let words: [&[u8]; 10] = [
            b"HTTP/1.1 101 x",
            b"HTTP/1.1 403 x",
            b"\r\n",
            b"\r\n\r\n",
            b"content-length: 5",
            b"content-length: 99999999999999999999",
            b"transfer-encoding: chunked",
            b"ffffffffffffffff\r\n",
            b"2\r\nab\r\n",
            b"retry-after: 18446744073709551615",
        ];
        let words = proptest::sample::select(words.to_vec()).prop_map(<[u8]>::to_vec);
        prop_oneof![9 => words, 1 => vec(any::<u8>(), 0..20)]
    }
}
