//! The frame decoder, with compression and without: however a stream is cut into reads, the same items come
//! out, or the same violation, and nothing larger than the limits.
#![no_main]

use bennu_protocol::websocket::{Decoder, Item, Limits, ProtocolViolation, Role};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, stream)) = bytes.split_first() else { return };
    let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
    let inflates = choice & 2 != 0;
    let decode = |step| decode(role, inflates, stream, step);
    let whole = decode(stream.len().max(1));
    for step in [1, 2, 3, 7, usize::from(choice) + 1] {
        assert_eq!(decode(step), whole, "cut every {step} bytes");
    }
});

/// More than the limits of what is not compressed.
const MAX_INFLATED: usize = 100_000;

fn decode(role: Role, inflates: bool, stream: &[u8], step: usize) -> (Vec<Item>, Option<ProtocolViolation>) {
    let mut limits = Limits::default();
    limits.max_frame_size = 4096;
    limits.max_message_size = 8192;
    let mut decoder = Decoder::new(role, limits);
    if inflates {
        decoder = decoder.inflating(MAX_INFLATED);
    }
    let mut items = Vec::new();
    for piece in stream.chunks(step) {
        let mut piece = piece.to_vec();
        let mut unread = piece.as_mut_slice();
        loop {
            match decoder.decode(&mut unread) {
                Ok(Some(item)) => {
                    let is_close = matches!(item, Item::Close(_));
                    if let Item::Text(payload) | Item::Binary(payload) = &item {
                        assert!(payload.len() <= MAX_INFLATED);
                    }
                    items.push(item);
                    if is_close {
                        return (items, None);
                    }
                }
                Ok(None) => break,
                Err(violation) => return (items, Some(violation)),
            }
        }
    }
    (items, None)
}
