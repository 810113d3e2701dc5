//! From bytes to messages.

use std::fmt;

use bytes::Bytes;

use super::deflate::inflate;
use super::frame::PartialHeader;
use super::item::MessageKind;
use super::progress::{FrameProgress, Part};
use super::spill::{PartialFrame, Spill};
use super::{Extension, FrameHeader, Item, Limits, Opcode, ProtocolViolation};
use crate::incoming::Data;

/// Reads the frames of one side of one connection.
///
/// It holds no buffer of its own: a frame that lies whole in the input leaves at
/// once, and only what is incomplete is kept, in memory that is freed with the
/// message it belongs to. So a connection at rest costs 32 bytes, and many can
/// share one buffer to read into.
pub struct Decoder {
    role: Role,
    state: State,
    max_frame_size: u32,
    max_message_size: u32,
    /// What a compressed message may become, if messages may be compressed.
    max_inflated_size: Option<u32>,
    /// Boxed, as most connections have none most of the time.
    spill: Option<Box<Spill>>,
}

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We read from a client, whose frames must be masked.
    Server,
    /// We read from a server, whose frames must not be masked.
    Client,
}

/// Whether there is anything more to read.
#[derive(Clone, Copy, Debug)]
enum State {
    Open,
    /// A close frame came; what follows it counts for nothing (RFC 6455, 1.4).
    Closed,
    /// The framing is lost.
    Failed(ProtocolViolation),
}

