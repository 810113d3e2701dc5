//! Section 18.8 of the channels specification: checks 138 to 140.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bennu_token::{
    KeyDigest, KeyOptions, MaxAge, SecretKeyBase, SignOptions, Term, TokenError, Tokens, VerifyOptions,
};

const ENCRYPTED: &str = "XCP.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXODTEd7QnTlTPFGt2Zo8WJSy7jkbLWhPeI6aLcQ";

fn tokens() -> Tokens {
    Tokens::new(SecretKeyBase::new("abcdefgh".repeat(8)).unwrap())
}

fn at(unix_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(unix_ms)
}

fn signed_at(unix_ms: u64) -> SignOptions {
    SignOptions::new().signed_at(at(unix_ms))
}

fn ever() -> VerifyOptions {
    VerifyOptions::new().max_age(MaxAge::Infinity)
}

/// The data of vector E.
fn mixed() -> Term {
    Term::Tuple(vec![
        Term::atom("user"),
        Term::from(-5),
        Term::list([1, 2]),
        Term::List(vec![300.into(), "x".into()]),
        Term::nil(),
        Term::Float(1.5),
    ])
}

#[test]
fn check_138_vectors_sign_and_verify_byte_for_byte() {
    let fast = KeyOptions::new().iterations(1).digest(KeyDigest::Sha512);
    let hour = Duration::from_secs(3600);
    for (name, salt, data, options, token) in [
        (
            "A",
            "user auth",
            1.into(),
            signed_at(0),
            "SFMyNTY.g2gDYQFhAGIAAVGA.6ZtIuy4vHo6LwprLkWqUde0Alr_sRLCu73PXUenFso4",
        ),
        (
            "B",
            "user auth",
            "user:42".into(),
            signed_at(1_700_000_000_000),
            "SFMyNTY.g2gDbQAAAAd1c2VyOjQybgYAAGjlz4sBYgABUYA.3_cewmUBxBB_gUyl4xQV3mnxrX1oomSfZRKfnaigefI",
        ),
        (
            "D",
            "user auth",
            1.into(),
            signed_at(0).max_age(MaxAge::Infinity),
            "SFMyNTY.g2gDYQFhAHcIaW5maW5pdHk.8ag1KgucusxsVkmqHPbzbKqi0Sef1JTUwuK7hPQr1iE",
        ),
        (
            "E",
            "lobby",
            mixed(),
            signed_at(1_700_000_000_000).max_age(hour),
            "SFMyNTY.g2gDaAZ3BHVzZXJi____-2sAAgECbAAAAAJiAAABLG0AAAABeGp3A25pbEY_-AAAAAAAAG4GAABo5c-LAWIAAA4Q.U77iTo6fiNFVJCaFyUa78G2tN1yZL0QrC4QZ-4rhxFM",
        ),
        (
            "F",
            "user auth",
            1.into(),
            signed_at(0).key(fast),
            "SFMyNTY.g2gDYQFhAGIAAVGA.vOXv3VIVCfXg_4DecouQYLo7xm8Ka8ce4xXDd40T0DE",
        ),
    ] {
        assert_eq!(tokens().sign_with(salt, &data, &options).unwrap(), token, "{name}");
        let key = if name == "F" { fast } else { KeyOptions::new() };
        let verified = tokens().verify_with::<Term>(salt, token, &ever().key(key)).unwrap();
        assert_eq!(verified.data, data, "{name}");
        assert_eq!(verified.expires_at, None, "{name}");
    }
}

