//! Rust's values as terms, and back.

use std::collections::{BTreeMap, HashMap};

use bennu_token::Term;
use bennu_token::term::{from_term, to_term};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    admin: bool,
    team: Option<String>,
    tags: Vec<String>,
    place: (f64, i8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Role {
    Guest,
    User(u64),
    Pair(u8, u8),
    Named { name: String },
}

fn user() -> User {
    User {
        id: u64::MAX,
        name: "é".to_owned(),
        admin: true,
        team: None,
        tags: vec!["a".to_owned()],
        place: (1.5, -3),
    }
}

fn check<T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug>(value: T, term: Term) {
    assert_eq!(to_term(&value).unwrap(), term);
    assert_eq!(from_term::<T>(term).unwrap(), value);
}

#[test]
fn values_become_the_terms_that_elixir_would_use() {
    check(7_u8, 7.into());
    check(i64::MIN, i64::MIN.into());
    check(i128::MIN, i128::MIN.into());
    check(u128::MAX, u128::MAX.into());
    check('é', "é".into());
    check("text".to_owned(), "text".into());
    check(false, Term::atom("false"));
    check((), Term::nil());
    check(Some(1), 1.into());
    check(None::<u8>, Term::nil());
    check(vec![1, 2], Term::list([1, 2]));
    check((1, 2), Term::tuple([1, 2]));
    check(BTreeMap::from([(1, true)]), Term::map([(1, true)]));
    check(HashMap::from([("a".to_owned(), 1)]), Term::map([("a", 1)]));
    check(Role::Guest, "Guest".into());
    check(Role::User(7), Term::map([("User", 7)]));
    check(Role::Pair(1, 2), Term::map([("Pair", Term::tuple([1, 2]))]));
    check(Role::Named { name: "a".to_owned() }, Term::map([("Named", Term::map([("name", "a")]))]));
    let place = Term::Tuple(vec![1.5.into(), Term::from(-3)]);
    let fields: [(&str, Term); 6] = [
        ("id", u64::MAX.into()),
        ("name", "é".into()),
        ("admin", true.into()),
        ("team", Term::nil()),
        ("tags", Term::list(["a"])),
        ("place", place),
    ];
    check(user(), Term::map(fields));
}

#[test]
fn terms_of_elixir_become_values() {
    let atoms = [(Term::atom("id"), Term::from(7)), (Term::atom("role"), Term::atom("admin"))];
    assert_eq!(from_term::<Value>(Term::map(atoms.clone())).unwrap(), json!({"id": 7, "role": "admin"}));
    assert_eq!(from_term::<BTreeMap<String, Term2>>(Term::map(atoms)).unwrap().len(), 2);
    assert_eq!(from_term::<Role>(Term::atom("Guest")).unwrap(), Role::Guest);
    let tagged = Term::Tuple(vec![Term::atom("user"), 7.into()]);
    assert_eq!(from_term::<(String, u64)>(tagged).unwrap(), ("user".to_owned(), 7));
    assert_eq!(from_term::<Vec<u8>>(Term::list(*b"abc")).unwrap(), b"abc");
    assert_eq!(from_term::<Value>(Term::nil()).unwrap(), Value::Null);
}

/// What either an integer or text may be.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Term2 {
    Number(i64),
    Text(String),
}

#[test]
fn keys_are_written_in_erlangs_order() {
    let bytes = to_term(&user()).unwrap().encode().unwrap();
    let found = |name: &str| bytes.windows(name.len()).position(|part| part == name.as_bytes()).unwrap();
    let names = ["admin", "id", "name", "place", "tags", "team"];
    assert!(names.is_sorted_by_key(|name| found(name)));
    let mixed = Term::map([
        (Term::from("a"), 0),
        (Term::nil(), 0),
        (1.5.into(), 0),
        (2.into(), 0),
        (Term::List(Vec::new()), 0),
        (Term::tuple([1]), 0),
    ]);
    let keys: Vec<Term> = mixed.as_map().unwrap().iter().map(|(key, _)| key.clone()).collect();
    let sorted = [2.into(), 1.5.into(), Term::nil(), Term::tuple([1]), Term::List(Vec::new()), "a".into()];
    assert_eq!(keys, sorted);
}

#[test]
fn what_has_no_form_is_refused() {
    assert!(to_term(&f64::NAN).is_err());
    assert!(Term::Float(f64::INFINITY).encode().is_err());
    assert!(Term::atom("x".repeat(256)).encode().is_err());
    assert!(Term::atom("é".repeat(255)).encode().is_ok());
    assert!(Term::Bitstring { bytes: Vec::new(), last_bits: 3 }.encode().is_err());
    assert!(Term::Bitstring { bytes: vec![0], last_bits: 8 }.encode().is_err());
    for (name, term) in [
        ("text for a number", Term::from("7")),
        ("bits", Term::Bitstring { bytes: vec![0], last_bits: 1 }),
        ("improper list", Term::ImproperList(vec![1.into()], Box::new(2.into()))),
        ("too large", i64::MAX.into()),
    ] {
        assert!(from_term::<u8>(term).is_err(), "{name}");
    }
}

#[test]
fn of_equal_keys_the_last_counts() {
    let map = Term::map([("a", 1), ("b", 2), ("a", 3)]);
    assert_eq!(map.as_map().unwrap().len(), 2);
    assert_eq!(map.as_map().unwrap().get_text("a"), Some(&3.into()));
}