impl Decoder {
    /// A decoder for what the other side sends when we are `role`.
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            state: State::Open,
            max_frame_size: in_32_bits(limits.max_frame_size),
            max_message_size: in_32_bits(limits.max_message_size),
            max_inflated_size: None,
            spill: None,
        }
    }

    /// Takes compressed messages too (RFC 7692), as the handshake agreed on, each
    /// of which may become at most `max_size` bytes.
    ///
    /// What came of a message is kept as it came, within the limits, and inflated
    /// at its end, in steps that stop at `max_size`: no context stays with the connection.
    #[must_use]
    pub const fn inflating(mut self, max_size: usize) -> Self {
        self.max_inflated_size = Some(in_32_bits(max_size));
        self
    }

    /// Reads on, up to the end of the next item.
    ///
    /// `input` loses what was read; masked payloads are unmasked where they
    /// stand. `None` means that all of `input` was read: ask again with it until
    /// then, and with new bytes after. Once a close frame has come, the rest is
    /// passed over.
    ///
    /// # Errors
    ///
    /// The first violation of the peer, which ends the reading: the same is
    /// returned from then on.
    pub fn decode(&mut self, input: &mut &mut [u8]) -> Result<Option<Item>, ProtocolViolation> {
        Ok(self.decode_here(input)?.map(Item::into_owned))
    }

    /// As [`decode`](Self::decode), but a message that lies whole in the input is not copied out of it.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_here<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Item<Data<'a>>>, ProtocolViolation> {
        match self.state {
            State::Open => {}
            State::Closed => {
                *input = &mut [];
                return Ok(None);
            }
            State::Failed(violation) => return Err(violation),
        }
        let outcome = self.next_item(input);
        match outcome {
            Ok(Some(Item::Close(_))) => self.end(State::Closed),
            Err(violation) => self.end(State::Failed(violation)),
            Ok(_) => {}
        }
        outcome
    }

    fn next_item<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Item<Data<'a>>>, ProtocolViolation> {
        while !input.is_empty() {
            let Some(frame) = self.resume_frame(input)? else {
                break;
            };
            if let Some(item) = self.read_payload(frame, input)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// The frame to which the next byte of `input` belongs, past its header.
    fn resume_frame(&mut self, input: &mut &mut [u8]) -> Result<Option<FrameProgress>, ProtocolViolation> {
        let mut begun = match self.take_partial() {
            PartialFrame::Payload(frame) => return Ok(Some(frame)),
            PartialFrame::Header(begun) => begun,
            PartialFrame::Absent => {
                // The usual case: a header that lies whole in the input.
                if let Some(header) = FrameHeader::parse(input, self.extension())? {
                    *input = &mut std::mem::take(input)[header.encoded_len()..];
                    return self.admit(&header).map(Some);
                }
                PartialHeader::default()
            }
        };
        match begun.complete(input, self.extension())? {
            Some(header) => self.admit(&header).map(Some),
            None => {
                self.spill_mut().frame = PartialFrame::Header(begun);
                Ok(None)
            }
        }
    }

    fn take_partial(&mut self) -> PartialFrame {
        match &mut self.spill {
            Some(spill) => std::mem::take(&mut spill.frame),
            None => PartialFrame::Absent,
        }
    }

    /// Decides by its header whether a frame may come here and now.
    fn admit(&self, header: &FrameHeader) -> Result<FrameProgress, ProtocolViolation> {
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(ProtocolViolation::Unmasked),
            (Role::Client, Some(_)) => return Err(ProtocolViolation::Masked),
            (Role::Server, Some(_)) | (Role::Client, None) => {}
        }
        let part = self.part(header)?;
        let len = self.admit_size(header, part)?;
        Ok(FrameProgress::new(part, header.mask, len))
    }

    /// What a frame is, given the message that is open (RFC 6455, 5.4).
    fn part(&self, header: &FrameHeader) -> Result<Part, ProtocolViolation> {
        let open = self.spill.as_ref().and_then(|spill| spill.message);
        let kind = match (header.opcode, open) {
            (Opcode::Close, _) => return Ok(Part::Close),
            (Opcode::Ping, _) => return Ok(Part::Ping),
            (Opcode::Pong, _) => return Ok(Part::Pong),
            (Opcode::Text, None) => MessageKind { is_text: true, compressed: header.compressed },
            (Opcode::Binary, None) => MessageKind { is_text: false, compressed: header.compressed },
            (Opcode::Continuation, Some(kind)) => kind,
            (Opcode::Continuation, None) => return Err(ProtocolViolation::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(ProtocolViolation::InterruptedMessage);
            }
        };
        Ok(match (header.fin, open) {
            (true, None) => Part::Whole(kind),
            (true, Some(_)) => Part::Last(kind),
            (false, _) => Part::Fragment(kind),
        })
    }

    /// The length of a payload that is within the limits.
    fn admit_size(&self, header: &FrameHeader, part: Part) -> Result<usize, ProtocolViolation> {
        let len = usize::try_from(header.payload_len);
        let len = len.map_err(|_| ProtocolViolation::FrameTooLarge)?;
        if len.saturating_add(header.encoded_len()) > self.max_frame_size as usize {
            return Err(ProtocolViolation::FrameTooLarge);
        }
        if matches!(part, Part::Fragment(_) | Part::Last(_)) {
            let before = self.spill.as_ref().map_or(0, |spill| spill.data_len());
            if len.saturating_add(before) > self.max_message_size as usize {
                return Err(ProtocolViolation::MessageTooLarge);
            }
        }
        Ok(len)
    }

    /// Takes from `input` what belongs to `frame`, and the item it completes.
    fn read_payload<'a>(
        &mut self,
        mut frame: FrameProgress,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Item<Data<'a>>>, ProtocolViolation> {
        let here = frame.remaining().min(input.len());
        let piece = input.split_off_mut(..here).unwrap_or_default();
        frame.receive(piece);
        if frame.remaining() > 0 {
            self.suspend(frame, piece);
            return Ok(None);
        }
        let payload = if frame.is_single_piece(piece) {
            Some(self.inflated(frame.part, piece)?.map_or(Data::Here(piece), Data::Own))
        } else {
            self.join(&frame, piece)?.map(Data::Own)
        };
        self.release_if_empty();
        payload.map(|payload| frame.part.into_item(payload)).transpose()
    }

    /// What a complete payload stands for, if it is compressed.
    fn inflated(&self, part: Part, payload: &[u8]) -> Result<Option<Bytes>, ProtocolViolation> {
        let max_size = self.max_inflated_size.filter(|_| part.is_compressed());
        let inflated = max_size.map(|max_size| inflate(payload, max_size as usize));
        Ok(inflated.transpose()?.map(Bytes::from))
    }

    /// Keeps a piece that others precede or follow; the payload if it is complete.
    fn join(&mut self, frame: &FrameProgress, piece: &[u8]) -> Result<Option<Bytes>, ProtocolViolation> {
        let spill = self.spill_mut();
        spill.append(frame, piece);
        let Some(payload) = spill.finish_frame(frame.part) else { return Ok(None) };
        Ok(Some(self.inflated(frame.part, &payload)?.unwrap_or(payload)))
    }

    /// Keeps a frame whose rest is still to come.
    fn suspend(&mut self, frame: FrameProgress, piece: &[u8]) {
        let spill = self.spill_mut();
        spill.append(&frame, piece);
        spill.frame = PartialFrame::Payload(frame);
    }

    const fn extension(&self) -> Extension {
        match self.max_inflated_size {
            Some(_) => Extension::Deflate,
            None => Extension::None,
        }
    }

    fn spill_mut(&mut self) -> &mut Spill {
        self.spill.get_or_insert_default()
    }

    /// Frees the memory of what is complete.
    fn release_if_empty(&mut self) {
        self.spill.take_if(|spill| spill.is_empty());
    }

    fn end(&mut self, state: State) {
        self.state = state;
        self.spill = None;
    }

    /// Whether nothing incomplete is kept, and no memory for it.
    pub const fn is_idle(&self) -> bool {
        self.spill.is_none()
    }

    /// How many bytes the buffers for what is incomplete can hold.
    ///
    /// At most 64 KiB and one control frame above what was received of it.
    pub fn spill_capacity(&self) -> usize {
        self.spill.as_ref().map_or(0, |spill| spill.capacity())
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("max_frame_size", &self.max_frame_size)
            .field("max_message_size", &self.max_message_size)
            .field("max_inflated_size", &self.max_inflated_size)
            .field("spill_capacity", &self.spill_capacity())
            .finish()
    }
}

