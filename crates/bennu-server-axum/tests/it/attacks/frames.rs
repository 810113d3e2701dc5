//! Cases 13, 14, 17, 19 and 20: frames that break RFC 6455 or a limit.

use bennu_server::SocketOptions;

use crate::peer::Peer;
use crate::running::{Running, Settings};

/// A frame with a mask of zeros, whatever its first byte and its length say.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A header of a text frame that announces so many bytes in 64 bits.
fn announcing(length: u64) -> Vec<u8> {
    [&[0x81, 0x80 | 127][..], &length.to_be_bytes(), &[0; 4]].concat()
}

/// Sends the bytes on a fresh connection; the server must close with `code` and serve on.
async fn check(settings: impl Fn() -> Settings, cases: &[(&str, Vec<u8>, u16)]) {
    let server = Running::start(settings()).await;
    let mut other = Peer::joined(server.address, "room:a").await;
    for (what, bytes, code) in cases {
        let mut peer = Peer::joined(server.address, "room:a").await;
        peer.write(bytes).await;
        assert_eq!(peer.closed().await, *code, "{what}");
        other.expect_echo("room:a").await;
    }
}

#[tokio::test]
async fn attack_013_an_unmasked_frame_closes_with_1002() {
    let unmasked = b"\x81\x02{}".to_vec();
    check(Settings::default, &[("unmasked", unmasked, 1002)]).await;
}

#[tokio::test]
async fn attack_014_a_length_over_the_limit_closes_with_1009_before_its_payload_comes() {
    // Only the header is sent: had the server waited for the payload, it would not close.
    check(
        Settings::default,
        &[
            ("the largest length", announcing((1 << 63) - 1), 1009),
            ("one over the limit", announcing(10_000_001), 1009),
            ("the highest bit", announcing(1 << 63), 1009),
            ("all bits", announcing(u64::MAX), 1009),
        ],
    )
    .await;
}

#[tokio::test]
async fn attack_017_fragments_over_the_message_limit_close_with_1009() {
    let settings = || {
        let socket = SocketOptions::default().max_message_size(10_000);
        Settings { socket, ..Settings::default() }
    };
    let fragment = [b'x'; 1_000];
    let begin = masked(0x01, &fragment);
    let eleven = [begin, masked(0x00, &fragment).repeat(10)].concat();
    check(settings, &[("eleven small fragments", eleven, 1009)]).await;
}

#[tokio::test]
async fn attack_019_reserved_bits_opcodes_and_bad_control_frames_close_with_1002() {
    check(
        Settings::default,
        &[
            ("reserved bit 1", masked(0xc1, b"{}"), 1002),
            ("reserved bit 2", masked(0xa1, b"{}"), 1002),
            ("reserved bit 3", masked(0x91, b"{}"), 1002),
            ("compressed ping", masked(0xc9, b""), 1002),
            ("long ping", masked(0x89, &[0; 126]), 1002),
            ("fragmented ping", masked(0x09, b""), 1002),
            ("data opcode 3", masked(0x83, b""), 1002),
            ("control opcode 11", masked(0x8b, b""), 1002),
            ("continuation of nothing", masked(0x80, b""), 1002),
            ("text within a fragmented text", [masked(0x01, b"["), masked(0x81, b"]")].concat(), 1002),
            ("close with one byte", masked(0x88, b"x"), 1002),
            ("close with a code that nobody may send", masked(0x88, &1006_u16.to_be_bytes()), 1002),
        ],
    )
    .await;
}

#[tokio::test]
async fn attack_020_text_that_is_not_utf8_closes_with_1007_also_across_frames() {
    check(
        Settings::default,
        &[
            ("in one frame", masked(0x81, b"\xff"), 1007),
            ("cut at the end", masked(0x81, b"\xe2\x82"), 1007),
            ("wrong across frames", [masked(0x01, b"\xe2"), masked(0x80, b"\x28\xa1")].concat(), 1007),
            ("surrogate", masked(0x81, b"\xed\xa0\x80"), 1007),
        ],
    )
    .await;
}
