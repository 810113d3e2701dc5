//! External terms: what decodes is written and read again as the same term.
#![no_main]

use bennu_token::Term;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(term) = Term::decode(bytes) else { return };
    let encoded = term.encode().expect("what was decoded can be encoded");
    assert_eq!(Term::decode(&encoded).as_ref(), Ok(&term));
});