/// Limits are stored short, as every connection has them.
const fn in_32_bits(limit: usize) -> u32 {
    if limit > u32::MAX as usize { u32::MAX } else { limit as u32 }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::{CloseFrame, encode_frame, encode_masked, mask};
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// Limits low enough to be met by hand.
    const LOW: Limits = Limits { max_frame_size: 36, max_message_size: 10 };

    fn server() -> Decoder {
        Decoder::new(Role::Server, Limits::default())
    }

    fn feed(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Item>, ProtocolViolation> {
        let mut bytes = bytes.to_vec();
        let mut unread = bytes.as_mut_slice();
        let mut items = Vec::new();
        while let Some(item) = decoder.decode(&mut unread)? {
            items.push(item);
        }
        assert!(unread.is_empty(), "bytes were left though no item was");
        Ok(items)
    }

    fn feed_all<'a>(
        mut decoder: Decoder,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Item>, ProtocolViolation> {
        let mut items = Vec::new();
        for piece in pieces {
            items.extend(feed(&mut decoder, piece)?);
        }
        Ok(items)
    }

    /// A frame as the peer of `role` sends it.
    fn frame(role: Role, fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mask = match role {
            Role::Server => Some(KEY),
            Role::Client => None,
        };
        let payload_len = payload.len() as u64;
        let header = FrameHeader { fin, mask, ..FrameHeader::new(opcode, payload_len) };
        let mut payload = payload.to_vec();
        mask::apply(&mut payload, mask.unwrap_or_default(), 0);
        [&header.encode()[..], &payload].concat()
    }

    fn text(payload: &str) -> Item {
        Item::Text(payload.to_owned().into())
    }

    fn ping(payload: &'static [u8]) -> Item {
        Item::Ping(Bytes::from_static(payload))
    }

    fn close(code: u16, reason: &str) -> Item {
        let reason = reason.to_owned();
        Item::Close(Some(CloseFrame { code, reason }))
    }

    /// Everything that may come, "é" cut in two by a ping.
    fn conversation(role: Role) -> (Vec<u8>, Vec<Item>) {
        use Opcode::*;
        let long = [b'x'; 200];
        let frames = [
            (true, Text, &b"hello"[..]),
            (true, Binary, &[0, 255, 1]),
            (true, Text, b""),
            (false, Text, b"caf\xc3"),
            (true, Ping, b"are you there"),
            (false, Continuation, b""),
            (true, Pong, b""),
            (true, Continuation, b"\xa9!"),
            (true, Binary, &long),
            (false, Binary, b""),
            (true, Continuation, b""),
            (true, Close, b"\x03\xe9bye"),
        ];
        let bytes = frames.map(|(fin, opcode, payload)| frame(role, fin, opcode, payload));
        let items = vec![
            text("hello"),
            Item::Binary(Bytes::from_static(&[0, 255, 1])),
            text(""),
            ping(b"are you there"),
            Item::Pong(Bytes::new()),
            text("café!"),
            Item::Binary(long.to_vec().into()),
            Item::Binary(Bytes::new()),
            close(1001, "bye"),
        ];
        (bytes.concat(), items)
    }

    #[test]
    fn splits_change_nothing() {
        for role in [Role::Server, Role::Client] {
            let (bytes, items) = conversation(role);
            let decoder = || Decoder::new(role, Limits::default());
            assert_eq!(feed_all(decoder(), bytes.chunks(1)).as_ref(), Ok(&items));
            for cut in 0..=bytes.len() {
                let (start, end) = bytes.split_at(cut);
                let read = feed_all(decoder(), [start, end]);
                assert_eq!(read.as_ref(), Ok(&items), "{role:?} cut at {cut}");
            }
        }
    }

    /// The mask keys are zero, so that the payloads can be read.
    #[test]
    fn violations_of_a_client() {
        use ProtocolViolation::*;
        for (name, bytes, violation, code) in [
            ("RSV1", &b"\xc1\x80"[..], ReservedBits, 1002),
            ("RSV2", b"\xa1\x80", ReservedBits, 1002),
            ("RSV3", b"\x91\x80", ReservedBits, 1002),
            ("RSV1 on a ping", b"\xc9\x80", ReservedBits, 1002),
            ("opcode 3", b"\x83\x80", UnknownOpcode { opcode: 3 }, 1002),
            ("opcode 7", b"\x87\x80", UnknownOpcode { opcode: 7 }, 1002),
            ("opcode 11", b"\x8b\x80", UnknownOpcode { opcode: 11 }, 1002),
            ("opcode 15", b"\x8f\x80", UnknownOpcode { opcode: 15 }, 1002),
            ("no mask", b"\x81\x01a", Unmasked, 1002),
            ("no mask, empty", b"\x89\0", Unmasked, 1002),
            ("continuation of nothing", b"\x80\x80\0\0\0\0", UnexpectedContinuation, 1002),
            ("continuation after the end", b"\x81\x80\0\0\0\0\0\x80\0\0\0\0", UnexpectedContinuation, 1002),
            ("text inside text", b"\x01\x80\0\0\0\0\x81\x80\0\0\0\0", InterruptedMessage, 1002),
            ("binary inside text", b"\x01\x80\0\0\0\0\x02\x80\0\0\0\0", InterruptedMessage, 1002),
            ("fragmented ping", b"\x09\x80", FragmentedControl, 1002),
            ("fragmented pong", b"\x0a\x80", FragmentedControl, 1002),
            ("fragmented close", b"\x08\x80", FragmentedControl, 1002),
            ("ping of 126", b"\x89\xfe", ControlTooLong, 1002),
            ("close with a 64-bit length", b"\x88\xff", ControlTooLong, 1002),
            ("length of 2^63", b"\x82\xff\x80\0\0\0\0\0\0\0", LengthOverflow, 1009),
            ("length of -1", b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", LengthOverflow, 1009),
            ("0 in 16 bits", b"\x82\xfe\0\0", LengthNotMinimal, 1002),
            ("125 in 16 bits", b"\x82\xfe\0\x7d", LengthNotMinimal, 1002),
            ("65,535 in 64 bits", b"\x82\xff\0\0\0\0\0\0\xff\xff", LengthNotMinimal, 1002),
            ("close with one byte", b"\x88\x81\0\0\0\0\x03", CloseBody, 1002),
            ("close with 999", b"\x88\x82\0\0\0\0\x03\xe7", CloseCode { code: 999 }, 1002),
            ("close with 1005", b"\x88\x82\0\0\0\0\x03\xed", CloseCode { code: 1005 }, 1002),
            ("close with a broken reason", b"\x88\x83\0\0\0\0\x03\xe8\xff", CloseReason, 1002),
            ("text of 0xff", b"\x81\x81\0\0\0\0\xff", InvalidUtf8, 1007),
            ("text ends in a character", b"\x81\x81\0\0\0\0\xc3", InvalidUtf8, 1007),
            ("surrogate", b"\x81\x83\0\0\0\0\xed\xa0\x80", InvalidUtf8, 1007),
            ("fragments make no text", b"\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0\xc3", InvalidUtf8, 1007),
            ("2^62 bytes", b"\x82\xff\x40\0\0\0\0\0\0\0\0\0\0\0", FrameTooLarge, 1009),
            ("2^63 - 1 bytes", b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", FrameTooLarge, 1009),
        ] {
            assert_eq!(violation.close_code(), code, "{name}");
            assert_eq!(feed_all(server(), [bytes]), Err(violation), "{name}");
            let bytewise = feed_all(server(), bytes.chunks(1));
            assert_eq!(bytewise, Err(violation), "{name} byte by byte");
        }
    }

    #[test]
    fn server_must_not_mask() {
        let decoder = Decoder::new(Role::Client, Limits::default());
        let masked = encode_masked(Opcode::Text, b"a", KEY);
        assert_eq!(feed_all(decoder, [&masked[..]]), Err(ProtocolViolation::Masked));
    }

    /// A masked header is six bytes, so that 30 bytes fill a frame of 36.
    #[test]
    fn limits_are_the_largest_that_pass() {
        let sized = |fin, opcode, len| frame(Role::Server, fin, opcode, &vec![b'x'; len]);
        let whole = |len| sized(true, Opcode::Text, len);
        let first = |len| sized(false, Opcode::Text, len);
        let more = |len| sized(false, Opcode::Continuation, len);
        let last = |len| sized(true, Opcode::Continuation, len);
        let too_large = Err(ProtocolViolation::MessageTooLarge);
        for (name, frames, expected) in [
            ("full frame", vec![whole(30)], Ok(1)),
            ("a byte over a frame", vec![whole(31)], Err(ProtocolViolation::FrameTooLarge)),
            ("full message", vec![first(4), more(3), last(3)], Ok(1)),
            ("a byte over a message", vec![first(4), more(3), last(4)], too_large),
            ("first fragment too large", vec![first(11)], too_large),
            ("two full messages", vec![first(5), last(5), first(5), last(5)], Ok(2)),
        ] {
            let bytes = frames.concat();
            let read = feed_all(Decoder::new(Role::Server, LOW), [&bytes[..]]);
            assert_eq!(read.map(|items| items.len()), expected, "{name}");
        }
    }

    #[test]
    fn too_large_is_1009() {
        for violation in [ProtocolViolation::FrameTooLarge, ProtocolViolation::MessageTooLarge] {
            assert_eq!(violation.close_code(), 1009);
        }
    }

    #[test]
    fn size_is_refused_by_the_header_alone() {
        let mut decoder = Decoder::new(Role::Server, LOW);
        let header = &frame(Role::Server, true, Opcode::Binary, &[0; 31])[..6];
        assert_eq!(feed(&mut decoder, header), Err(ProtocolViolation::FrameTooLarge));
        assert_eq!(decoder.spill_capacity(), 0);
    }

    #[test]
    fn violation_is_returned_again() {
        let mut decoder = server();
        for bytes in [&b"\x83\x80"[..], b"", b"\x81\x80\0\0\0\0"] {
            let violation = ProtocolViolation::UnknownOpcode { opcode: 3 };
            assert_eq!(feed(&mut decoder, bytes), Err(violation));
            assert!(decoder.is_idle());
        }
    }

    #[test]
    fn nothing_counts_after_a_close() {
        let mut decoder = server();
        let open = frame(Role::Server, false, Opcode::Text, b"unfinished");
        let close = encode_masked(Opcode::Close, b"", KEY);
        let bytes = [&open[..], &close, b"\xff\xff anything"].concat();
        assert_eq!(feed(&mut decoder, &bytes), Ok(vec![Item::Close(None)]));
        assert_eq!(feed(&mut decoder, b"\xff\xff"), Ok(vec![]));
        assert!(decoder.is_idle());
    }

    #[test]
    fn spill_lives_as_long_as_something_is_incomplete() {
        let mut decoder = server();
        let first = frame(Role::Server, false, Opcode::Text, b"one, ");
        let ping = encode_masked(Opcode::Ping, b"", KEY);
        let last = frame(Role::Server, true, Opcode::Continuation, b"two");
        let whole = encode_masked(Opcode::Text, b"three", KEY);
        for (name, bytes, idle) in [
            ("half a header", &first[..3], false),
            ("first fragment", &first[3..], false),
            ("control frame in between", &ping, false),
            ("half of the last fragment", &last[..7], false),
            ("end of the message", &last[7..], true),
            ("whole frame", &whole, true),
            ("half a frame", &whole[..8], false),
            ("its end and half a header", &[&whole[8..], &whole[..1]].concat(), false),
            ("the rest", &whole[1..], true),
        ] {
            feed(&mut decoder, bytes).unwrap();
            assert_eq!(decoder.is_idle(), idle, "{name}");
            assert!(!idle || decoder.spill_capacity() == 0, "{name}");
        }
    }

    #[test]
    fn spill_follows_what_was_received() {
        let mut decoder = server();
        let whole = encode_masked(Opcode::Binary, &vec![7; 9_000_000], KEY);
        let (start, end) = whole.split_at(whole.len() - 1);
        feed(&mut decoder, &start[..14]).unwrap();
        assert_eq!(decoder.spill_capacity(), 0, "nothing for the header");
        let mut received = 0;
        for piece in start[14..].chunks(30_000) {
            feed(&mut decoder, piece).unwrap();
            received += piece.len();
            assert!(decoder.spill_capacity() <= received + 0x1_0000);
        }
        let items = feed(&mut decoder, end).unwrap();
        assert_eq!(items, [Item::Binary(vec![7; 9_000_000].into())]);
    }

    #[test]
    fn encoded_frames_are_read_back() {
        for len in [0, 1, 125, 126, 0xffff, 0x1_0000, 0x1_0001] {
            let payload = vec![7; len];
            for (role, frame) in [
                (Role::Client, encode_frame(Opcode::Binary, &payload)),
                (Role::Server, encode_masked(Opcode::Binary, &payload, KEY)),
            ] {
                let items = feed_all(Decoder::new(role, Limits::default()), [&frame[..]]);
                let item = Item::Binary(payload.clone().into());
                assert_eq!(items, Ok(vec![item]), "{role:?} {len}");
            }
        }
    }

    #[test]
    fn resting_connection_is_small() {
        assert!(size_of::<Decoder>() <= 32);
        assert!(size_of::<Spill>() <= 112);
    }

    /// A message, where to cut it, and a ping to put into each cut.
    type Spoken = (Result<String, Vec<u8>>, Vec<usize>, Option<Vec<u8>>);

    fn spoken() -> impl Strategy<Value = Spoken> {
        let message = prop_oneof![any::<String>().prop_map(Ok), vec(any::<u8>(), 0..300).prop_map(Err),];
        let ping = proptest::option::of(vec(any::<u8>(), 0..=125));
        (message, vec(0..300_usize, 0..4), ping)
    }

    /// The frames of one message and the items they make.
    fn speak(role: Role, (message, cuts, ping): &Spoken) -> (Vec<u8>, Vec<Item>) {
        let (opcode, payload, item) = match message {
            Ok(text) => (Opcode::Text, text.as_bytes(), self::text(text)),
            Err(binary) => (Opcode::Binary, &binary[..], Item::Binary(binary.clone().into())),
        };
        let (mut bytes, mut items) = (Vec::new(), Vec::new());
        let (mut opcode, mut start) = (opcode, 0);
        for cut in cuts {
            let end = (*cut).clamp(start, payload.len());
            bytes.extend(frame(role, false, opcode, &payload[start..end]));
            (opcode, start) = (Opcode::Continuation, end);
            if let Some(ping) = ping {
                bytes.extend(frame(role, true, Opcode::Ping, ping));
                items.push(Item::Ping(ping.clone().into()));
            }
        }
        bytes.extend(frame(role, true, opcode, &payload[start..]));
        items.push(item);
        (bytes, items)
    }

    /// Bytes of which many are the beginning of something.
    fn plausible_bytes() -> impl Strategy<Value = Vec<u8>> {
        let frame = (any::<bool>(), 0..11_u8, 0..8_u8, vec(any::<u8>(), 4..12)).prop_map(
            |(fin, opcode, len, rest)| {
                let first = if fin { 0x80 | opcode } else { opcode };
                [&[first, 0x80 | len], &rest[..4 + usize::from(len).min(rest.len() - 4)]].concat()
            },
        );
        let announced = (0..3_u8, 126..=127_u8, vec(any::<u8>(), 0..300))
            .prop_map(|(opcode, len, rest)| [&[opcode, 0x80 | len, 0, 0], &rest[..]].concat());
        let noise = vec(any::<u8>(), 0..20);
        vec(prop_oneof![6 => frame, 1 => announced, 1 => noise], 0..12).prop_map(|v| v.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(2_000)
        })]

        #[test]
        fn messages_survive_any_cutting(
            role in prop_oneof![Just(Role::Server), Just(Role::Client)],
            messages in vec(spoken(), 0..6),
            sizes in vec(1..200_usize, 1..8),
        ) {
            let (frames, items): (Vec<_>, Vec<_>) =
                messages.iter().map(|message| speak(role, message)).unzip();
            let (mut rest, mut read) = (&frames.concat()[..], Vec::new());
            let mut decoder = Decoder::new(role, Limits::default());
            for size in sizes.iter().cycle() {
                let piece = rest.split_off(..(*size).min(rest.len())).unwrap_or_default();
                read.extend(feed(&mut decoder, piece).unwrap());
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read, items.concat());
            prop_assert!(decoder.is_idle());
        }

        #[test]
        fn no_bytes_panic_or_hoard(
            role in prop_oneof![Just(Role::Server), Just(Role::Client)],
            bytes in plausible_bytes(),
            size in 1..40_usize,
        ) {
            let mut decoder = Decoder::new(role, LOW);
            let mut generous = Decoder::new(role, Limits::default());
            let mut received = 0;
            for piece in bytes.chunks(size) {
                received += piece.len();
                let _either_will_do = feed(&mut decoder, piece);
                let _either_will_do = feed(&mut generous, piece);
                prop_assert!(decoder.spill_capacity() <= 2 * received);
                prop_assert!(generous.spill_capacity() <= 2 * received);
            }
        }
    }
}
