//! Follows requests through the bytes of a connection, for what hyper does not tell.
//!
//! Hyper tolerates heads that two servers can read in two ways: a second `Content-Length` that says the
//! same, one beside a `Transfer-Encoding`, a second `Host`. Behind a proxy that chose the other reading, a
//! body becomes a request of its own. [`RequestScan`] spoils such a head on its way to hyper, which
//! then answers 400 and closes. It also knows what the peer owes us, which is what timeouts depend on.

/// So much of each line is looked at. Longer ones that matter are refused.
const LINE: usize = 64;

/// Where in its requests a connection is.
#[derive(Debug)]
pub(crate) struct RequestScan {
    state: State,
    line: Line,
    head: Head,
}

/// What the peer has begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owed {
    /// A request's head, or the first request at all.
    Head,
    /// A request's body.
    Body,
    /// Nothing: the next request may come or not.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes are left.
    Body(u64),
    ChunkSize,
    /// So many bytes are left, the line break counted.
    Chunk(u64),
    Trailers,
    Between,
    /// Hyper will refuse this, or nobody asks any more.
    Lost,
}

/// The beginning of a line.
#[derive(Debug)]
struct Line {
    bytes: [u8; LINE],
    len: usize,
}

/// What a head said so far.
#[derive(Debug, Default)]
struct Head {
    has_request_line: bool,
    hosts: u32,
    lengths: u32,
    length: Option<u64>,
    encodings: u32,
}

impl RequestScan {
    pub(crate) fn new() -> Self {
        RequestScan { state: State::Head, line: Line::EMPTY, head: Head::default() }
    }

    pub(crate) fn owed(&self) -> Owed {
        match self.state {
            State::Head => Owed::Head,
            State::Body(_) | State::ChunkSize | State::Chunk(_) | State::Trailers => Owed::Body,
            State::Between | State::Lost => Owed::Nothing,
        }
    }

    /// Follows bytes on their way to hyper. The end of a head that is refused is overwritten, so that
    /// no parser can take it for one; true if that happened.
    pub(crate) fn pass(&mut self, bytes: &mut [u8]) -> bool {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Lost {
            match self.state {
                State::Body(left) => at += self.skip(left, bytes.len() - at, State::Body, State::Between),
                State::Chunk(left) => at += self.skip(left, bytes.len() - at, State::Chunk, State::ChunkSize),
                State::Between => self.state = State::Head,
                State::Head | State::ChunkSize | State::Trailers => {
                    let rest = &bytes[at..];
                    let end = rest.iter().position(|byte| *byte == b'\n');
                    self.line.push(&rest[..end.unwrap_or(rest.len())]);
                    at += end.map_or(rest.len(), |end| end + 1);
                    if end.is_some() && self.end_line() == Verdict::Refused {
                        bytes[at - 1] = 0;
                        return true;
                    }
                }
                State::Lost => {}
            }
        }
        false
    }

    /// Skips what there is of `left` bytes.
    fn skip(&mut self, left: u64, have: usize, going_on: fn(u64) -> State, after: State) -> usize {
        let skipped = left.min(have as u64);
        self.state = if skipped == left { after } else { going_on(left - skipped) };
        // No more than `have`, which is a `usize`.
        skipped as usize
    }

    fn end_line(&mut self) -> Verdict {
        let line = std::mem::replace(&mut self.line, Line::EMPTY);
        let line = line.text();
        match self.state {
            State::Head if line.is_empty() && self.head.has_request_line => return self.end_head(),
            State::Head => self.head.line(line),
            State::ChunkSize => {
                self.state = match chunk_size(line) {
                    Some(0) => State::Trailers,
                    Some(size) => State::Chunk(size.saturating_add(2)),
                    None => State::Lost,
                }
            }
            State::Trailers if line.is_empty() => self.state = State::Between,
            State::Trailers | State::Body(_) | State::Chunk(_) | State::Between | State::Lost => {}
        }
        Verdict::Passed
    }

