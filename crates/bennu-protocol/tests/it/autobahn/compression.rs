//! Categories 12 and 13: compression.

use bennu_protocol::websocket::{Opcode, encode_compressed, permessage_deflate};

use super::*;

const MAX: usize = 1 << 20;

fn inflating(role: Role) -> Decoder {
    plain(role).inflating(MAX)
}

/// What we compress to, without the header: another implementation has the last word in `agreement`.
fn compressed(payload: &[u8]) -> Vec<u8> {
    let frame = encode_compressed(Opcode::Binary, payload, None).expect("it becomes shorter");
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame[header..].to_vec()
}

/// Text that repeats itself, of so many bytes.
fn sample(size: usize) -> Vec<u8> {
    br#"{"id":4711,"name":"hammer","price":"12.50","tags":["tool","steel"]},"#.iter().copied().cycle().take(size).collect()
}

#[test]
fn category_12_compression() {
    let mut cases = Vec::new();
    for size in [150, 256, 1_000, 1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072] {
        let payload = sample(size);
        let deflated = compressed(&payload);
        let (start, end) = deflated.split_at(deflated.len() / 2);
        for (kind, opcode, item) in
            [("text", TEXT, text(payload.clone())), ("binary", BINARY, binary(payload.clone()))]
        {
            let name = |how: &str| format!("{kind} of {size}, {how}");
            let first = (RSV1 | opcode, start.to_vec());
            let last = whole(CONTINUATION, end);
            let one = [(FIN | RSV1 | opcode, deflated.clone())];
            let items = [item.clone()];
            cases.push(Case::new(name("whole"), &one, &items));
            cases.push(Case::new(
                name("thrice"),
                &[one[0].clone(), whole(opcode, payload.clone()), one[0].clone()],
                &vec![item.clone(); 3],
            ));
            cases.push(Case::new(
                name("in two"),
                &[first.clone(), whole(PING, ""), last.clone()],
                &[ping(""), item],
            ));
        }
    }
    let deflated = compressed(&sample(1_000));
    let (start, end) = deflated.split_at(5);
    let bad_text = compressed(&[b"\xff".repeat(100)].concat());
    let of = |first: u8, payload: &[u8]| (first, payload.to_vec());
    let good = [text(sample(1_000))];
    let bomb = compressed(&vec![0; MAX + 1]);
    let fits = compressed(&vec![0; MAX]);
    cases.extend([
        Case::new("the example of the RFC", &[of(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")], &[text("Hello")]),
        Case::new(
            "an example in two",
            &[of(0x41, b"\xf2\x48\xcd"), of(0x80, b"\xc9\xc9\x07\x00")],
            &[text("Hello")],
        ),
        Case::new("a stored block", &[of(0xc1, b"\x00\x05\x00\xfa\xffHello\x00")], &[text("Hello")]),
        Case::new("a final block", &[of(0xc1, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00")], &[text("Hello")]),
        Case::new(
            "two blocks",
            &[of(0xc1, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")],
            &[text("Hello")],
        ),
        Case::new("an empty message", &[of(0xc1, b"\x00")], &[text("")]),
        Case::new("empty parts", &[of(0x41, b""), of(0x00, &deflated), of(0x80, b"")], &good),
        Case::new("not compressed", &[whole(TEXT, "plain")], &[text("plain")]),
        Case::new("RSV1 on the last part", &[of(0x41, start), of(0xc0, end)], &[]).violates(1002),
        Case::new("RSV1 on the last part alone", &[of(0x01, start), of(0xc0, end)], &[]).violates(1002),
        Case::new("RSV1 on a ping", &[of(0xc9, b"")], &[]).violates(1002),
        Case::new("RSV1 on a pong", &[of(0xca, b"")], &[]).violates(1002),
        Case::new("RSV1 on a close", &[of(0xc8, b"\x03\xe8")], &[]).violates(1002),
        Case::new("RSV2 beside it", &[of(0xe1, &deflated)], &[]).violates(1002),
        Case::new("RSV3 beside it", &[of(0xd1, &deflated)], &[]).violates(1002),
        Case::new("compressed what is not utf-8", &[of(0xc1, &bad_text)], &[]).violates(1007),
        Case::new("a block of no type", &[of(0xc1, b"\x06")], &[]).violates(1007),
        Case::new("what is cut off", &[of(0xc2, &deflated[..deflated.len() - 3])], &[]).violates(1007),
        Case::new("as large as may be", &[of(0xc2, &fits)], &[binary(vec![0; MAX])]),
        Case::new("a bomb", &[of(0xc2, &bomb)], &[]).violates(1009),
        Case::new("a bomb in two", &[of(0x42, &bomb[..500]), of(0x80, &bomb[500..])], &[]).violates(1009),
    ]);
    play(&cases, 81, inflating);
}

/// The parameters that the suite goes through: alone, together, and in lists of offers.
#[test]
fn category_13_parameters_of_the_offer() {
    let takeovers = ["", "; server_no_context_takeover", "; client_no_context_takeover"];
    let (mut count, mut accepted) = (0, 0);
    let mut check = |offer: &str, is_accepted: bool| {
        let answer = permessage_deflate::answer([offer]);
        assert_eq!(answer.is_some(), is_accepted, "{offer}");
        assert!(answer.is_none_or(|answer| permessage_deflate::agreed([answer]).is_ok()), "{offer}");
        (count, accepted) = (count + 1, accepted + usize::from(is_accepted));
    };
    for takeover in takeovers {
        check(&format!("permessage-deflate{takeover}; client_max_window_bits"), true);
        for bits in 7..=16 {
            let (is_window, is_ours) = ((8..=15).contains(&bits), bits == 15);
            check(&format!("permessage-deflate{takeover}; client_max_window_bits={bits}"), is_window);
            check(&format!("permessage-deflate{takeover}; server_max_window_bits={bits}"), is_ours);
        }
    }
    check(
        "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=15",
        true,
    );
    check("permessage-deflate; server_max_window_bits=9, permessage-deflate", true);
    check("permessage-deflate; server_no_context_takeover; client_no_context_takeover", true);
    check("permessage-deflate; server_max_window_bits=9, x-other", false);
    assert_eq!((count, accepted), (67, 33));
}
