//! V2 binary frames.
#![no_main]

use bennu_protocol::{Frame, Serializer};
use libfuzzer_sys::fuzz_target;

#[path = "message.rs"]
mod message;

fuzz_target!(|bytes: &[u8]| message::check(Serializer::V2, Frame::binary(bytes.to_vec())));