#[test]
fn check_138_a_map_with_a_fraction_of_a_second() {
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct User {
        role: String,
        id: u64,
    }
    let token = "SFMyNTY.g2gDdAAAAAJtAAAAAmlkYWNtAAAABHJvbGVtAAAABWFkbWlubgYAe2jlz4sBYgASdQA.ijt306eRZIkEbQk6Z3TKOmCpa7_4uyH3-c1N1B9fYGc";
    let tokens = Tokens::new(SecretKeyBase::new("kjoy3o1zeidquwy1398juxzldjlksahdk3").unwrap());
    let user = User { role: "admin".to_owned(), id: 99 };
    let options = signed_at(1_700_000_000_123).max_age(Duration::from_secs(1_209_600));
    assert_eq!(tokens.sign_with("user salt", &user, &options).unwrap(), token);
    let now = VerifyOptions::new().now(at(1_700_000_000_123));
    let verified = tokens.verify_with::<User>("user salt", token, &now).unwrap();
    assert_eq!(verified.data, user);
    assert_eq!(verified.signed_at, at(1_700_000_000_123));
    assert_eq!(verified.expires_at, Some(at(1_700_000_000_123 + 1_209_600_000)));
}

#[test]
fn check_138_atoms_of_old_erlang_versions_verify() {
    let infinity = "SFMyNTY.g2gDYQFhAGQACGluZmluaXR5.QodpodUljOZJ0ToLalGE_EYCUXiLrz7yRHNxHvrfjis";
    assert_eq!(tokens().verify::<u64>("user auth", infinity).unwrap().data, 1);
    let e = "SFMyNTY.g2gDaAZkAAR1c2VyYv____trAAIBAmwAAAACYgAAASxtAAAAAXhqZAADbmlsRj_4AAAAAAAAbgYAAGjlz4sBYgAADhA.0dWIUFhQfuHVkKlm886_REC85JmZfIZf_ixZraVyWbg";
    assert_eq!(tokens().verify_with::<Term>("lobby", e, &ever()).unwrap().data, mixed());
}

#[test]
fn check_139_the_encrypted_vector_decrypts() {
    let options = VerifyOptions::new().now(at(0));
    let verified = tokens().decrypt_with::<u64>("user auth", ENCRYPTED, &options).unwrap();
    assert_eq!((verified.data, verified.signed_at), (1, at(0)));
}

#[test]
fn check_139_a_changed_byte_anywhere_is_invalid() {
    let tokens = tokens();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ";
    for at in 0..ENCRYPTED.len() {
        for byte in alphabet {
            let mut changed = ENCRYPTED.as_bytes().to_vec();
            changed[at] = *byte;
            let changed = String::from_utf8(changed).unwrap();
            let expected = if changed == ENCRYPTED { Ok(1) } else { Err(TokenError::Invalid) };
            let decrypted = tokens.decrypt_with::<u64>("user auth", &*changed, &ever());
            assert_eq!(decrypted.map(|verified| verified.data), expected, "{changed}");
        }
    }
}

#[test]
fn check_140_each_way_to_fail_has_its_error() {
    let token = tokens().sign_with("user auth", &1, &signed_at(1_000_000)).unwrap();
    let encrypted = tokens().encrypt_with("user auth", &1, &signed_at(1_000_000)).unwrap();
    let day = Duration::from_secs(86_400);
    for (name, salt, signed, encrypted, options, expected) in [
        ("in time", "user auth", Some(&*token), Some(&*encrypted), now(1_000_000, day), Ok(1)),
        (
            "other salt",
            "other",
            Some(&*token),
            Some(&*encrypted),
            now(1_000_000, day),
            Err(TokenError::Invalid),
        ),
        ("nil", "user auth", None, None, now(1_000_000, day), Err(TokenError::Missing)),
        ("last moment", "user auth", Some(&*token), Some(&*encrypted), now(1_060_000, day / 1440), Ok(1)),
        (
            "over age",
            "user auth",
            Some(&*token),
            Some(&*encrypted),
            now(1_060_001, day / 1440),
            Err(TokenError::Expired),
        ),
        (
            "no age",
            "user auth",
            Some(&*token),
            Some(&*encrypted),
            now(1_000_000, Duration::ZERO),
            Err(TokenError::Expired),
        ),
        (
            "fraction",
            "user auth",
            Some(&*token),
            Some(&*encrypted),
            now(1_000_501, Duration::from_millis(500)),
            Err(TokenError::Expired),
        ),
        (
            "future",
            "user auth",
            Some(&*token),
            Some(&*encrypted),
            now(999_999, day),
            Err(TokenError::Invalid),
        ),
        (
            "garbage",
            "user auth",
            Some("garbage"),
            Some("garbage"),
            now(1_000_000, day),
            Err(TokenError::Invalid),
        ),
        ("empty", "user auth", Some(""), Some(""), now(1_000_000, day), Err(TokenError::Invalid)),
        (
            "the other kind",
            "user auth",
            Some(&*encrypted),
            Some(&*token),
            now(1_000_000, day),
            Err(TokenError::Invalid),
        ),
    ] {
        let verified = tokens().verify_with::<u64>(salt, signed, &options).map(|verified| verified.data);
        let decrypted = tokens().decrypt_with::<u64>(salt, encrypted, &options).map(|verified| verified.data);
        assert_eq!(verified, expected, "{name}");
        assert_eq!(decrypted, expected, "{name}, encrypted");
    }
}

