//! The header of one frame (RFC 6455, 5.2).

use std::ops::Deref;

use super::ProtocolViolation;

/// The most that a control frame may carry (5.5).
pub(super) const MAX_CONTROL_LEN: usize = 125;

const FIN: u8 = 0x80;
/// RSV1: the first frame of a compressed message (RFC 7692, 6).
const COMPRESSED: u8 = 0x40;
/// RSV2 and RSV3, which have no meaning.
const RESERVED: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// In the place of a length: it follows in two bytes, or in eight.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment of the open message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The sender ends the connection.
    Close = 0x8,
    /// The sender wants a pong.
    Ping = 0x9,
    /// The answer to a ping, or a sign of life without one.
    Pong = 0xa,
}

impl Opcode {
    /// Whether frames of this kind may come inside a fragmented message.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn from_bits(opcode: u8) -> Result<Self, ProtocolViolation> {
        Ok(match opcode {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return Err(ProtocolViolation::UnknownOpcode { opcode }),
        })
    }
}

/// What the opening handshake agreed on beyond RFC 6455.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Nothing.
    None,
    /// Messages may be compressed, each by itself (RFC 7692).
    Deflate,
}

/// What stands before the payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this is the last (or only) frame of its message.
    pub fin: bool,
    /// What the frame is for.
    pub opcode: Opcode,
    /// Whether it is the first frame of a compressed message (RFC 7692).
    pub compressed: bool,
    /// The key with which the payload is masked, if it is.
    pub mask: Option<[u8; 4]>,
    /// The length of the payload in bytes, below 2^63.
    pub payload_len: u64,
}

impl FrameHeader {
    /// The length of the longest header.
    pub const MAX_LEN: usize = 14;

    /// The header of an unfragmented frame, neither masked nor compressed.
    pub const fn new(opcode: Opcode, payload_len: u64) -> Self {
        Self { fin: true, opcode, compressed: false, mask: None, payload_len }
    }

    /// Reads the header at the start of `bytes`; `None` if more bytes are needed.
    ///
    /// A header that is read took [`encoded_len`](Self::encoded_len) bytes.
    ///
    /// # Errors
    ///
    /// If a header is wrong in itself. Whether it may come here and now, and from
    /// this side, only a [`Decoder`](super::Decoder) can tell.
    pub fn parse(bytes: &[u8], extension: Extension) -> Result<Option<Self>, ProtocolViolation> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        let fin = first & FIN != 0;
        let compressed = first & COMPRESSED != 0;
        if first & RESERVED != 0 || compressed && extension == Extension::None {
            return Err(ProtocolViolation::ReservedBits);
        }
        let opcode = Opcode::from_bits(first & OPCODE)?;
        if compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(ProtocolViolation::ReservedBits);
        }
        let short_len = second & LENGTH;
        if opcode.is_control() {
            check_control(fin, short_len)?;
        }
        let Some((payload_len, rest)) = parse_length(short_len, rest)? else {
            return Ok(None);
        };
        let masked = second & MASKED != 0;
        let mask = rest.first_chunk().copied().filter(|_| masked);
        if masked && mask.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { fin, opcode, compressed, mask, payload_len }))
    }

    /// The bytes of this header.
    pub fn encode(&self) -> EncodedHeader {
        let mut header = EncodedHeader::default();
        let fin = if self.fin { FIN } else { 0 };
        let compressed = if self.compressed { COMPRESSED } else { 0 };
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        let (short_len, extended) = self.length_form();
        header.push(&[fin | compressed | self.opcode as u8, masked | short_len]);
        header.push(&self.payload_len.to_be_bytes()[size_of::<u64>() - extended..]);
        header.push(self.mask.as_ref().map_or(&[], <[u8; 4]>::as_slice));
        header
    }

    /// How many bytes this header takes on the wire.
    ///
    /// There is one form for each header, since a length must be in its shortest.
    pub fn encoded_len(&self) -> usize {
        let (_, extended) = self.length_form();
        2 + extended + self.mask.map_or(0, |key| key.len())
    }

    /// The seven bits of the length, and how many bytes of it follow.
    fn length_form(&self) -> (u8, usize) {
        match self.payload_len {
            len @ 0..=125 => (len as u8, 0),
            126..=0xffff => (LENGTH_16, size_of::<u16>()),
            _ => (LENGTH_64, size_of::<u64>()),
        }
    }
}

/// Control frames come whole, and short enough for the seven bits (5.5).
fn check_control(fin: bool, short_len: u8) -> Result<(), ProtocolViolation> {
    if !fin {
        return Err(ProtocolViolation::FragmentedControl);
    }
    if usize::from(short_len) > MAX_CONTROL_LEN {
        return Err(ProtocolViolation::ControlTooLong);
    }
    Ok(())
}

