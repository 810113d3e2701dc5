//! Compressing and inflating one message (RFC 7692, 7.2), with no memory of earlier ones.
//!
//! The contexts belong to threads, not to connections, and are made when a thread first needs
//! them: some 380 KB to compress and 48 KB to inflate.

use std::cell::Cell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::ProtocolViolation;

/// What a flush leaves at the end of a message: an empty block, which does not travel (7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// An empty block that ends the stream: a message that can be followed by it was complete.
const END: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// How much memory for output a thread keeps between two messages.
const KEPT_OUTPUT: usize = 64 * 1024;

/// The room that inflating begins with.
const FIRST_OUTPUT: usize = 1024;

thread_local! {
    static DEFLATER: Cell<Option<Box<Deflater>>> = const { Cell::new(None) };
    static INFLATER: Cell<Option<Box<Decompress>>> = const { Cell::new(None) };
}

/// Calls `then` with `payload` compressed, unless that would be no shorter.
pub(crate) fn deflate<T>(payload: &[u8], then: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let mut deflater = DEFLATER.take().unwrap_or_default();
    let result = deflater.deflate(payload).map(then);
    deflater.output.shrink_to(KEPT_OUTPUT);
    DEFLATER.set(Some(deflater));
    result
}

struct Deflater {
    compress: Compress,
    output: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        // The fastest level: what it takes longer to compress, a broadcast has to wait for.
        Deflater { compress: Compress::new(Compression::fast(), false), output: Vec::new() }
    }
}

impl Deflater {
    fn deflate(&mut self, payload: &[u8]) -> Option<&[u8]> {
        self.compress.reset();
        self.output.clear();
        // What does not fit is no shorter.
        self.output.reserve(payload.len() + TAIL.len());
        let flushed = self.compress.compress_vec(payload, &mut self.output, FlushCompress::Sync);
        let is_whole = matches!(flushed, Ok(Status::Ok)) && self.output.len() < self.output.capacity();
        let compressed = self.output.strip_suffix(&TAIL).filter(|_| is_whole)?;
        (compressed.len() < payload.len()).then_some(compressed)
    }
}

/// The message that `compressed` stands for, of at most `max` bytes.
pub(super) fn inflate(compressed: &[u8], max: usize) -> Result<Vec<u8>, ProtocolViolation> {
    let mut context = INFLATER.take().unwrap_or_else(|| Box::new(Decompress::new(false)));
    let mut inflater = Inflater { context: &mut context, output: Vec::new(), max };
    let inflated = inflater.inflate(compressed);
    let mut output = inflater.output;
    INFLATER.set(Some(context));
    inflated?;
    // The message may outlive us by far: it shall not carry spare room.
    output.shrink_to_fit();
    Ok(output)
}

struct Inflater<'a> {
    context: &'a mut Decompress,
    output: Vec<u8>,
    max: usize,
}

/// Where a piece of input ended.
enum Stop {
    /// With all of the input taken.
    More,
    /// With the last block of a stream, and so many bytes left of the input.
    End(usize),
}