fn now(unix_ms: u64, max_age: Duration) -> VerifyOptions {
    VerifyOptions::new().now(at(unix_ms)).max_age(max_age)
}

#[test]
fn the_age_in_the_token_counts_unless_the_verifier_names_one() {
    let second = Duration::from_secs(1);
    let token = tokens().sign_with("s", &1, &signed_at(0).max_age(second)).unwrap();
    let fraction = tokens().sign_with("s", &1, &signed_at(0).max_age(second * 3 / 2)).unwrap();
    for (name, token, options, expected) in [
        ("own age", &token, VerifyOptions::new().now(at(1000)), true),
        ("own age over", &token, VerifyOptions::new().now(at(1001)), false),
        ("longer", &token, now(1001, 2 * second), true),
        ("fraction", &fraction, VerifyOptions::new().now(at(1500)), true),
        ("fraction over", &fraction, VerifyOptions::new().now(at(1501)), false),
    ] {
        assert_eq!(tokens().verify_with::<u64>("s", &**token, &options).is_ok(), expected, "{name}");
    }
}

#[test]
fn tokens_of_older_versions_are_a_day_valid() {
    // `{1, 0}` and `%{data: 1, signed: 0}`, signed as vector A is.
    for token in [
        "SFMyNTY.g2gCYQFhAA.F772aJzNe0i36moxrA42ZekfCF8lYSSnY2JeL7Rd4Y8",
        "SFMyNTY.g3QAAAACdwRkYXRhYQF3BnNpZ25lZGEA.a5uI-hwFY5uS7lDlDZTPZ6HKrzQHrfFL75MKlw4lARg",
    ] {
        let day = 86_400_000;
        for (ms, expected) in [(day, true), (day + 1, false)] {
            let options = VerifyOptions::new().now(at(ms));
            assert_eq!(
                tokens().verify_with::<u64>("user auth", token, &options).is_ok(),
                expected,
                "{token}"
            );
        }
    }
}

