//! Our frames against those of another implementation, tungstenite.

use std::io::{self, Cursor, Read, Write};

use bennu_protocol::websocket::{
    CloseFrame, Decoder, FrameHeader, Item, Limits, Opcode, Role, close_frame, encode_frame, encode_into,
    encode_masked,
};
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame as PeerCloseFrame, Frame};
use tungstenite::protocol::{Message, Role as PeerRole, WebSocket};

const KEY: [u8; 4] = [0x9a, 0x00, 0x5b, 0xc7];

/// A connection that is read from one buffer and written to another.
#[derive(Default)]
struct Wire {
    incoming: Cursor<Vec<u8>>,
    outgoing: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.incoming.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The peer of a decoder or encoder that plays `ours`.
fn peer(ours: Role, incoming: Vec<u8>) -> WebSocket<Wire> {
    let role = match ours {
        Role::Server => PeerRole::Client,
        Role::Client => PeerRole::Server,
    };
    let incoming = Cursor::new(incoming);
    let wire = Wire { incoming, outgoing: Vec::new() };
    WebSocket::from_raw_socket(wire, role, None)
}

fn mask(ours: Role) -> Option<[u8; 4]> {
    match ours {
        Role::Server => None,
        Role::Client => Some(KEY),
    }
}

fn encode(ours: Role, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_into(&mut frame, opcode, payload, mask(ours));
    frame
}

/// One of each kind, and one of each form of a length.
fn samples() -> Vec<(Opcode, Vec<u8>)> {
    let mut samples: Vec<_> = [0, 1, 7, 125, 126, 1000, 0xffff, 0x1_0000, 300_000]
        .map(|len| (Opcode::Binary, (0..=255).cycle().take(len).collect()))
        .into();
    samples.extend([
        (Opcode::Text, b"".to_vec()),
        (Opcode::Text, "Grüße, 世界".into()),
        (Opcode::Ping, b"".to_vec()),
        (Opcode::Ping, vec![9; 125]),
        (Opcode::Pong, b"pong".to_vec()),
    ]);
    samples
}

fn message(opcode: Opcode, payload: Vec<u8>) -> Message {
    match opcode {
        Opcode::Text => Message::text(String::from_utf8(payload).expect("a sample is UTF-8")),
        Opcode::Binary => Message::binary(payload),
        Opcode::Ping => Message::Ping(payload.into()),
        Opcode::Pong => Message::Pong(payload.into()),
        Opcode::Close | Opcode::Continuation => unreachable!("no sample has it"),
    }
}

fn item(opcode: Opcode, payload: Vec<u8>) -> Item {
    match opcode {
        Opcode::Text => Item::Text(payload.into()),
        Opcode::Binary => Item::Binary(payload.into()),
        Opcode::Ping => Item::Ping(payload.into()),
        Opcode::Pong => Item::Pong(payload.into()),
        Opcode::Close | Opcode::Continuation => unreachable!("no sample has it"),
    }
}

/// Reads as a connection does, `step` bytes at a time.
fn decode(ours: Role, mut bytes: Vec<u8>, step: usize) -> Vec<Item> {
    let mut decoder = Decoder::new(ours, Limits::default());
    let mut items = Vec::new();
    for mut unread in bytes.chunks_mut(step) {
        while let Some(item) = decoder.decode(&mut unread).expect("a sample is valid") {
            items.push(item);
        }
    }
    assert!(decoder.is_idle());
    items
}

#[test]
fn peer_reads_what_we_write() {
    for ours in [Role::Server, Role::Client] {
        let frames = samples();
        let frames = frames.iter().map(|(opcode, p)| encode(ours, *opcode, p));
        let mut peer = peer(ours, frames.flatten().collect());
        for (opcode, payload) in samples() {
            let len = payload.len();
            let read = peer.read().unwrap();
            assert!(read == message(opcode, payload), "{ours:?} {opcode:?} {len}");
        }
    }
}

#[test]
fn peer_reads_shared_and_masked_frames() {
    for (ours, frame) in [
        (Role::Server, encode_frame(Opcode::Text, b"hello")),
        (Role::Client, encode_masked(Opcode::Text, b"hello", KEY)),
    ] {
        let read = peer(ours, frame.to_vec()).read().unwrap();
        assert_eq!(read, Message::text("hello"), "{ours:?}");
    }
}

#[test]
fn peer_joins_our_fragments() {
    let fragment = |fin, opcode, payload: &[u8]| {
        let header = FrameHeader { fin, ..FrameHeader::new(opcode, payload.len() as u64) };
        [&header.encode()[..], payload].concat()
    };
    let bytes = [
        fragment(false, Opcode::Text, b"caf\xc3"),
        encode(Role::Server, Opcode::Pong, b"between"),
        fragment(true, Opcode::Continuation, b"\xa9"),
    ];
    let mut peer = peer(Role::Server, bytes.concat());
    assert_eq!(peer.read().unwrap(), Message::Pong("between".into()));
    assert_eq!(peer.read().unwrap(), Message::text("café"));
}

#[test]
fn we_read_what_the_peer_writes() {
    for ours in [Role::Server, Role::Client] {
        let mut peer = peer(ours, Vec::new());
        let mut expected = Vec::new();
        for (opcode, payload) in samples() {
            peer.send(message(opcode, payload.clone())).unwrap();
            expected.push(item(opcode, payload));
        }
        let bytes = &peer.get_ref().outgoing;
        for step in [1, 13, 4096, 65_536, bytes.len()] {
            let items = decode(ours, bytes.clone(), step);
            assert!(items == expected, "{ours:?} {step}");
        }
    }
}

#[test]
fn we_join_the_fragments_of_the_peer() {
    for ours in [Role::Server, Role::Client] {
        let mut peer = peer(ours, Vec::new());
        let mut send = |data, payload: &'static [u8], fin| {
            let frame = Frame::message(payload, OpCode::Data(data), fin);
            peer.send(Message::Frame(frame)).unwrap();
        };
        send(Data::Text, b"caf\xc3", false);
        send(Data::Continue, b"", false);
        send(Data::Continue, b"\xa9", true);
        let bytes = peer.get_ref().outgoing.clone();
        for step in 1..=bytes.len() {
            let items = decode(ours, bytes.clone(), step);
            assert_eq!(items, [Item::Text("café".into())], "{ours:?} {step}");
        }
    }
}

