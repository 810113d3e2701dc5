//! V2 text frames.
#![no_main]

use bennu_protocol::{Frame, Serializer};
use libfuzzer_sys::fuzz_target;

#[path = "message.rs"]
mod message;

fuzz_target!(|bytes: &[u8]| message::check(Serializer::V2, Frame::text(bytes.to_vec())));
