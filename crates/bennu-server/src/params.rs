//! Connect parameters, decoded as Plug decodes a query string.

use std::collections::BTreeMap;
use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::redact::{self, FILTERED};

/// A query string may have so many bytes; a longer one is answered with 414.
const MAX_QUERY: usize = 1_000_000;

/// How deep brackets may nest; deeper ones are dropped, so that a hostile query cannot exhaust the stack.
const MAX_NESTING: usize = 32;

/// The parameters of a connection: text, lists and maps, nested by brackets.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Params(BTreeMap<String, Param>);

/// One parameter.
#[derive(Clone, PartialEq, Eq)]
pub enum Param {
    /// `key=value`.
    Text(String),
    /// `key[]=value`, once or more.
    List(Vec<Param>),
    /// `key[name]=value`, once or more.
    Map(Params),
}

/// Why a query string is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A key or value is not UTF-8 once decoded.
    #[error("the query string is not UTF-8")]
    NotUtf8,
    /// It has more than 1,000,000 bytes.
    #[error("the query string is longer than 1,000,000 bytes")]
    TooLong,
}

impl Params {
    /// Decodes a query string without its `?`.
    ///
    /// The last of several plain values wins, and where a plain and a nested
    /// value collide, the later one wins. Values are text always; numbers in
    /// brackets make a map, not a list.
    ///
    /// # Errors
    ///
    /// [`QueryError`] when it is too long or not UTF-8.
    pub fn decode(query: &str) -> Result<Self, QueryError> {
        if query.len() > MAX_QUERY {
            return Err(QueryError::TooLong);
        }
        let mut params = Params::default();
        for piece in query.split('&').filter(|piece| !piece.is_empty()) {
            let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
            params.put(&decode_component(key)?, decode_component(value)?);
        }
        Ok(params)
    }

    /// The text under `key`; `None` when it is absent, a list or a map.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key)? {
            Param::Text(text) => Some(text),
            Param::List(_) | Param::Map(_) => None,
        }
    }

    /// Whatever is under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Param> {
        self.0.get(key)
    }

    /// All parameters, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.0.iter().map(|(key, param)| (key.as_str(), param))
    }

    /// Sets a plain value, as a variable of the path does.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), Param::Text(value.into()));
    }

    fn put(&mut self, key: &str, value: String) {
        match brackets(key) {
            Some((name, path)) => self.put_nested(name, &path, value),
            None => self.set(key, value),
        }
    }

    fn put_nested(&mut self, name: &str, path: &[&str], value: String) {
        let entry = self.0.entry(name.to_owned()).or_insert_with(|| Param::Text(String::new()));
        match path {
            [] => *entry = Param::Text(value),
            [""] => entry.as_list().push(Param::Text(value)),
            ["", rest @ ..] => {
                let mut inner = Params::default();
                inner.put_nested(rest[0], &rest[1..], value);
                entry.as_list().push(Param::Map(inner));
            }
            [key, rest @ ..] => entry.as_map().put_nested(key, rest, value),
        }
    }
}

impl Param {
    fn as_list(&mut self) -> &mut Vec<Param> {
        if !matches!(self, Param::List(_)) {
            *self = Param::List(Vec::new());
        }
        match self {
            Param::List(list) => list,
            Param::Text(_) | Param::Map(_) => unreachable!("made a list above"),
        }
    }

    fn as_map(&mut self) -> &mut Params {
        if !matches!(self, Param::Map(_)) {
            *self = Param::Map(Params::default());
        }
        match self {
            Param::Map(map) => map,
            Param::Text(_) | Param::List(_) => unreachable!("made a map above"),
        }
    }
}

impl Serialize for Param {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Param::Text(text) => serializer.serialize_str(text),
            Param::List(list) => list.serialize(serializer),
            Param::Map(map) => map.serialize(serializer),
        }
    }
}

/// What looks like a credential is replaced: parameters end up in logs.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(key, param)| match redact::is_secret(key) {
            true => (key, &FILTERED as &dyn fmt::Debug),
            false => (key, param as &dyn fmt::Debug),
        });
        f.debug_map().entries(shown).finish()
    }
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Param::Text(text) => redact::text(text, f),
            Param::List(list) => f.debug_list().entries(list).finish(),
            Param::Map(map) => map.fmt(f),
        }
    }
}

/// `a[b][c]` as `a` and `[b, c]`; `None` when the key is literal.
fn brackets(key: &str) -> Option<(&str, Vec<&str>)> {
    let inner = key.strip_suffix(']')?;
    let (name, rest) = inner.split_once('[')?;
    if name.is_empty() {
        return None;
    }
    Some((name, rest.split("][").take(MAX_NESTING).collect()))
}

/// `application/x-www-form-urlencoded`: `+` is a space, a malformed escape stays as it is.
fn decode_component(text: &str) -> Result<String, QueryError> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| QueryError::NotUtf8)?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn queries_decode_as_plug_does() {
        for (query, expected) in [
            ("", json!({})),
            ("&&", json!({})),
            ("x", json!({"x": ""})),
            ("=", json!({"": ""})),
            ("y=1&y=2", json!({"y": "2"})),
            ("a=b=c", json!({"a": "b=c"})),
            ("a[b][c]=3", json!({"a": {"b": {"c": "3"}}})),
            ("t[]=a&t[]=b", json!({"t": ["a", "b"]})),
            ("p[0][a]=1&p[1][a]=2", json!({"p": {"0": {"a": "1"}, "1": {"a": "2"}}})),
            ("c=1&c[d]=2", json!({"c": {"d": "2"}})),
            ("e[f]=1&e=2", json!({"e": "2"})),
            ("[x]=1", json!({"[x]": "1"})),
            ("x]=1", json!({"x]": "1"})),
            ("a=%zz&b=a%2&c=%", json!({"a": "%zz", "b": "a%2", "c": "%"})),
            (
                "user[id]=1&user[tags][]=a&user[tags][]=b&x&z%5Bq%5D=%C3%A9+w",
                json!({"user": {"id": "1", "tags": ["a", "b"]}, "x": "", "z": {"q": "é w"}}),
            ),
        ] {
            let params = Params::decode(query).unwrap();
            assert_eq!(serde_json::to_value(&params).unwrap(), expected, "{query}");
        }
    }

    #[test]
    fn what_is_not_utf8_or_too_long_is_refused() {
        assert_eq!(Params::decode("a=%ff"), Err(QueryError::NotUtf8));
        assert_eq!(Params::decode(&"a".repeat(MAX_QUERY + 1)), Err(QueryError::TooLong));
    }

    #[test]
    fn deep_brackets_do_not_exhaust_the_stack() {
        let query = format!("a{}=1", "[b]".repeat(300_000));
        assert!(Params::decode(&query).is_ok());
    }
}