impl Inflater<'_> {
    fn inflate(&mut self, mut compressed: &[u8]) -> Result<(), ProtocolViolation> {
        self.context.reset(false);
        // A stream may end inside of a message, and another begin (7.2.3.4).
        while let Stop::End(left) = self.feed(compressed)? {
            if left == 0 {
                return Ok(());
            }
            self.context.reset(false);
            compressed = &compressed[compressed.len() - left..];
        }
        let end = match self.feed(&TAIL)? {
            Stop::More => self.feed(&END)?,
            end @ Stop::End(_) => end,
        };
        match end {
            Stop::End(0) => Ok(()),
            Stop::End(_) | Stop::More => Err(ProtocolViolation::InvalidDeflate),
        }
    }

    /// Inflates `input`, as far as the limit allows.
    fn feed(&mut self, mut input: &[u8]) -> Result<Stop, ProtocolViolation> {
        loop {
            self.make_room();
            let before = self.context.total_in();
            let status = self.context.decompress_vec(input, &mut self.output, FlushDecompress::None);
            let status = status.map_err(|_| ProtocolViolation::InvalidDeflate)?;
            input = &input[(self.context.total_in() - before) as usize..];
            if self.output.len() > self.max {
                return Err(ProtocolViolation::InflatedTooLarge);
            }
            let is_full = self.output.len() == self.output.capacity();
            match status {
                Status::StreamEnd => return Ok(Stop::End(input.len())),
                Status::Ok | Status::BufError if is_full => {}
                Status::Ok | Status::BufError if input.is_empty() => return Ok(Stop::More),
                Status::Ok | Status::BufError => return Err(ProtocolViolation::InvalidDeflate),
            }
        }
    }

    /// Room doubles, up to one byte over the limit.
    fn make_room(&mut self) {
        let len = self.output.len();
        if len == self.output.capacity() {
            let left = (self.max - len).saturating_add(1);
            self.output.reserve_exact(len.max(FIRST_OUTPUT).min(left));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 100_000;

    fn deflated(payload: &[u8]) -> Option<Vec<u8>> {
        deflate(payload, <[u8]>::to_vec)
    }

    /// The first is the example of 7.2.3.1, the next those of 7.2.3.3 and 7.2.3.4.
    #[test]
    fn messages_of_others() {
        for (name, compressed, expected) in [
            ("one block", &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], &b"Hello"[..]),
            ("a stored block", b"\x00\x05\x00\xfa\xffHello\x00", b"Hello"),
            ("the last of a stream, and padding", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello"),
            ("the last of a stream, and nothing", b"\xf3\x48\xcd\xc9\xc9\x07\x00", b"Hello"),
            ("two streams", b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00", b"HelloHello"),
            ("two blocks", b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello"),
            ("a reference", b"\x4a\x04\x02\x00\x00", b"aaaa"),
            ("an empty block", b"\x00", b""),
            ("an empty block of fixed codes", b"\x02\x00", b""),
        ] {
            assert_eq!(inflate(compressed, MAX).as_deref(), Ok(expected), "{name}");
        }
    }

    #[test]
    fn what_is_no_message() {
        for (name, compressed) in [
            ("a block of the reserved type", &b"\x06"[..]),
            ("a stored block whose lengths differ", b"\x00\x05\x00\xfa\xfeHello\x00"),
            ("a stored block that is cut off", b"\x00\x05\x00\xfa\xffHe"),
            ("a code that is cut off", b"\xf2\x48\xcd"),
            ("garbage behind the end of a stream", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x07"),
            ("a distance to before the start", b"\x4a\x04\x42\x00\x00"),
            ("all ones", &[0xff; 100]),
        ] {
            assert_eq!(inflate(compressed, MAX), Err(ProtocolViolation::InvalidDeflate), "{name}");
        }
    }

    /// The context is shared by all connections of a thread.
    #[test]
    fn nothing_of_an_earlier_message_can_be_referred_to() {
        // "secret", and then a message that compressed with the same context refers to it.
        let mut compress = Compress::new(Compression::best(), false);
        let [first, second] = [(); 2].map(|()| {
            let mut output = Vec::with_capacity(200);
            compress.compress_vec(b"secret-secret-0123456789", &mut output, FlushCompress::Sync).unwrap();
            output.truncate(output.len() - TAIL.len());
            output
        });
        assert!(second.len() < first.len(), "the second does refer to the first");
        assert_eq!(inflate(&first, MAX).unwrap(), b"secret-secret-0123456789");
        assert_eq!(inflate(&second, MAX), Err(ProtocolViolation::InvalidDeflate));
    }

    #[test]
    fn the_limit_is_the_largest_that_passes() {
        for length in [1, 1023, 1024, 1025, 4096, 100_000] {
            let compressed =
                if length == 1 { b"\x4a\x04\x00".to_vec() } else { deflated(&vec![b'a'; length]).unwrap() };
            assert_eq!(inflate(&compressed, length).map(|inflated| inflated.len()), Ok(length));
            assert_eq!(
                inflate(&compressed, length - 1),
                Err(ProtocolViolation::InflatedTooLarge),
                "{length}"
            );
        }
    }

    #[test]
    fn a_bomb_takes_no_more_than_the_limit() {
        let bomb = deflated(&vec![0; 50_000_000]).unwrap();
        assert!(bomb.len() < 500_000, "a ratio of more than a hundred");
        let mut context = Decompress::new(false);
        let mut inflater = Inflater { context: &mut context, output: Vec::new(), max: MAX };
        assert_eq!(inflater.inflate(&bomb), Err(ProtocolViolation::InflatedTooLarge));
        assert!(inflater.output.capacity() <= 2 * MAX, "{}", inflater.output.capacity());
    }

    #[test]
    fn what_would_be_no_shorter_is_not_compressed() {
        for payload in [&b""[..], b"a", b"abcdefgh", b"\xf2\x48\xcd\xc9\xc9\x07\x00"] {
            assert_eq!(deflated(payload), None);
        }
    }

    #[test]
    fn the_output_of_a_large_message_is_let_go_of() {
        assert!(deflated(&vec![0; 1_000_000]).is_some());
        let kept = DEFLATER.take().unwrap();
        assert!(kept.output.capacity() <= KEPT_OUTPUT);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(2_000)
        })]

        #[test]
        fn what_is_compressed_is_inflated(
            words in vec(prop_oneof![vec(any::<u8>(), 0..20), Just(b"\"body\":\"hello\"".to_vec())], 0..60),
        ) {
            let payload = words.concat();
            if let Some(compressed) = deflated(&payload) {
                prop_assert!(compressed.len() < payload.len());
                prop_assert_eq!(inflate(&compressed, payload.len()), Ok(payload));
            }
        }

        #[test]
        fn no_bytes_panic_or_hoard(bytes in vec(any::<u8>(), 0..200), max in 0..5_000_usize) {
            if let Ok(inflated) = inflate(&bytes, max) {
                prop_assert!(inflated.len() <= max);
            }
        }
    }
}
