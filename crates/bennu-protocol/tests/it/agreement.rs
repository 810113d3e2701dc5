//! Random and hostile streams, read by us and by two other implementations.
//!
//! What both others accept we read as the same messages, and what both refuse we refuse. Where
//! they differ from each other the RFC decides, and [`decided`] says how. 2,000 cases each here; as many as
//! `BENNU_CODEC_CASES` says in `./long-checks.sh codec`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bennu_protocol::websocket::{
    CloseFrame, Decoder, Extension, FrameHeader, Item, Limits, Opcode, ProtocolViolation, Role,
    encode_compressed,
};
use futures_util::Stream as _;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_websockets::{ClientBuilder, ServerBuilder};
use tungstenite::protocol::{Message, Role as PeerRole, WebSocket, WebSocketConfig};

/// What a frame may carry here; a header is not counted by the others.
const MAX_PAYLOAD: usize = 16 << 20;

const KEY: [u8; 4] = [0x9a, 0x00, 0x5b, 0xc7];

fn config() -> ProptestConfig {
    let cases = std::env::var("BENNU_CODEC_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases.unwrap_or(2_000)) }
}

/// What an implementation made of a stream.
#[derive(Debug)]
struct Reading {
    items: Vec<Item>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All was read; more could follow.
    Open,
    Closed,
    Refused,
}

fn ours(role: Role, bytes: &[u8]) -> (Reading, Option<ProtocolViolation>) {
    let max_frame_size = MAX_PAYLOAD + 14;
    let mut decoder = Decoder::new(role, Limits { max_frame_size, max_message_size: MAX_PAYLOAD });
    let (mut bytes, mut items) = (bytes.to_vec(), Vec::new());
    let mut unread = bytes.as_mut_slice();
    loop {
        match decoder.decode(&mut unread) {
            Ok(Some(item)) => {
                let is_close = matches!(item, Item::Close(_));
                items.push(item);
                if is_close {
                    return (Reading { items, end: End::Closed }, None);
                }
            }
            Ok(None) => return (Reading { items, end: End::Open }, None),
            Err(violation) => return (Reading { items, end: End::Refused }, Some(violation)),
        }
    }
}

/// Whether a text message is not complete where the stream ends, or is closed.
fn ends_in_text(bytes: &[u8]) -> bool {
    let (mut rest, mut open) = (bytes, None);
    while let Ok(Some(header)) = FrameHeader::parse(rest, Extension::None) {
        let len = header.encoded_len() + header.payload_len as usize;
        let is_control = header.opcode.is_control();
        if header.opcode == Opcode::Close {
            break;
        }
        if !is_control {
            let message = if header.opcode == Opcode::Continuation { open } else { Some(header.opcode) };
            open = message.filter(|_| !header.fin || len > rest.len());
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    open == Some(Opcode::Text)
}

/// A stream that gives what it holds, waits when there is no more, and swallows what is written.
struct Wire(io::Cursor<Vec<u8>>);

impl io::Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match io::Read::read(self.get_mut(), buffer.initialize_unfilled()) {
            Ok(count) => {
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(_) => Poll::Pending,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn tungstenite(role: Role, bytes: &[u8]) -> Reading {
    let role = match role {
        Role::Server => PeerRole::Server,
        Role::Client => PeerRole::Client,
    };
    let config =
        WebSocketConfig::default().max_frame_size(Some(MAX_PAYLOAD)).max_message_size(Some(MAX_PAYLOAD));
    let wire = Wire(io::Cursor::new(bytes.to_vec()));
    let mut socket = WebSocket::from_raw_socket(wire, role, Some(config));
    let mut items = Vec::new();
    loop {
        let end = match socket.read() {
            Ok(Message::Text(text)) => Ok(Item::Text(bytes::Bytes::from(text))),
            Ok(Message::Binary(bytes)) => Ok(Item::Binary(bytes)),
            Ok(Message::Ping(bytes)) => Ok(Item::Ping(bytes)),
            Ok(Message::Pong(bytes)) => Ok(Item::Pong(bytes)),
            // What it makes of a code that may not be sent.
            Ok(Message::Close(Some(frame))) if frame.reason == "Protocol violation" => Err(End::Refused),
            Ok(Message::Close(frame)) => {
                let frame = frame.map(|frame| CloseFrame {
                    code: frame.code.into(),
                    reason: frame.reason.as_str().to_owned(),
                });
                items.push(Item::Close(frame));
                Err(End::Closed)
            }
            Ok(Message::Frame(_)) => unreachable!("only what is written is a frame"),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Err(End::Open),
            Err(_) => Err(End::Refused),
        };
        match end {
            Ok(item) => items.push(item),
            Err(end) => return Reading { items, end },
        }
    }
}

fn tokio_websockets(role: Role, bytes: &[u8]) -> Reading {
    let wire = Wire(io::Cursor::new(bytes.to_vec()));
    let limits = tokio_websockets::Limits::default().max_payload_len(Some(MAX_PAYLOAD));
    let mut socket = match role {
        Role::Server => ServerBuilder::new().limits(limits).serve(wire),
        Role::Client => ClientBuilder::new().limits(limits).take_over(wire),
    };
    let mut context = Context::from_waker(Waker::noop());
    let mut items = Vec::new();
    loop {
        let message = match Pin::new(&mut socket).poll_next(&mut context) {
            Poll::Ready(Some(Ok(message))) => message,
            Poll::Pending => return Reading { items, end: End::Open },
            Poll::Ready(_) => return Reading { items, end: End::Refused },
        };
        let close = message.as_close().map(|(code, reason)| {
            let (code, reason) = (u16::from(code), reason.to_owned());
            // It tells the absence of a code as 1005.
            (code != 1005).then_some(CloseFrame { code, reason })
        });
        let (is_text, is_ping, is_pong) = (message.is_text(), message.is_ping(), message.is_pong());
        let payload: bytes::Bytes = message.into_payload().into();
        items.push(match close {
            Some(frame) => Item::Close(frame),
            None if is_text => Item::Text(payload),
            None if is_ping => Item::Ping(payload),
            None if is_pong => Item::Pong(payload),
            None => Item::Binary(payload),
        });
        if matches!(items.last(), Some(Item::Close(_))) {
            return Reading { items, end: End::Closed };
        }
    }
}

/// One frame, mostly right.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![4 => Just(0_u8), 8 => Just(1), 4 => Just(2), 1 => Just(8), 2 => Just(9), 2 => Just(10), 1 => 0..16_u8];
    let reserved = prop_oneof![30 => Just(0_u8), 1 => 1..8_u8];
    let payload = prop_oneof![
        6 => ".{0,12}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..12),
        2 => close_body(),
        1 => vec(any::<u8>(), 120..130),
        1 => (0..3_usize).prop_map(|more| vec![b'x'; 65_534 + more]),
    ];
    let masked = prop_oneof![40 => Just(true), 1 => Just(false)];
    (prop_oneof![3 => Just(true), 1 => Just(false)], reserved, opcode, payload, masked, 0..3_u8, 0..40_u8)
        .prop_map(|(fin, reserved, opcode, payload, masked, form, longer)| {
            let mut frame = vec![u8::from(fin) << 7 | reserved << 4 | opcode];
            let mask = if masked { 0x80 } else { 0 };
            // Now and then a length in a longer form than it needs.
            let form = if longer == 0 { form } else { 0 };
            match payload.len() {
                len @ 0..=125 if form == 0 => frame.push(mask | len as u8),
                len @ 0..=0xffff if form < 2 => {
                    frame.push(mask | 126);
                    frame.extend((len as u16).to_be_bytes());
                }
                len => {
                    frame.push(mask | 127);
                    frame.extend((len as u64).to_be_bytes());
                }
            }
            if masked {
                frame.extend(KEY);
            }
            let key = if masked { KEY } else { [0; 4] };
            frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
            frame
        })
}

fn close_body() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![Just(1000_u16), 990..1020_u16, 2990..3010_u16, any::<u16>()];
    (code, ".{0,5}").prop_map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// Frames for a server; for a client their mask bits are turned over.
fn stream() -> impl Strategy<Value = (Role, Vec<u8>)> {
    let role = prop_oneof![Just(Role::Server), Just(Role::Client)];
    let noise = prop_oneof![12 => Just(Vec::new()), 1 => vec(any::<u8>(), 1..20)];
    // One byte of some streams is changed, and some are cut.
    let change = proptest::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    let cut = proptest::option::weighted(0.2, any::<prop::sample::Index>());
    (role, vec((frame(), noise), 1..8), change, cut).prop_map(|(role, frames, change, cut)| {
        let frames = frames.into_iter().flat_map(|(frame, noise)| [unmasked(role, frame), noise]);
        let mut bytes: Vec<u8> = frames.flatten().collect();
        if let Some((index, byte)) = change {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len())));
        (role, bytes)
    })
}

/// A masked frame as it comes from a server: with zeros for a key it needs none.
fn unmasked(role: Role, mut frame: Vec<u8>) -> Vec<u8> {
    if role == Role::Server {
        return frame;
    }
    let header = match frame[1] & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let is_masked = frame[1] & 0x80 != 0;
    frame[1] ^= 0x80;
    match is_masked {
        true => {
            let payload = frame.split_off(header + KEY.len());
            frame.truncate(header);
            frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
        false => drop(frame.splice(header..header, [0; 4])),
    }
    frame
}

/// Whether `theirs` is what we read.
fn is_same(bytes: &[u8], ours: &Reading, theirs: &Reading) -> bool {
    match (ours.end, theirs.end) {
        // What we find at the end of a text they find at its first wrong byte.
        (End::Open | End::Closed, End::Refused) if ends_in_text(bytes) => {
            ours.items.starts_with(&theirs.items)
        }
        (End::Refused, End::Refused) => ours.items.starts_with(&theirs.items),
        (end, other) => end == other && ours.items == theirs.items,
    }
}

/// Whether we do as the RFC says, where not both of them read what we do.
fn decided(
    (role, bytes): (Role, &[u8]),
    (ours, violation): (&Reading, Option<ProtocolViolation>),
    first: &Reading,
    second: &Reading,
) -> bool {
    match violation {
        // 8.1: text is UTF-8 to its end. Of a character that an empty last fragment cuts tokio-websockets takes no notice.
        Some(ProtocolViolation::InvalidUtf8) => first.end == End::Refused && ours.items == first.items,
        // 5.2: a length is in its shortest form, which tungstenite does not ask for; 5.5: so is that of a control frame.
        Some(ProtocolViolation::LengthNotMinimal | ProtocolViolation::ControlTooLong) => {
            second.end == End::Refused && ours.items == second.items
        }
        // The header tells, and tungstenite reads the payload before it looks.
        Some(_) => second.end == End::Refused && first.end == End::Open && ours.items == first.items,
        None => match ours.items.last() {
            // 7.4.2 leaves to IANA's registry what comes after 1011; tungstenite does not know 1014. The RFC
            // defines no code from 5000 on; both refuse them, and Bandit, whom we follow, lets them pass.
            Some(Item::Close(Some(CloseFrame { code: 1012..=1014 | 5000.., .. }))) => true,
            // tokio-websockets looks before the header is complete; we refuse it as soon as it is.
            _ => {
                let completed = [bytes, &[0; FrameHeader::MAX_LEN]].concat();
                let is_late = self::ours(role, &completed).0.end == End::Refused;
                is_late && ours.end == End::Open && first.end == End::Open && ours.items == second.items
            }
        },
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_two_others_agree_on_we_read_alike((role, bytes) in stream()) {
        let (ours, violation) = ours(role, &bytes);
        let (first, second) = (tungstenite(role, &bytes), tokio_websockets(role, &bytes));
        let is_alike = is_same(&bytes, &ours, &first) && is_same(&bytes, &ours, &second);
        prop_assert!(
            is_alike || decided((role, &bytes), (&ours, violation), &first, &second),
            "we: {ours:?} {violation:?}; tungstenite: {first:?}; tokio-websockets: {second:?}"
        );
    }

    /// Against another implementation of DEFLATE, miniz_oxide.
    #[test]
    fn compressed_messages_are_inflated_alike(payload in deflate_payload(), max in prop_oneof![Just(100_usize), Just(100_000)]) {
        let mut decoder = Decoder::new(Role::Client, Limits::default()).inflating(max);
        let header = [0xc2, 126, (payload.len() >> 8) as u8, payload.len() as u8];
        let header = if payload.len() < 126 { vec![0xc2, payload.len() as u8] } else { header.to_vec() };
        let mut bytes = [&header[..], &payload].concat();
        let ours = decoder.decode(&mut bytes.as_mut_slice());
        match (inflated(&payload, max), ours) {
            (Ok(expected), Ok(Some(Item::Binary(inflated)))) => prop_assert_eq!(&expected[..], &inflated[..]),
            // Of what is both too large and wrong each says what it finds first.
            (Err(_), Err(ours)) => prop_assert!([1007, 1009].contains(&ours.close_code())),
            (theirs, ours) => prop_assert!(false, "miniz: {:?}; we: {:?}", theirs.map(|bytes| bytes.len()), ours),
        }
    }
}

/// What another implementation makes of the payload of a compressed message.
fn inflated(payload: &[u8], max: usize) -> Result<Vec<u8>, ProtocolViolation> {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

    // What follows the last block of a stream is another stream; behind it all comes what does not travel.
    let stream = [payload, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
    let (mut output, mut filled, mut taken) = (vec![0; max], 0, 0);
    while taken < payload.len() || taken == 0 {
        let mut context = DecompressorOxide::new();
        let room = &mut output[filled..];
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, read, written) = decompress(&mut context, &stream[taken..], room, 0, flags);
        match status {
            TINFLStatus::Done => {}
            TINFLStatus::HasMoreOutput => return Err(ProtocolViolation::InflatedTooLarge),
            _ => return Err(ProtocolViolation::InvalidDeflate),
        }
        (taken, filled) = (taken + read, filled + written);
    }
    output.truncate(filled);
    // The last stream may end with the payload, or with either block behind it, but not inside of one.
    match [payload.len(), payload.len() + 4, stream.len()].contains(&taken) {
        true => Ok(output),
        false => Err(ProtocolViolation::InvalidDeflate),
    }
}

/// Compressed messages of ours and of others, some of them broken.
fn deflate_payload() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![vec(any::<u8>(), 0..20), Just(b"\"body\":\"hello\"".to_vec())];
    let message = vec(word, 0..60).prop_map(|words| words.concat());
    let level = 0..=10_u8;
    let valid = (message, level, any::<bool>()).prop_map(|(message, level, is_ours)| {
        match encode_compressed(Opcode::Binary, &message, None).filter(|_| is_ours) {
            Some(frame) => frame[if frame[1] == 126 { 4 } else { 2 }..].to_vec(),
            None => {
                // A stream with an end, and the padding of RFC 7692, 7.2.3.4.
                let mut bytes = miniz_oxide::deflate::compress_to_vec(&message, level);
                bytes.push(0);
                bytes
            }
        }
    });
    let change = proptest::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>()));
    let cut = proptest::option::weighted(0.2, any::<prop::sample::Index>());
    let broken = (valid, change, cut).prop_map(|(mut bytes, change, cut)| {
        if let Some((index, byte)) = change {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len())));
        bytes
    });
    prop_oneof![8 => broken, 1 => vec(any::<u8>(), 0..60)]
}