#[test]
fn close_frames_agree() {
    let read = peer(Role::Server, close_frame(1001).to_vec()).read();
    let away = |reason: &'static str| PeerCloseFrame { code: CloseCode::Away, reason: reason.into() };
    assert_eq!(read.unwrap(), Message::Close(Some(away(""))));

    for ours in [Role::Server, Role::Client] {
        for (theirs, expected) in
            [(None, None), (Some(away("bye")), Some(CloseFrame { code: 1001, reason: "bye".to_owned() }))]
        {
            let mut peer = peer(ours, Vec::new());
            peer.close(theirs).unwrap();
            let items = decode(ours, peer.get_ref().outgoing.clone(), 1);
            assert_eq!(items, [Item::Close(expected)], "{ours:?}");
        }
    }
}

/// Of lengths in a longer form than needed the peer is more tolerant than we are.
#[test]
fn both_refuse_the_same_frames() {
    for (name, bytes) in [
        ("reserved bit", &b"\xc1\x80\0\0\0\0"[..]),
        ("unknown opcode", b"\x83\x80\0\0\0\0"),
        ("no mask", b"\x81\x01a"),
        ("continuation of nothing", b"\x80\x80\0\0\0\0"),
        ("text inside text", b"\x01\x80\0\0\0\0\x81\x80\0\0\0\0"),
        ("fragmented ping", b"\x09\x80\0\0\0\0"),
        ("text that is not utf-8", b"\x81\x81\0\0\0\0\xff"),
        ("close with one byte", b"\x88\x81\0\0\0\0\x03"),
    ] {
        let mut ours = Decoder::new(Role::Server, Limits::default());
        let mut copy = bytes.to_vec();
        assert!(ours.decode(&mut copy.as_mut_slice()).is_err(), "{name}");
        // Here both are servers: the peer of a client is one.
        let theirs = peer(Role::Client, bytes.to_vec()).read();
        assert!(
            !matches!(theirs, Ok(_) | Err(tungstenite::Error::Io(_) | tungstenite::Error::ConnectionClosed)),
            "{name}: {theirs:?}"
        );
    }
}
