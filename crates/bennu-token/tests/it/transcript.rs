//! Every call of `tokens.jsonl`, which a real Phoenix server answered.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu_token::{
    KeyDigest, KeyOptions, SecretKeyBase, SignOptions, Term, TokenError, Tokens, VerifyOptions,
};
use serde_json::Value;

const TRANSCRIPT: &str = include_str!("../fixtures/tokens.jsonl");

/// One call: what was asked and what the server answered.
struct Call(Value);

impl Call {
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    fn option(&self, name: &str) -> Option<u64> {
        self.0["opts"][name].as_u64()
    }

    fn tokens(&self) -> Tokens {
        Tokens::new(SecretKeyBase::new(self.text("secret")).unwrap())
    }

    fn key(&self) -> KeyOptions {
        let mut key = KeyOptions::new();
        if let Some(iterations) = self.option("key_iterations") {
            key = key.iterations(u32::try_from(iterations).unwrap());
        }
        if let Some(bytes) = self.option("key_length") {
            key = key.length(usize::try_from(bytes).unwrap());
        }
        match self.0["opts"]["key_digest"].as_str() {
            None => key,
            Some("sha") => key.digest(KeyDigest::Sha1),
            Some("sha512") => key.digest(KeyDigest::Sha512),
            Some(other) => panic!("{other}"),
        }
    }

    fn sign_options(&self, signed_at: SystemTime) -> SignOptions {
        let options = SignOptions::new().key(self.key()).signed_at(signed_at);
        match self.option("max_age") {
            Some(seconds) => options.max_age(Duration::from_secs(seconds)),
            None => options,
        }
    }

    fn verify_options(&self, now: SystemTime) -> VerifyOptions {
        let options = VerifyOptions::new().key(self.key()).now(now);
        match self.option("max_age") {
            Some(seconds) => options.max_age(Duration::from_secs(seconds)),
            None => options,
        }
    }
}

fn calls() -> Vec<Call> {
    let calls = TRANSCRIPT.lines().skip(1).map(|line| Call(serde_json::from_str(line).unwrap()));
    calls.collect()
}

/// The terms of the transcript, by their Elixir source. None of them came from their encoding.
fn terms() -> HashMap<&'static str, Term> {
    let improper = Term::ImproperList(vec![1.into()], Box::new(2.into()));
    let empty = || Term::Tuple(Vec::new());
    let nested = Term::Tuple(vec![1.into(), Term::Tuple(vec![2.into(), empty()])]);
    let with_tuple = Term::Tuple(vec![Term::Float(1.5), Term::nil()]);
    [
        ("1", 1.into()),
        ("255", 255.into()),
        ("256", 256.into()),
        ("-1", Term::from(-1)),
        ("2147483647", i32::MAX.into()),
        ("2147483648", 2_147_483_648_u32.into()),
        ("9007199254740993", 9_007_199_254_740_993_u64.into()),
        ("123456789012345678901234567890", 123_456_789_012_345_678_901_234_567_890_u128.into()),
        ("-5000000000", Term::from(-5_000_000_000_i64)),
        ("1.5", 1.5.into()),
        ("-0.0", Term::from(-0.0)),
        ("\"user:42\"", "user:42".into()),
        ("\"\"", "".into()),
        ("\"é✓\"", "é✓".into()),
        (":ok", Term::atom("ok")),
        (":é", Term::atom("é")),
        ("nil", Term::nil()),
        ("true", true.into()),
        ("{:user, 7}", Term::Tuple(vec![Term::atom("user"), 7.into()])),
        ("[1, 2, 3]", Term::list([1, 2, 3])),
        ("[]", Term::List(Vec::new())),
        ("[1, \"a\", :b]", Term::List(vec![1.into(), "a".into(), Term::atom("b")])),
        ("[1|2]", improper),
        ("%{}", Term::map::<&str, i64>([])),
        ("%{\"id\" => 1}", Term::map([("id", 1)])),
        ("%{id: 7}", Term::map([(Term::atom("id"), 7)])),
        (
            "%{id: 7, role: \"admin\"}",
            Term::map([(Term::atom("id"), Term::from(7)), (Term::atom("role"), "admin".into())]),
        ),
        (
            "%{a: [1, 2], b: {1.5, nil}}",
            Term::map([(Term::atom("a"), Term::list([1, 2])), (Term::atom("b"), with_tuple)]),
        ),
        ("{1, {2, {}}}", nested),
        ("'abc'", Term::list(*b"abc")),
        ("<<1, 0, 255>>", Term::Binary(vec![1, 0, 255])),
        ("<<5::3>>", Term::Bitstring { bytes: vec![0b1010_0000], last_bits: 3 }),
        ("String.duplicate(\"x\", 300)", "x".repeat(300).into()),
        ("List.to_tuple(Enum.to_list(1..300))", Term::tuple(1..=300)),
        ("Map.new(1..40, &{&1, &1})", Term::map((1..=40).map(|n| (n, n)))),
        ("\"x\"", "x".into()),
        ("\"now\"", "now".into()),
        ("\"future\"", "future".into()),
        ("\"inf\"", "inf".into()),
    ]
    .into()
}

