//! Session cookies and tokens against forged requests, as Plug writes them.

use bennu_token::{KeyOptions, SecretKeyBase, Session, SessionCookie, Term, Tokens, csrf};

/// Made with Python's `hmac` for the salt `signing`.
const SIGNED: &str = "SFMyNTY.g3QAAAACbQAAAAtfY3NyZl90b2tlbm0AAAAYaS1TM2FyUVdJSHBLY0h4TkJJUFdRMTRFbQAAAAd1c2VyX2lkYQc.svJknnQ9Dkj-A0ZL9fXVDaOa-VMYZJ7Y1UriIyf48EI";

/// Made with the Python package `cryptography`, as plug_crypto 1 encrypted: salts `encrypting` and `signing`.
const LEGACY: &str = "QTEyOEdDTQ.A2IITwRqMDCh7ej92y7uax30ZAZE6pxSMTzWgsV8hiZkZWZnaGlqa2xtbm8.CQoLDA0ODxAREhMU.cOnsVcauNPZ1wEqIsSg9O2fS64nYMnvIBSKqOwytSQ35jXxKJGLzaAyDPky-g4ulgHVKPSzkxjWj6B3q_b0N-5Q.OqIYqrnbJ9nzMglWsPiSXw";

/// What a Phoenix 1.8.12 server's session held, and the masked token in the page that it sent along.
const SESSION_TOKEN: &str = "i-S3arQWIHpKcHxNBIPWQ14E";
const PAGE_TOKEN: &str = "LU5iegsqGRIkfwcBNAUhKTEQNi8DaQQADc1IjXHEm7wJWMYgsYfxRX0E";

fn tokens() -> Tokens {
    Tokens::new(SecretKeyBase::new("abcdefgh".repeat(8)).unwrap())
}

fn session() -> Session {
    Session::new().with("user_id", 7).with("_csrf_token", SESSION_TOKEN)
}

fn signed() -> SessionCookie {
    SessionCookie::new("_app_key", "signing")
}

#[test]
fn a_signed_cookie_is_read_and_written_as_plug_does() {
    assert_eq!(signed().decode(&tokens(), SIGNED), Some(session()));
    assert_eq!(signed().encode(&tokens(), &session()).unwrap(), SIGNED);
}

#[test]
fn an_encrypted_cookie_is_read_and_written() {
    let cookie = signed().encryption_salt("encrypting");
    let value = cookie.encode(&tokens(), &session()).unwrap();
    assert!(value.starts_with("XCP."));
    assert_eq!(cookie.decode(&tokens(), &value), Some(session()));
    assert_eq!(cookie.decode(&tokens(), LEGACY), Some(session()));
    let other_signing = SessionCookie::new("_app_key", "other").encryption_salt("encrypting");
    assert_eq!(other_signing.decode(&tokens(), LEGACY), None);
}

#[test]
fn a_cookie_of_another_secret_salt_or_shape_holds_no_session() {
    let stranger = Tokens::new(SecretKeyBase::random());
    assert_eq!(signed().decode(&stranger, SIGNED), None);
    assert_eq!(SessionCookie::new("_app_key", "other").decode(&tokens(), SIGNED), None);
    assert_eq!(signed().key(KeyOptions::new().iterations(2)).decode(&tokens(), SIGNED), None);
    assert_eq!(signed().encryption_salt("encrypting").decode(&tokens(), SIGNED), None);
    for value in ["", "..", "garbage", LEGACY, &SIGNED[1..], &SIGNED[..SIGNED.len() - 1]] {
        assert_eq!(signed().decode(&tokens(), value), None, "{value}");
    }
    // A token that was signed with the salt of the session is no session.
    let token = tokens().sign("signing", &1).unwrap();
    assert_eq!(signed().decode(&tokens(), &token), None);
}

#[test]
fn a_session_gives_what_it_holds_and_shows_only_names() {
    let session = session().with("roles", Term::list(["admin"]));
    assert_eq!(session.get::<u64>("user_id"), Some(7));
    assert_eq!(session.get::<String>("user_id"), None);
    assert_eq!(session.get::<Vec<String>>("roles"), Some(vec!["admin".to_owned()]));
    assert_eq!(session.text("_csrf_token"), Some(SESSION_TOKEN));
    assert_eq!(session.text("nothing"), None);
    assert_eq!(session.names().collect::<Vec<_>>(), ["_csrf_token", "roles", "user_id"]);
    assert_eq!(format!("{session:?}"), r#"Session{"_csrf_token", "roles", "user_id"}"#);
}

#[test]
fn the_token_in_a_phoenix_page_matches_its_session() {
    assert!(csrf::is_valid(SESSION_TOKEN, PAGE_TOKEN));
    let changed = PAGE_TOKEN.replace('W', "V");
    assert!(!csrf::is_valid(SESSION_TOKEN, &changed));
}
