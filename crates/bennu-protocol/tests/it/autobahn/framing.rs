//! Categories 1 to 5: framing, pings, reserved bits, opcodes, fragmentation; and 10, misc.

use super::*;

#[test]
fn category_1_framing() {
    let mut cases = Vec::new();
    for len in [0, 1, 7, 125, 126, 127, 128, 65_535, 65_536, 65_537] {
        let payload = vec![b'*'; len];
        cases.push(Case::new(format!("text of {len}"), &[whole(TEXT, payload.clone())], &[text(payload)]));
        let payload = vec![0xfe; len];
        cases.push(Case::new(
            format!("binary of {len}"),
            &[whole(BINARY, payload.clone())],
            &[binary(payload)],
        ));
    }
    play(&cases, 20, plain);
}

#[test]
fn category_2_pings_and_pongs() {
    let bytes = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff".to_vec();
    let many: Vec<u8> = (0..10).collect();
    let pings: Vec<Frame> = many.iter().map(|n| whole(PING, [*n])).collect();
    let answered: Vec<Item> = many.iter().map(|n| ping([*n])).collect();
    let cases = [
        Case::new("empty ping", &[whole(PING, "")], &[ping("")]),
        Case::new("ping", &[whole(PING, "hello")], &[ping("hello")]),
        Case::new("binary ping", &[whole(PING, bytes.clone())], &[ping(bytes)]),
        Case::new("full ping", &[whole(PING, [0xfe; 125])], &[ping([0xfe; 125])]),
        Case::new("ping of 126", &[whole(PING, [0xfe; 126])], &[]).violates(1002),
        Case::new("empty pong", &[whole(PONG, "")], &[pong("")]),
        Case::new("pong", &[whole(PONG, "unasked")], &[pong("unasked")]),
        Case::new("pong and ping", &[whole(PONG, "a"), whole(PING, "b")], &[pong("a"), ping("b")]),
        Case::new("pong of 126", &[whole(PONG, [1; 126])], &[]).violates(1002),
        Case::new("ten pings", &pings, &answered),
    ];
    play(&cases, 10, plain);
}

#[test]
fn category_3_reserved_bits() {
    let mut cases = Vec::new();
    for bits in 1..8_u8 {
        for (name, opcode) in [
            ("text", TEXT),
            ("binary", BINARY),
            ("ping", PING),
            ("pong", PONG),
            ("close", CLOSE),
            ("continuation", CONTINUATION),
        ] {
            let frames =
                [whole(TEXT, "good"), (FIN | bits << 4 | opcode, b"bad".to_vec()), whole(TEXT, "late")];
            cases.push(Case::new(format!("{name} with {bits:03b}"), &frames, &[text("good")]).violates(1002));
        }
    }
    play(&cases, 42, plain);
}

#[test]
fn category_4_opcodes() {
    let mut cases = Vec::new();
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for (name, payload) in [("empty", ""), ("with a payload", "reserved")] {
            let alone = Case::new(format!("{opcode}, {name}"), &[whole(opcode, payload)], &[]);
            cases.push(alone.violates(1002));
            let frames = [whole(TEXT, "good"), whole(opcode, payload), whole(PING, "")];
            cases.push(Case::new(format!("{opcode} later, {name}"), &frames, &[text("good")]).violates(1002));
        }
    }
    play(&cases, 40, plain);
}

#[test]
fn category_5_fragmentation() {
    let (first, last) = (part(TEXT, "frag"), whole(CONTINUATION, "ment"));
    let fragmented = [text("fragment")];
    let middle = part(CONTINUATION, "-");
    let after = [text("fragment"), text("more")];
    let cases = [
        Case::new("ping in two", &[part(PING, "fr"), whole(CONTINUATION, "ag")], &[]).violates(1002),
        Case::new("pong in two", &[part(PONG, "fr"), whole(CONTINUATION, "ag")], &[]).violates(1002),
        Case::new("close in two", &[part(CLOSE, b"\x03\xe8"), whole(CONTINUATION, "ag")], &[]).violates(1002),
        Case::new("text in two", &[first.clone(), last.clone()], &fragmented),
        Case::new("binary in two", &[part(BINARY, [1]), whole(CONTINUATION, [2])], &[binary([1, 2])]),
        Case::new("text in three", &[first.clone(), middle.clone(), last.clone()], &[text("frag-ment")]),
        Case::new(
            "ping inside",
            &[first.clone(), whole(PING, "p"), last.clone()],
            &[ping("p"), text("fragment")],
        ),
        Case::new(
            "pong inside",
            &[first.clone(), whole(PONG, "p"), last.clone()],
            &[pong("p"), text("fragment")],
        ),
        Case::new(
            "two pings inside",
            &[first.clone(), whole(PING, "a"), middle.clone(), whole(PING, "b"), last.clone()],
            &[ping("a"), ping("b"), text("frag-ment")],
        ),
        Case::new("close inside", &[first.clone(), whole(CLOSE, b"\x03\xe8")], &[closed(1000, "")]),
        Case::new(
            "empty parts",
            &[part(TEXT, ""), part(CONTINUATION, ""), whole(CONTINUATION, "")],
            &[text("")],
        ),
        Case::new(
            "empty and full",
            &[part(TEXT, ""), part(CONTINUATION, "x"), whole(CONTINUATION, "")],
            &[text("x")],
        ),
        Case::new("end of nothing", &[whole(CONTINUATION, "late"), whole(TEXT, "x")], &[]).violates(1002),
        Case::new("part of nothing", &[part(CONTINUATION, "late")], &[]).violates(1002),
        Case::new("end after the end", &[first.clone(), last.clone(), last.clone()], &fragmented)
            .violates(1002),
        Case::new("end after a whole", &[whole(TEXT, "a"), last.clone()], &[text("a")]).violates(1002),
        Case::new("text inside", &[first.clone(), whole(TEXT, "in")], &[]).violates(1002),
        Case::new("binary inside", &[first.clone(), whole(BINARY, "in")], &[]).violates(1002),
        Case::new("a first part inside", &[first.clone(), part(TEXT, "in"), last.clone()], &[])
            .violates(1002),
        Case::new("two messages", &[first, last, part(TEXT, "mo"), whole(CONTINUATION, "re")], &after),
    ];
    play(&cases, 20, plain);
}

#[test]
fn category_10_misc() {
    let payload = vec![b'*'; 65_536];
    let pieces: Vec<&[u8]> = payload.chunks(1_300).collect();
    let (last, others) = pieces.split_last().expect("there are pieces");
    let mut frames: Vec<Frame> = others.iter().map(|piece| part(CONTINUATION, *piece)).collect();
    frames[0].0 = TEXT;
    frames.push(whole(CONTINUATION, *last));
    let mixed = [whole(TEXT, "a"), whole(BINARY, "b"), whole(PING, ""), whole(TEXT, ""), whole(PONG, "")];
    let cases = [
        Case::new("64 KB in pieces of 1,300", &frames, &[text(payload)]),
        Case::new("one after another", &mixed, &[text("a"), binary("b"), ping(""), text(""), pong("")]),
        Case::new("nothing", &[], &[]),
    ];
    play(&cases, 3, plain);
}
