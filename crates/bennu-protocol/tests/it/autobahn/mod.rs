//! The frame codec against the categories of the Autobahn suite, as tables of our own.
//!
//! Each case is played to a server (masked) and to a client (not masked), whole, byte by byte
//! and in random cuts, and must come to exactly these items and this end. How many cases a
//! category has is asserted by its test:
//!
//! | category | cases |
//! | --- | ---: |
//! | 1 framing | 20 |
//! | 2 pings and pongs | 10 |
//! | 3 reserved bits | 42 |
//! | 4 opcodes | 40 |
//! | 5 fragmentation | 20 |
//! | 6 UTF-8 | 200 |
//! | 7 close handling | 44 |
//! | 9 limits | 38 |
//! | 10 misc | 3 |
//! | 12 compression | 81 |
//! | 13 compression, by parameters of the offer | 67 |

mod close;
mod compression;
mod framing;
mod limits;
mod utf8;

use bennu_protocol::websocket::{CloseFrame, Decoder, Item, Limits, Role};

/// The bits of the first byte of a frame.
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const KEY: [u8; 4] = [0x9a, 0x00, 0x5b, 0xc7];

/// What is sent, and what comes of it.
struct Case {
    name: String,
    frames: Vec<Frame>,
    items: Vec<Item>,
    /// The close code of the violation, if there is one.
    violation: Option<u16>,
}

/// The first byte, and the payload.
type Frame = (u8, Vec<u8>);

impl Case {
    fn new(name: impl Into<String>, frames: &[Frame], items: &[Item]) -> Self {
        Case { name: name.into(), frames: frames.to_vec(), items: items.to_vec(), violation: None }
    }

    /// The same, ended by a violation.
    fn violates(self, code: u16) -> Self {
        Case { violation: Some(code), ..self }
    }

    fn bytes(&self, role: Role) -> Vec<u8> {
        self.frames.iter().flat_map(|(first, payload)| raw_frame(role, *first, payload)).collect()
    }
}

/// A frame with any first byte, as the peer of `role` sends it, by hand.
fn raw_frame(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if role == Role::Server { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(mask_bit | len as u8),
        len @ 126..=0xffff => {
            frame.push(mask_bit | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(mask_bit | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    match role {
        Role::Server => {
            frame.extend(KEY);
            frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
        Role::Client => frame.extend(payload),
    }
    frame
}

/// Plays all cases of a category, of which there are so many.
fn play(cases: &[Case], count: usize, decoder: impl Fn(Role) -> Decoder) {
    assert_eq!(cases.len(), count, "the table of the module tells how many");
    for case in cases {
        for role in [Role::Server, Role::Client] {
            let bytes = case.bytes(role);
            let expected = (&case.items, case.violation);
            for (chop, pieces) in chops(bytes.len()) {
                let (items, violation) = decode(decoder(role), &bytes, &pieces);
                let same = (&items, violation) == expected;
                // Payloads do not show in the output: what differs is told by length.
                assert!(same, "{}: {role:?}, {chop}: {items:?}, {violation:?} for {expected:?}", case.name);
            }
        }
    }
}

fn plain(role: Role) -> Decoder {
    Decoder::new(role, Limits::default())
}

/// The lengths of the reads.
fn chops(len: usize) -> Vec<(&'static str, Vec<usize>)> {
    let mut seed = len as u64;
    let mut random = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound + 1
    };
    let mut cuts = |bound| {
        let mut pieces = Vec::new();
        let mut left = len;
        while left > 0 {
            let piece = random(bound).min(left);
            pieces.push(piece);
            left -= piece;
        }
        pieces
    };
    let mut chops = vec![("whole", vec![len]), ("cut", cuts(len.max(1))), ("cut small", cuts(1 + len / 20))];
    // A read of one byte is the same for the thousandth time.
    if len <= 300_000 {
        chops.push(("byte by byte", vec![1; len]));
    }
    chops
}

fn decode(mut decoder: Decoder, bytes: &[u8], pieces: &[usize]) -> (Vec<Item>, Option<u16>) {
    let (mut items, mut rest) = (Vec::new(), bytes);
    for len in pieces {
        let mut piece = rest.split_off(..*len).unwrap_or_default().to_vec();
        let mut unread = piece.as_mut_slice();
        loop {
            match decoder.decode(&mut unread) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(violation) => return (items, Some(violation.close_code())),
            }
        }
    }
    (items, None)
}

fn text(payload: impl Into<Vec<u8>>) -> Item {
    Item::Text(payload.into().into())
}

fn binary(payload: impl Into<Vec<u8>>) -> Item {
    Item::Binary(payload.into().into())
}

fn ping(payload: impl Into<Vec<u8>>) -> Item {
    Item::Ping(payload.into().into())
}

fn pong(payload: impl Into<Vec<u8>>) -> Item {
    Item::Pong(payload.into().into())
}

fn closed(code: u16, reason: &str) -> Item {
    Item::Close(Some(CloseFrame { code, reason: reason.to_owned() }))
}

/// A whole frame.
fn whole(opcode: u8, payload: impl Into<Vec<u8>>) -> Frame {
    (FIN | opcode, payload.into())
}

/// A fragment that others follow.
fn part(opcode: u8, payload: impl Into<Vec<u8>>) -> Frame {
    (opcode, payload.into())
}
