//! V1 frames, text and binary.
#![no_main]

use bennu_protocol::{Frame, Serializer};
use libfuzzer_sys::fuzz_target;

#[path = "message.rs"]
mod message;

fuzz_target!(|bytes: &[u8]| {
    message::check(Serializer::V1, Frame::text(bytes.to_vec()));
    message::check(Serializer::V1, Frame::binary(bytes.to_vec()));
});
