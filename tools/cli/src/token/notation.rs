//! Erlang's terms as Elixir writes them, so that nothing of what a token holds is lost.

use std::fmt::{self, Display, Formatter, Write as _};

use bennu_token::Term;
use bennu_token::term::Map;

use super::json::digits;

/// A term that shows itself as `inspect/1` of Elixir would.
pub(super) struct Elixir<'a>(pub(super) &'a Term);

impl Display for Elixir<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Term::Integer(value) => value.fmt(f),
            Term::BigInteger(value) => f.write_str(&digits(value)),
            Term::Float(value) => write!(f, "{value:?}"),
            Term::Atom(name) => atom(f, name),
            Term::Binary(bytes) => binary(f, bytes),
            Term::Bitstring { bytes, last_bits } => bits(f, bytes, *last_bits),
            Term::Tuple(elements) => list(f, "{", elements, "}"),
            Term::List(elements) => list(f, "[", elements, "]"),
            Term::ImproperList(elements, tail) => {
                list(f, "[", elements, "")?;
                write!(f, " | {}]", Elixir(tail))
            }
            Term::Map(entries) => map(f, entries),
            other => write!(f, "#{other:?}"),
        }
    }
}

fn list(f: &mut Formatter<'_>, open: &str, elements: &[Term], close: &str) -> fmt::Result {
    f.write_str(open)?;
    for (at, element) in elements.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        write!(f, "{comma}{}", Elixir(element))?;
    }
    f.write_str(close)
}

/// With the short form of keys where all of them are plain atoms.
fn map(f: &mut Formatter<'_>, map: &Map) -> fmt::Result {
    let short = map.iter().all(|(key, _)| key.as_atom().is_some_and(is_plain));
    f.write_str("%{")?;
    for (at, (key, value)) in map.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        match key.as_atom().filter(|_| short) {
            Some(name) => write!(f, "{comma}{name}: {}", Elixir(value))?,
            None => write!(f, "{comma}{} => {}", Elixir(key), Elixir(value))?,
        }
    }
    f.write_char('}')
}

fn atom(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    match name {
        "nil" | "true" | "false" => f.write_str(name),
        _ if is_plain(name) => write!(f, ":{name}"),
        // A module's name.
        _ if name.strip_prefix("Elixir.").is_some_and(is_alias) => f.write_str(&name["Elixir.".len()..]),
        _ => write!(f, ":{name:?}"),
    }
}

fn is_plain(name: &str) -> bool {
    let start = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let body = name.trim_end_matches(['?', '!']);
    start && name.len() - body.len() <= 1 && body.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_alias(name: &str) -> bool {
    name.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Text in quotes, with what could play with a terminal escaped; other bytes in angle brackets.
fn binary(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    match std::str::from_utf8(bytes) {
        Ok(text) => write!(f, "{text:?}"),
        Err(_) => {
            let bytes: Vec<String> = bytes.iter().map(u8::to_string).collect();
            write!(f, "<<{}>>", bytes.join(", "))
        }
    }
}

fn bits(f: &mut Formatter<'_>, bytes: &[u8], last_bits: u8) -> fmt::Result {
    let Some((last, whole)) = bytes.split_last() else { return f.write_str("<<>>") };
    f.write_str("<<")?;
    for byte in whole {
        write!(f, "{byte}, ")?;
    }
    write!(f, "{}::size({last_bits})>>", last >> (8 - last_bits.clamp(1, 8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_as_elixir_writes_them() {
        let atom = Term::atom;
        for (term, text) in [
            (Term::from(42), "42"),
            (Term::from(1.0), "1.0"),
            (Term::from("say \"hi\""), r#""say \"hi\"""#),
            (Term::from("\u{1b}[31m"), r#""\u{1b}[31m""#),
            (Term::Binary(vec![0, 255]), "<<0, 255>>"),
            (Term::Bitstring { bytes: vec![1, 0b1010_0000], last_bits: 3 }, "<<1, 5::size(3)>>"),
            (atom("ok"), ":ok"),
            (atom("valid?"), ":valid?"),
            (atom("two words"), ":\"two words\""),
            (atom("Elixir.MyApp.User"), "MyApp.User"),
            (Term::nil(), "nil"),
            (Term::tuple([atom("ok"), Term::list([1, 2])]), "{:ok, [1, 2]}"),
            (Term::ImproperList(vec![1.into()], Box::new(2.into())), "[1 | 2]"),
            (Term::map([(atom("id"), 1), (atom("level"), 2)]), "%{id: 1, level: 2}"),
            (Term::map([("id", 1)]), "%{\"id\" => 1}"),
            (Term::map([(atom("id"), 1), ("id".into(), 2)]), "%{:id => 1, \"id\" => 2}"),
        ] {
            assert_eq!(Elixir(&term).to_string(), text);
        }
    }
}