/// Erlang writes these in the order of its table of atoms, or of its hashes.
fn is_written_in_an_order_of_its_own(source: &str) -> bool {
    source.starts_with("%{a:") || source.starts_with("Map.new")
}

fn decode(bytes: &str) -> Term {
    Term::decode(&STANDARD.decode(bytes).unwrap()).unwrap()
}

fn at(unix_seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix_seconds)
}

/// When the server was asked: it signed one token with its own time.
fn recorded_at() -> SystemTime {
    let calls = calls();
    let now = calls.iter().find(|call| call.text("term") == "\"now\"").unwrap();
    let options = VerifyOptions::new().max_age(bennu_token::MaxAge::Infinity);
    now.tokens().verify_with::<Term>("user salt", now.text("output"), &options).unwrap().signed_at
}

#[test]
fn terms_are_read_and_written_as_erlang_does() {
    let (terms, calls) = (terms(), calls());
    let encodings: Vec<_> = calls.iter().filter(|call| call.text("op") == "etf").collect();
    assert_eq!(encodings.len(), 34);
    for call in encodings {
        let (source, bytes) = (call.text("term"), STANDARD.decode(call.text("output")).unwrap());
        let (term, read) = (&terms[source], decode(call.text("output")));
        assert_eq!(&read, term, "{source}");
        assert_eq!(read.encode().unwrap(), bytes, "{source}, read and written again");
        let own = term.encode().unwrap();
        assert_eq!(own == bytes, !is_written_in_an_order_of_its_own(source), "{source}");
        assert_eq!(&Term::decode(&own).unwrap(), term, "{source}");
    }
}

#[test]
fn tokens_are_signed_as_phoenix_does() {
    let (terms, calls, recorded_at) = (terms(), calls(), recorded_at());
    let signed: Vec<_> = calls.iter().filter(|call| call.text("op") == "sign").collect();
    assert_eq!(signed.len(), 43);
    // Terms whose order is Erlang's own are taken as Erlang wrote them.
    let written: HashMap<&str, Term> = calls
        .iter()
        .filter(|call| call.text("op") == "etf")
        .map(|call| (call.text("term"), decode(call.text("output"))))
        .collect();
    for call in signed {
        let source = call.text("term");
        let own_order = is_written_in_an_order_of_its_own(source);
        let term = if own_order { &written[source] } else { &terms[source] };
        let options = call.sign_options(call.option("signed_at").map_or(recorded_at, at));
        let token = call.tokens().sign_with(call.text("salt"), term, &options).unwrap();
        assert_eq!(token, call.text("output"), "{source} {}", call.0["opts"]);
    }
}

#[test]
fn tokens_are_verified_and_decrypted_as_phoenix_does() {
    let (terms, calls) = (terms(), calls());
    let now = recorded_at() + Duration::from_millis(1);
    // What each token of the transcript holds.
    let contents: HashMap<&str, &Term> = calls
        .iter()
        .filter(|call| ["sign", "encrypt"].contains(&call.text("op")))
        .map(|call| (call.text("output"), &terms[call.text("term")]))
        .collect();
    let mut checked = 0;
    for call in calls.iter().filter(|call| ["verify", "decrypt"].contains(&call.text("op"))) {
        let (salt, token, options) = (call.text("salt"), call.0["token"].as_str(), call.verify_options(now));
        let result = match call.text("op") {
            "verify" => call.tokens().verify_with::<Term>(salt, token, &options),
            _ => call.tokens().decrypt_with::<Term>(salt, token, &options),
        };
        let expected = match call.text("output") {
            "{:error, :missing}" => Err(TokenError::Missing),
            "{:error, :invalid}" => Err(TokenError::Invalid),
            "{:error, :expired}" => Err(TokenError::Expired),
            output => {
                assert!(output.starts_with("{:ok, "), "{output}");
                Ok(contents[token.unwrap()].clone())
            }
        };
        assert_eq!(result.map(|verified| verified.data), expected, "{} {:?}", call.0["opts"], token);
        checked += 1;
    }
    assert_eq!(checked, 61);
}

#[test]
fn what_phoenix_encrypted_was_signed_when_it_says() {
    let calls = calls();
    let encrypted: Vec<_> = calls.iter().filter(|call| call.text("op") == "encrypt").collect();
    assert_eq!(encrypted.len(), 3);
    for call in encrypted {
        let options = VerifyOptions::new().now(at(1_700_000_000));
        let verified = call.tokens().decrypt_with::<Term>(call.text("salt"), call.text("output"), &options);
        let verified = verified.unwrap();
        assert_eq!(verified.signed_at, at(1_700_000_000));
        assert_eq!(verified.expires_at, Some(at(1_700_000_000 + 86_400)));
        assert_eq!(verified.data, terms()[call.text("term")]);
    }
}
