//! Tokens and session cookies: nothing panics, and nothing that was not signed is accepted.
#![no_main]

use std::sync::LazyLock;

use bennu_token::{SecretKeyBase, SessionCookie, Term, Tokens, csrf};
use libfuzzer_sys::fuzz_target;

static TOKENS: LazyLock<Tokens> =
    LazyLock::new(|| Tokens::new(SecretKeyBase::new("abcdefgh".repeat(8)).expect("it is long enough")));

fuzz_target!(|text: &str| {
    // The seeds are signed with another secret, so that one that is accepted is a forgery.
    assert!(TOKENS.verify::<Term>("user socket", text).is_err());
    assert!(TOKENS.decrypt::<Term>("user socket", text).is_err());
    let signed = SessionCookie::new("_app_key", "signing salt");
    assert!(signed.decode(&TOKENS, text).is_none());
    assert!(signed.encryption_salt("encryption salt").decode(&TOKENS, text).is_none());
    let (session_token, sent) = text.split_at(text.floor_char_boundary(24));
    let _ = csrf::is_valid(session_token, sent);
});
