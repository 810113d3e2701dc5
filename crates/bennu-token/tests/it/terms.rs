//! Bytes that others write for terms, and bytes that are none.

use bennu_token::term::MAX_DEPTH;
use bennu_token::{Term, TermError};

fn decode(rest: &[u8]) -> Result<Term, TermError> {
    Term::decode(&[&[131], rest].concat())
}

#[test]
fn forms_that_erlang_27_does_not_write_are_read() {
    let improper = || Term::ImproperList(vec![1.into(), 2.into()], Box::new(3.into()));
    for (name, bytes, term) in [
        ("atom in Latin-1", &[100, 0, 2, b'o', 0xe9][..], Term::atom("oé")),
        ("short atom in Latin-1", &[115, 1, 0xff], Term::atom("ÿ")),
        ("long form of a short atom", &[118, 0, 2, b'o', b'k'], Term::atom("ok")),
        ("big form of a small integer", &[110, 3, 0, 7, 0, 0], 7.into()),
        ("big form of nothing", &[110, 0, 1], 0.into()),
        ("large form of a small integer", &[111, 0, 0, 0, 1, 1, 7], Term::from(-7)),
        ("lowest integer of 64 bits", &[110, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0x80], i64::MIN.into()),
        ("large form of a small tuple", &[105, 0, 0, 0, 1, 97, 7], Term::tuple([7])),
        ("empty text as a list", &[107, 0, 0], Term::List(Vec::new())),
        ("bytes as a list of integers", &[108, 0, 0, 0, 1, 97, 7, 106], Term::list([7])),
        ("list with a list as its tail", &[108, 0, 0, 0, 1, 97, 7, 107, 0, 1, 8], Term::list([7, 8])),
        ("no elements before a tail", &[108, 0, 0, 0, 0, 97, 7], 7.into()),
        ("improper list in two parts", &[108, 0, 0, 0, 1, 97, 1, 108, 0, 0, 0, 1, 97, 2, 97, 3], improper()),
        ("whole bytes as bits", &[77, 0, 0, 0, 1, 8, 7], Term::Binary(vec![7])),
        (
            "bits beyond the last",
            &[77, 0, 0, 0, 1, 3, 0xff],
            Term::Bitstring { bytes: vec![0xe0], last_bits: 3 },
        ),
        (
            "keys in any order",
            &[116, 0, 0, 0, 2, 97, 2, 106, 97, 1, 106],
            Term::map([(1, Vec::new()), (2, Vec::new())]),
        ),
    ] {
        assert_eq!(decode(bytes).as_ref(), Ok(&term), "{name}");
    }
}

#[test]
fn what_is_no_term_is_refused_and_says_why() {
    let nan = [&[70][..], &f64::NAN.to_be_bytes()].concat();
    let long_atom = [&[118, 1, 0][..], &[b'x'; 256]].concat();
    for (name, bytes, error) in [
        ("nothing", &[][..], TermError::Truncated { needed: 1, left: 0 }),
        ("half an integer", &[98, 0, 0], TermError::Truncated { needed: 4, left: 2 }),
        (
            "binary that announces too much",
            &[109, 0, 0, 0, 9, 1],
            TermError::Truncated { needed: 9, left: 1 },
        ),
        ("function", &[112, 0, 0, 0, 1], TermError::Tag(112)),
        ("exported function", &[113, 119, 1, b'm', 119, 1, b'f', 97, 0], TermError::Tag(113)),
        ("process", &[88, 119, 0], TermError::Tag(88)),
        ("reference", &[90, 0, 0], TermError::Tag(90)),
        ("float as text", &[99, b'1'], TermError::Tag(99)),
        ("compressed within", &[104, 1, 80, 0, 0, 0, 1], TermError::Tag(80)),
        ("something behind", &[97, 1, 0], TermError::Trailing(1)),
        ("atom that is no text", &[119, 1, 0xff], TermError::Atom),
        ("atom of 256 characters", &long_atom, TermError::Atom),
        ("no number", &nan, TermError::NotFinite),
        ("key twice", &[116, 0, 0, 0, 2, 97, 1, 97, 1, 97, 1, 97, 2], TermError::DuplicateKey),
        (
            "key twice in two forms",
            &[116, 0, 0, 0, 2, 97, 1, 97, 1, 98, 0, 0, 0, 1, 97, 2],
            TermError::DuplicateKey,
        ),
        ("bits of no byte", &[77, 0, 0, 0, 0, 3], TermError::Bits(3)),
        ("nine bits of a byte", &[77, 0, 0, 0, 1, 9, 0], TermError::Bits(9)),
        ("damaged stream", &[80, 0, 0, 0, 2, 1, 2, 3], TermError::Inflate),
    ] {
        assert_eq!(decode(bytes), Err(error), "{name}");
    }
    assert_eq!(Term::decode(&[]), Err(TermError::Version));
    assert_eq!(Term::decode(&[130, 97, 1]), Err(TermError::Version));
}

#[test]
fn the_depth_has_the_same_limit_in_both_directions() {
    let nested = |depth: usize| [[104, 1].repeat(depth), vec![106]].concat();
    assert!(decode(&nested(MAX_DEPTH)).unwrap().encode().is_ok());
    assert_eq!(decode(&nested(MAX_DEPTH + 1)), Err(TermError::Depth));
}
