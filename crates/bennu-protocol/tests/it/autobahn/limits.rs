//! Category 9: limits.

use super::*;

const KB: usize = 1024;

/// A message in frames of so many bytes.
fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<Frame> {
    let mut frames: Vec<Frame> = payload.chunks(size).map(|piece| part(CONTINUATION, piece)).collect();
    frames.first_mut().expect("there is a payload").0 |= opcode;
    frames.last_mut().expect("there is a payload").0 |= FIN;
    frames
}

#[test]
fn category_9_limits() {
    let mut cases = Vec::new();
    for size in [64 * KB, 256 * KB, KB * KB, 4 * KB * KB, 8 * KB * KB] {
        for (name, opcode, item) in
            [("text", TEXT, text as fn(Vec<u8>) -> Item), ("binary", BINARY, binary as fn(Vec<u8>) -> Item)]
        {
            let payload = vec![b'*'; size];
            let frames = [whole(opcode, payload.clone())];
            cases.push(Case::new(format!("{name} of {size}"), &frames, &[item(payload)]));
        }
    }
    for fragment in [64, 256, KB, 4 * KB, 16 * KB, 64 * KB, 256 * KB, KB * KB] {
        for (name, opcode, item) in
            [("text", TEXT, text as fn(Vec<u8>) -> Item), ("binary", BINARY, binary as fn(Vec<u8>) -> Item)]
        {
            let payload = vec![b'*'; 256 * KB];
            let frames = fragments(opcode, &payload, fragment);
            cases.push(Case::new(format!("{name} in frames of {fragment}"), &frames, &[item(payload)]));
        }
    }
    // 1009 by what a header announces, and the largest that passes; a header takes 14 bytes, or 10.
    let large = |size: usize| vec![7; size];
    let over = 10_000_000 - 9;
    cases.push(Case::new("a frame over the limit", &[whole(BINARY, large(over))], &[]).violates(1009));
    let full = 10_000_000 - 14;
    cases.push(Case::new("a full frame", &[whole(BINARY, large(full))], &[binary(large(full))]));
    let frames = fragments(BINARY, &large(8_000_000), 2_000_000);
    cases.push(Case::new("a full message", &frames, &[binary(large(8_000_000))]));
    let frames = fragments(BINARY, &large(8_000_001), 2_000_000);
    cases.push(Case::new("a message over the limit", &frames, &[]).violates(1009));
    // Many small ones.
    for (name, count, size) in
        [("a thousand of 16", 1_000, 16), ("a thousand of 64", 1_000, 64), ("a hundred of 4 KB", 100, 4 * KB)]
    {
        for (opcode, item) in [(TEXT, text as fn(Vec<u8>) -> Item), (BINARY, binary as fn(Vec<u8>) -> Item)] {
            let payload = vec![b'*'; size];
            cases.push(Case::new(
                name,
                &vec![whole(opcode, payload.clone()); count],
                &vec![item(payload); count],
            ));
        }
    }
    let zeros = vec![vec![whole(TEXT, ""), whole(BINARY, "")]; 500].concat();
    cases.push(Case::new("a thousand of nothing", &zeros, &vec![vec![text(""), binary("")]; 500].concat()));
    let parts =
        [vec![part(TEXT, "")], vec![part(CONTINUATION, ""); 2_000], vec![whole(CONTINUATION, "")]].concat();
    cases.push(Case::new("a message of two thousand empty parts", &parts, &[text("")]));
    play(&cases, 38, plain);
}