/// The length of the payload and what follows it; `None` if bytes are missing.
fn parse_length(short_len: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolViolation> {
    let (len, rest, least) = match short_len {
        LENGTH_16 => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest, 126),
            None => return Ok(None),
        },
        LENGTH_64 => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from_be_bytes(*len), rest, 0x1_0000),
            None => return Ok(None),
        },
        len => (u64::from(len), rest, 0),
    };
    if len > i64::MAX as u64 {
        return Err(ProtocolViolation::LengthOverflow);
    }
    if len < least {
        return Err(ProtocolViolation::LengthNotMinimal);
    }
    Ok(Some((len, rest)))
}

/// The bytes of a [`FrameHeader`], held inline.
#[derive(Clone, Copy, Debug, Default)]
pub struct EncodedHeader {
    bytes: [u8; FrameHeader::MAX_LEN],
    len: u8,
}

impl EncodedHeader {
    /// Appends what is known to fit.
    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }
}

impl Deref for EncodedHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for EncodedHeader {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The beginning of a header whose end has not come yet.
#[derive(Default)]
pub(super) struct PartialHeader(EncodedHeader);

impl PartialHeader {
    /// Moves bytes from `input` until the header is whole or `input` is empty.
    pub(super) fn complete(
        &mut self,
        input: &mut &mut [u8],
        extension: Extension,
    ) -> Result<Option<FrameHeader>, ProtocolViolation> {
        let kept = self.0.len();
        // As many as the longest header could need; only those used are taken.
        let offered = input.len().min(FrameHeader::MAX_LEN - kept);
        self.0.push(&input[..offered]);
        let header = FrameHeader::parse(&self.0, extension)?;
        let used = header.map_or(offered, |header| header.encoded_len() - kept);
        *input = &mut std::mem::take(input)[used..];
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];

    fn header(opcode: Opcode, mask: Option<[u8; 4]>, payload_len: u64) -> FrameHeader {
        FrameHeader { mask, ..FrameHeader::new(opcode, payload_len) }
    }

    #[test]
    fn headers_have_one_form() {
        let fragment = FrameHeader { fin: false, ..header(Opcode::Text, None, 3) };
        let compressed = FrameHeader { compressed: true, ..header(Opcode::Text, None, 3) };
        for (header, bytes) in [
            (fragment, &[0x01, 3][..]),
            (compressed, &[0xc1, 3]),
            (header(Opcode::Continuation, None, 0), &[0x80, 0]),
            (header(Opcode::Text, None, 125), &[0x81, 125]),
            (header(Opcode::Binary, None, 126), &[0x82, 126, 0, 126]),
            (header(Opcode::Text, None, 0xffff), &[0x81, 126, 0xff, 0xff]),
            (header(Opcode::Text, None, 0x1_0000), &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (
                header(Opcode::Binary, Some(KEY), i64::MAX as u64),
                &[0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4],
            ),
            (header(Opcode::Close, Some(KEY), 2), &[0x88, 0x82, 1, 2, 3, 4]),
            (header(Opcode::Ping, None, 125), &[0x89, 125]),
            (header(Opcode::Pong, None, 0), &[0x8a, 0]),
        ] {
            assert_eq!(&*header.encode(), bytes, "{header:?}");
            assert_eq!(header.encoded_len(), bytes.len(), "{header:?}");
            for cut in 0..bytes.len() {
                assert_eq!(FrameHeader::parse(&bytes[..cut], Extension::Deflate), Ok(None), "{header:?}");
            }
            let followed = [bytes, b"payload"].concat();
            assert_eq!(FrameHeader::parse(&followed, Extension::Deflate), Ok(Some(header)));
        }
    }

    #[test]
    fn partial_header_takes_only_its_own_bytes() {
        let header = header(Opcode::Binary, Some(KEY), 0x1_0000);
        let bytes = [&header.encode()[..], b"payload"].concat();
        for cut in 0..header.encoded_len() {
            let mut partial = PartialHeader::default();
            let (mut start, mut end) = (bytes[..cut].to_vec(), bytes[cut..].to_vec());
            let (mut start, mut end) = (start.as_mut_slice(), end.as_mut_slice());
            assert_eq!(partial.complete(&mut start, Extension::None), Ok(None), "{cut}");
            assert_eq!(partial.complete(&mut end, Extension::None), Ok(Some(header)), "{cut}");
            assert!(start.is_empty(), "{cut}");
            assert_eq!(end, b"payload", "{cut}");
        }
    }
}
