//! What holds for any bytes and any term.

use std::cmp::Ordering;

use bennu_token::term::{from_term, to_term};
use bennu_token::{SecretKeyBase, Session, SessionCookie, SignOptions, Term, Tokens};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

fn leaves() -> impl Strategy<Value = Term> {
    prop_oneof![
        any::<i64>().prop_map(Term::from),
        any::<i32>().prop_map(Term::from),
        any::<i128>().prop_map(Term::from),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Term::from),
        ".{0,20}".prop_map(Term::atom),
        vec(any::<u8>(), 0..300).prop_map(Term::Binary),
        (vec(any::<u8>(), 0..4), any::<u8>(), 1..8_u8).prop_map(|(mut bytes, last, last_bits)| {
            bytes.push(last & !(0xff >> last_bits));
            Term::Bitstring { bytes, last_bits }
        }),
    ]
}

fn terms() -> impl Strategy<Value = Term> {
    leaves().prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Term::Tuple),
            vec(inner.clone(), 0..8).prop_map(Term::List),
            (vec(inner.clone(), 1..4), leaves())
                .prop_map(|(elements, tail)| Term::ImproperList(elements, Box::new(tail))),
            vec((inner.clone(), inner), 0..6).prop_map(Term::map),
        ]
    })
}

fn json() -> impl Strategy<Value = Value> {
    let leaves = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaves.prop_recursive(5, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn tokens() -> Tokens {
    thread_local!(static TOKENS: Tokens = Tokens::new(SecretKeyBase::random()));
    TOKENS.with(Clone::clone)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn terms_come_back_as_they_went(term in terms()) {
        prop_assert_eq!(&Term::decode(&term.encode().unwrap()).unwrap(), &term);
        prop_assert_eq!(&Term::decode(&term.encode_compressed().unwrap()).unwrap(), &term);
    }

    #[test]
    fn a_changed_encoding_is_another_term_or_none(term in terms(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = term.encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Term::decode(&bytes) {
            let again = Term::decode(&read.encode().unwrap()).unwrap();
            prop_assert_eq!(again, read);
        }
        bytes.truncate(at);
        prop_assert!(Term::decode(&bytes).is_err());
    }

    #[test]
    fn no_bytes_panic_a_decoder(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Term::decode(&bytes);
        for header in [&[131][..], &[131, 80, 0, 0, 0, 9], &[131, 104, 3], &[131, 116, 0, 0, 0, 1]] {
            let _ = Term::decode(&[header, &bytes].concat());
        }
    }

    #[test]
    fn no_text_panics_a_verifier(text in "(SFMyNTY|SFM1MTI|XCP|QTEyOEdDTQ)?(\\.[A-Za-z0-9_=-]{0,80}){0,5}.{0,9}") {
        prop_assert!(tokens().verify::<Term>("salt", &*text).is_err());
        prop_assert!(tokens().decrypt::<Term>("salt", &*text).is_err());
        for cookie in [SessionCookie::new("c", "s"), SessionCookie::new("c", "s").encryption_salt("e")] {
            prop_assert_eq!(cookie.decode(&tokens(), &text), None);
        }
    }

    #[test]
    fn whatever_is_signed_or_encrypted_is_got_back(term in terms(), compressed: bool) {
        let options = SignOptions::new().compressed(compressed);
        let signed = tokens().sign_with("salt", &term, &options).unwrap();
        prop_assert_eq!(&tokens().verify::<Term>("salt", &*signed).unwrap().data, &term);
        let encrypted = tokens().encrypt_with("salt", &term, &options).unwrap();
        prop_assert_eq!(&tokens().decrypt::<Term>("salt", &*encrypted).unwrap().data, &term);
        let session = Session::new().with("term", term);
        let cookie = SessionCookie::new("c", "s").encryption_salt("e");
        let value = cookie.encode(&tokens(), &session).unwrap();
        prop_assert_eq!(cookie.decode(&tokens(), &value), Some(session));
    }

    #[test]
    fn json_survives_as_a_term(value in json()) {
        let term = Term::decode(&to_term(&value).unwrap().encode().unwrap()).unwrap();
        prop_assert_eq!(from_term::<Value>(term).unwrap(), value);
    }

    #[test]
    fn the_order_of_terms_is_one(a in terms(), b in terms(), c in terms()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        if a.cmp(&b) != Ordering::Greater && b.cmp(&c) != Ordering::Greater {
            prop_assert!(a.cmp(&c) != Ordering::Greater);
        }
    }
}

#[test]
fn what_nests_too_deep_is_refused() {
    for opening in [&[104, 1][..], &[108, 0, 0, 0, 1], &[116, 0, 0, 0, 1, 97, 1]] {
        let mut bytes = vec![131];
        bytes.extend(opening.repeat(100_000));
        assert!(Term::decode(&bytes).is_err());
    }
    let mut term = Term::nil();
    for _ in 0..bennu_token::term::MAX_DEPTH {
        term = Term::tuple([term]);
    }
    assert!(Term::decode(&term.encode().unwrap()).is_ok());
    assert!(Term::tuple([term]).encode().is_err());
}

#[test]
fn announced_lengths_reserve_nothing() {
    for header in [
        &[131, 108, 0xff, 0xff, 0xff, 0xff][..],
        &[131, 105, 0xff, 0xff, 0xff, 0xff],
        &[131, 116, 0xff, 0xff, 0xff, 0xff],
        &[131, 109, 0xff, 0xff, 0xff, 0xff],
        &[131, 111, 0xff, 0xff, 0xff, 0xff, 0],
    ] {
        assert!(Term::decode(&[header, &[106; 1000]].concat()).is_err());
    }
}

#[test]
fn a_compressed_term_cannot_inflate_without_bound() {
    use std::io::Write as _;
    let bomb = |announced: u32, real: usize| {
        let mut bytes = vec![131, 80];
        bytes.extend(announced.to_be_bytes());
        let mut encoder = flate2::write::ZlibEncoder::new(bytes, flate2::Compression::best());
        encoder.write_all(&[109]).unwrap();
        encoder.write_all(&u32::try_from(real).unwrap().to_be_bytes()).unwrap();
        encoder.write_all(&vec![0; real]).unwrap();
        encoder.finish().unwrap()
    };
    assert!(Term::decode(&bomb(1005, 1000)).is_ok());
    for (announced, real) in [(1004, 1000), (1006, 1000), (1005, 10_000_000), (10_000_005, 10_000_000)] {
        assert!(Term::decode(&bomb(announced, real)).is_err(), "{announced} for {real}");
    }
}
