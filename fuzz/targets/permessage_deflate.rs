//! The negotiation of compression: nothing panics, whatever is offered or answered; an answer of ours is always one that our
//! client understands; and nothing that was offered in front of a good offer takes it away, quotes aside.
#![no_main]

use bennu_protocol::websocket::permessage_deflate::{OFFER, agreed, answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = agreed(text.lines());
    let answered = answer(text.lines());
    if let Some(answered) = answered {
        assert!(agreed([answered]).is_ok());
    }
    assert!(answer(text.lines().chain([OFFER])).is_some());
    if !text.contains(['"', '\\']) {
        assert!(answer([&*format!("{text}, {OFFER}")]).is_some());
    }
});