#[test]
fn tokens_of_plug_crypto_1_decrypt() {
    // Made with the Python package `cryptography`: of vector A, with content keys of 16, 24 and 32 bytes.
    for (length, token) in [
        (
            32,
            "QTEyOEdDTQ.WJ1AiCtUQxjAXMGwnfkLR9znsiM8ujKlM3VC45WM4VtkZWZnaGlqa2xtbm8.BwgJCgsMDQ4PEBES.btpftQ_da9zkx9JL.-Q5DcIoVxM6XjJ8l2i-k8A",
        ),
        (
            32,
            "QTEyOEdDTQ.WJ1AiCtUQxjAXMGwnfkLR1QkMJj1UDajCDRSJ8Q4SOZf0mlE52hAhjc58ehfYBgcZGVmZ2hpamtsbW5v.BwgJCgsMDQ4PEBES.0wso_SkzEfICKpH_.v9Vov4geMaaQaM2q3bd_hg",
        ),
        (
            16,
            "QTEyOEdDTQ.8_C1wBoUqXIrf0cpwGiXeK-LmwGLx9ifQv3PaB8ykp5lhSRPp6mcYmRlZmdoaWprbG1ubw.BwgJCgsMDQ4PEBES.3ip9EW49BQjA0YNC.CZ92HC96HRxtaclfUZRvVA",
        ),
        (
            24,
            "QTEyOEdDTQ.mS6dAY3QSEwDIVbISS7Z171qjM7-vLwTslko4tqzulwtVJ_iJCgy72RlZmdoaWprbG1ubw.BwgJCgsMDQ4PEBES.3ip9EW49BQjA0YNC.CZ92HC96HRxtaclfUZRvVA",
        ),
    ] {
        let options = VerifyOptions::new().now(at(0)).key(KeyOptions::new().length(length));
        assert_eq!(tokens().decrypt_with::<u64>("user auth", token, &options).unwrap().data, 1, "{token}");
        for part in 1..5 {
            let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
            let first = if parts[part].starts_with('A') { "B" } else { "A" };
            parts[part].replace_range(..1, first);
            let changed = tokens().decrypt_with::<u64>("user auth", &*parts.join("."), &options);
            assert_eq!(changed.unwrap_err(), TokenError::Invalid, "part {part} of {token}");
        }
    }
}

#[test]
fn a_compressed_token_is_shorter_and_verifies() {
    let data = "la".repeat(1000);
    let plain = tokens().sign("s", &data).unwrap();
    let compressed = tokens().sign_with("s", &data, &SignOptions::new().compressed(true)).unwrap();
    assert!(compressed.len() * 10 < plain.len());
    assert_eq!(tokens().verify::<String>("s", &*compressed).unwrap().data, data);
}

#[test]
fn genuine_data_of_another_type_is_unreadable() {
    let token = tokens().sign("s", "text").unwrap();
    let error = tokens().verify::<u64>("s", &*token).unwrap_err();
    assert!(matches!(error, TokenError::Unreadable(_)), "{error:?}");
    assert!(!error.to_string().contains("text"));
}

#[test]
fn encryption_asks_for_a_key_of_32_bytes() {
    let options = SignOptions::new().key(KeyOptions::new().length(16));
    assert!(tokens().encrypt_with("s", &1, &options).is_err());
}

#[test]
fn secrets_are_long_enough_and_never_shown() {
    assert_eq!(SecretKeyBase::new("x".repeat(19)).unwrap_err().bytes, 19);
    let secret = SecretKeyBase::new("0123456789 a secret text").unwrap();
    let tokens = Tokens::new(secret.clone());
    tokens.sign("s", &1).unwrap();
    let shown = format!("{secret:?} {tokens:?}");
    assert_eq!(shown, "SecretKeyBase(..) Tokens(..)");
    let token = Tokens::new(SecretKeyBase::random()).sign("s", &1).unwrap();
    assert_eq!(Tokens::new(SecretKeyBase::random()).verify::<u64>("s", &*token), Err(TokenError::Invalid));
}

#[test]
fn a_clock_of_ones_own_is_what_ages_are_measured_by() {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let told = clock.clone();
    let tokens = Tokens::with_clock(SecretKeyBase::random(), move || at(told.load(Ordering::Relaxed)));
    let token = tokens.sign("s", &1).unwrap();
    assert_eq!(tokens.verify::<u64>("s", &*token).unwrap().signed_at, at(1_000_000));
    clock.fetch_add(86_400_000, Ordering::Relaxed);
    assert!(tokens.verify::<u64>("s", &*token).is_ok());
    clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(tokens.verify::<u64>("s", &*token), Err(TokenError::Expired));
}