    fn end_head(&mut self) -> Verdict {
        let head = std::mem::take(&mut self.head);
        if head.hosts > 1 || head.lengths + head.encodings > 1 {
            self.state = State::Lost;
            return Verdict::Refused;
        }
        self.state = match (head.encodings, head.lengths, head.length) {
            (0, 0, _) | (0, _, Some(0)) => State::Between,
            (0, _, Some(length)) => State::Body(length),
            // Hyper refuses a length that is no number, and any encoding but this one.
            (0, _, None) => State::Lost,
            _ => State::ChunkSize,
        };
        Verdict::Passed
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Refused,
}

impl Head {
    /// Takes in the beginning of a line. Empty lines in front of a request mean nothing.
    fn line(&mut self, line: &[u8]) {
        if !self.has_request_line {
            self.has_request_line = !line.is_empty();
            return;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.encodings += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            let whole = line.len() < LINE;
            self.length =
                std::str::from_utf8(value).ok().filter(|_| whole).and_then(|text| text.parse().ok());
        }
    }
}

impl Line {
    const EMPTY: Line = Line { bytes: [0; LINE], len: 0 };

    /// What was taken in, without the carriage return.
    fn text(&self) -> &[u8] {
        let text = &self.bytes[..self.len];
        text.strip_suffix(b"\r").unwrap_or(text)
    }

    fn push(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(LINE - self.len);
        self.bytes[self.len..self.len + taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
    }
}

/// The number in front of a chunk, without its extensions.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    u64::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// Whether the text is refused, however it is cut into reads, and what is owed after it.
    fn scanned(text: &str) -> (bool, Owed) {
        let whole = scan_in_pieces(text, text.len().max(1));
        for size in 1..=7 {
            assert_eq!(scan_in_pieces(text, size), whole, "{text:?} in pieces of {size}");
        }
        whole
    }

    fn scan_in_pieces(text: &str, size: usize) -> (bool, Owed) {
        let mut scan = RequestScan::new();
        let mut bytes = text.as_bytes().to_vec();
        let refused = bytes.chunks_mut(size).any(|piece| scan.pass(piece));
        assert_eq!(refused, bytes.contains(&0), "{text:?}");
        (refused, scan.owed())
    }

    #[test]
    fn heads_that_can_be_read_in_two_ways_are_refused() {
        let get = |headers: &str| format!("GET / HTTP/1.1\r\n{headers}\r\n\r\n");
        for (headers, refused) in [
            ("Host: a", false),
            ("Host: a\r\nHost: b", true),
            ("Host: a\r\nhost:a", true),
            ("Host: a\r\nX-Host: b", false),
            ("Host: a\r\nContent-Length: 0", false),
            ("Host: a\r\nContent-Length: 0\r\nContent-Length: 0", true),
            ("Host: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked", true),
            ("Host: a\r\ntransfer-encoding: chunked\r\nCONTENT-LENGTH: 0", true),
            ("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity", true),
            ("Host: a\nHost: b", true),
        ] {
            assert_eq!(scanned(&get(headers)).0, refused, "{headers:?}");
            assert_eq!(scanned(&(get("Host: a") + &get(headers))).0, refused, "as the second: {headers:?}");
        }
    }

    #[test]
    fn a_body_is_no_head() {
        let inner = "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
        let length = inner.len();
        let sized = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{inner}");
        assert_eq!(scanned(&sized), (false, Owed::Nothing));
        assert!(scanned(&(sized + inner)).0);
        let chunked = format!("{CHUNKED}{length:X};ext=1\r\n{inner}\r\n0\r\nHost: a\r\nHost: b\r\n\r\n");
        assert_eq!(scanned(&chunked), (false, Owed::Nothing));
        assert!(scanned(&(chunked + inner)).0);
    }

    #[test]
    fn what_is_owed_is_what_was_begun() {
        let chunk = |rest: &str| format!("{CHUNKED}{rest}");
        for (text, owed) in [
            (String::new(), Owed::Head),
            ("GET / HTTP/1.1\r\nHost: a\r\n".to_owned(), Owed::Head),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Owed::Nothing),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nG".to_owned(), Owed::Head),
            ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Owed::Nothing),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab".to_owned(), Owed::Body),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_owned(), Owed::Nothing),
            (chunk(""), Owed::Body),
            (chunk("3\r\nabc\r\n"), Owed::Body),
            (chunk("3\r\nabc\r\n0\r\n\r\n"), Owed::Nothing),
            // Hyper refuses these by itself.
            (chunk("zz\r\n"), Owed::Nothing),
            (chunk("11111111111111111\r\n"), Owed::Nothing),
            ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(), Owed::Nothing),
        ] {
            assert_eq!(scanned(&text), (false, owed), "{text:?}");
        }
    }
}
