//! `bennu token`.

use serde_json::{Value, json};

use crate::program::{Run, bennu, command, run};

const SECRET: &str = "a secret of this test, long enough for everyone";

/// With the secret where it belongs: in the environment.
fn token(arguments: &[&str], stdin: &str) -> Run {
    let arguments = [&["token"], arguments].concat();
    run(command(&arguments).env("BENNU_SECRET", SECRET), stdin)
}

fn sign(arguments: &[&str]) -> String {
    let arguments = [&["sign", "--salt", "user socket"], arguments].concat();
    token(&arguments, "").ok().trim_end().to_owned()
}

#[test]
fn what_was_signed_is_verified() {
    for data in [r#"{"user_id":42}"#, "42", "null", r#""text""#, "[1,2.5,true]"] {
        for kind in [&[][..], &["--encrypt"]] {
            let signed = sign(&[&[data], kind].concat());
            let verified = token(&["verify", "--salt", "user socket", &signed], "");
            assert!(verified.stderr.starts_with("valid, signed 20"), "{}", verified.stderr);
            assert_eq!(verified.ok(), format!("{data}\n"));
        }
    }
}

#[test]
fn a_token_of_phoenix_is_verified() {
    // Of the fixtures that a real Phoenix made.
    let fixtures = include_str!("../../../../crates/bennu-token/tests/fixtures/tokens.jsonl");
    let mut checked = 0;
    for call in fixtures.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let (Some(operation @ ("sign" | "encrypt")), Some(signed)) =
            (call["op"].as_str(), call["output"].as_str())
        else {
            continue;
        };
        let mut command = command(&["token", "verify", "--salt", call["salt"].as_str().unwrap()]);
        let command =
            command.args(["--max-age", "infinity"]).env("BENNU_SECRET", call["secret"].as_str().unwrap());
        let options = call["opts"].as_object();
        if options.is_some_and(|options| options.keys().any(|name| name.starts_with("key_"))) {
            continue;
        }
        let verified = run(command, signed);
        assert_eq!(verified.code, 0, "{operation} of {call}: {}", verified.stderr);
        checked += 1;
    }
    assert!(checked >= 3, "only {checked} fixtures fit");
}

#[test]
fn tokens_are_read_from_standard_input_too() {
    let signed = sign(&["42"]);
    assert_eq!(token(&["verify", "--salt", "user socket"], &format!("{signed}\n")).ok(), "42\n");
    let signed = token(&["sign", "--salt", "user socket"], "{\"a\": 1}\n").ok();
    assert_eq!(token(&["verify", "--salt", "user socket", "-"], &signed).ok(), "{\"a\":1}\n");
}

#[test]
fn an_invalid_token_and_an_expired_one_are_told_apart() {
    let signed = sign(&["42", "--max-age", "0"]);
    let complaint = token(&["verify", "--salt", "user socket", &signed], "").failed(10);
    assert!(complaint.contains("expired"), "{complaint}");
    token(&["verify", "--salt", "user socket", "--max-age", "1h", &signed], "").ok();
    let complaint = token(&["verify", "--salt", "password reset", &signed], "").failed(9);
    assert!(complaint.contains("salt"), "{complaint}");
    token(&["verify", "--salt", "user socket", "--key-digest", "sha512", "--max-age", "1h", &signed], "")
        .failed(9);
    token(&["verify", "--salt", "user socket", "no token"], "").failed(9);
}

#[test]
fn verified_data_is_one_json_object_when_asked_for() {
    let signed = sign(&[r#"{"user_id":42}"#, "--max-age", "infinity"]);
    let verified: Value =
        serde_json::from_str(&token(&["verify", "--json", "--salt", "user socket", &signed], "").ok())
            .unwrap();
    assert_eq!(verified["data"], json!({"user_id": 42}));
    assert_eq!(verified["expires_at"], Value::Null);
    assert!(verified["signed_at"].as_str().unwrap().ends_with('Z'), "{verified}");
}

#[test]
fn the_secret_comes_from_a_file_too() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{SECRET}\n")).unwrap();
    let signed = sign(&["42"]);
    let path = file.path().to_str().unwrap();
    assert_eq!(
        bennu(&["token", "verify", "--salt", "user socket", "--secret-file", path, &signed]).ok(),
        "42\n"
    );
    assert_eq!(
        bennu(&["token", "verify", "--salt", "user socket", "--secret", SECRET, &signed]).ok(),
        "42\n"
    );
}

#[test]
fn the_secret_is_never_shown() {
    let short = "too short";
    for arguments in [
        &["token", "sign", "--salt", "s", "--secret", SECRET, "no json"][..],
        &["token", "sign", "--salt", "s", "--secret", short, "42"],
        &["token", "sign", "--secret", SECRET, "--secret-file", "nowhere", "--salt", "s", "42"],
        &["token", "verify", "--salt", "s", "--secret", SECRET, "no token"],
        &["token", "sign", "--help"],
    ] {
        let run = run(command(arguments).env("BENNU_SECRET", SECRET), "");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(!said.contains(SECRET) && !said.contains(short), "{said}");
    }
}

#[test]
fn without_a_secret_it_says_where_to_put_it() {
    let complaint = bennu(&["token", "sign", "--salt", "s", "42"]).failed(2);
    assert!(complaint.contains("BENNU_SECRET") && complaint.contains("--secret-file"), "{complaint}");
    let complaint = bennu(&["token", "sign", "--salt", "s", "--secret", "short", "42"]).failed(2);
    assert!(complaint.contains("20"), "{complaint}");
}

#[test]
fn data_that_is_no_json_is_explained() {
    let complaint = token(&["sign", "--salt", "s", "some text"], "").failed(2);
    assert!(complaint.contains("quotes"), "{complaint}");
}

#[test]
fn a_token_is_inspected_without_the_secret_and_said_not_to_be_verified() {
    let signed = sign(&[r#"{"user_id":42}"#, "--max-age", "2h"]);
    let shown = bennu(&["token", "inspect", &signed]).ok();
    for expected in
        ["signed (HMAC-SHA256)", r#"%{"user_id" => 42}"#, "max age:   2 h", "nothing was verified"]
    {
        assert!(shown.contains(expected), "{expected} is not in {shown}");
    }
    // Nothing asks for the signature to be right.
    let forged = format!("{}AAAA", &signed[..signed.len() - 4]);
    assert!(bennu(&["token", "inspect", &forged]).ok().contains("42"));

    let object: Value = serde_json::from_str(&bennu(&["token", "inspect", "--json", &signed]).ok()).unwrap();
    assert_eq!(object["data"], json!({"user_id": 42}));
    assert_eq!((&object["max_age"], &object["verified"]), (&json!(7200), &json!(false)));
}

#[test]
fn an_encrypted_token_is_told_from_a_signed_one() {
    let encrypted = sign(&["42", "--encrypt"]);
    let shown = bennu(&["token", "inspect", &encrypted]).ok();
    assert!(shown.contains("encrypted (XChaCha20-Poly1305)") && !shown.contains("42\n"), "{shown}");
}

#[test]
fn what_is_no_token_is_explained() {
    for (text, expected) in [
        ("eyJhbGciOiJIUzI1NiJ9.e30.x", "JSON Web Token"),
        ("", "begins with SFMyNTY."),
        ("SFMyNTY.only", "three parts"),
        ("SFMyNTY.!.x", "base64url"),
        ("SFMyNTY.aGVsbG8.x", "131"),
    ] {
        let complaint = token(&["inspect"], text).failed(9);
        assert!(complaint.contains(expected), "{text}: {complaint}");
    }
}
