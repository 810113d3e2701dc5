//! From the URL that is configured to the one that is opened.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

/// Where a socket is mounted, read from a URL with the scheme `ws`, `wss`, `http` or `https`.
///
/// A transport's segment at the end of the path is replaced by the one of the transport that opens it, and put there if it is missing:
/// `/socket`, `/socket/websocket` and `/socket/longpoll` name the same socket. What a URL has of a query is kept.
///
/// ```
/// use bennu_client::{Endpoint, Params};
///
/// let endpoint: Endpoint = "wss://example.com/socket/websocket".parse()?;
/// let params = Params::new().with("token", "a b");
/// assert_eq!(endpoint.url("websocket", "2.0.0", &params), "wss://example.com/socket/websocket?token=a%20b&vsn=2.0.0");
/// assert_eq!(endpoint.url("longpoll", "2.0.0", &Params::new()), "wss://example.com/socket/longpoll?vsn=2.0.0");
/// # Ok::<(), bennu_client::EndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[doc(alias = "endPoint")]
pub struct Endpoint {
    /// Scheme, authority and path, without a slash at the end.
    base: String,
    query: String,
}

/// Why a text is no [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It is no absolute URL with a host.
    #[error("the url is not absolute, or not a url")]
    Malformed,
    /// Its scheme is another one.
    #[error("the url's scheme is {0:?}, not ws, wss, http or https")]
    Scheme(String),
    /// It has a fragment, which no request can carry (RFC 6455, 3).
    #[error("the url has a fragment")]
    Fragment,
}

/// The segments that Phoenix gives its transports.
const SEGMENTS: [&str; 2] = ["websocket", "longpoll"];

/// What may stand in a URL is left as it is, a percent sign included: it is taken for one that encodes.
const NOT_IN_URL: &AsciiSet = &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(EndpointError::Malformed)?;
        if rest.contains('#') {
            return Err(EndpointError::Fragment);
        }
        let scheme = scheme.to_ascii_lowercase();
        if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            // It is something else, and may be a secret.
            return Err(EndpointError::Malformed);
        }
        if !matches!(&*scheme, "ws" | "wss" | "http" | "https") {
            return Err(EndpointError::Scheme(scheme));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !is_authority(authority) {
            return Err(EndpointError::Malformed);
        }
        let path = utf8_percent_encode(path.trim_end_matches('/'), NOT_IN_URL);
        let query = utf8_percent_encode(query.trim_matches('&'), NOT_IN_URL);
        Ok(Endpoint { base: format!("{scheme}://{authority}{path}"), query: query.to_string() })
    }
}

impl Endpoint {
    /// The URL to open: with the transport's segment, the query that was configured, the params, and `vsn` at the end.
    #[doc(alias = "endPointURL")]
    #[must_use]
    pub fn url(&self, segment: &str, vsn: &str, params: &Params) -> String {
        let mut url = with_segment(&self.base, segment, &[segment]);
        url.push('?');
        for piece in [&self.query, &params.to_query()] {
            if !piece.is_empty() {
                url.push_str(piece);
                url.push('&');
            }
        }
        url.push_str("vsn=");
        url.extend(component(vsn));
        url
    }
}

/// Shows no query and no credentials, which may be secrets.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, rest) = self.base.split_once("://").unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        f.debug_tuple("Endpoint").field(&format_args!("{scheme}://{host}{path}")).finish()
    }
}

/// `url` for another transport: its last segment is replaced if it is `known` or one of Phoenix's, else `segment` follows it.
pub(crate) fn with_segment(url: &str, segment: &str, known: &[&str]) -> String {
    let (path, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    let path = path.trim_end_matches('/');
    let start = path.find("://").map_or(0, |at| at + "://".len());
    let base = known.iter().chain(&SEGMENTS).find_map(|known| {
        let base = path.strip_suffix(known)?.strip_suffix('/')?;
        // What follows the scheme is a host, whatever its name.
        (base.len() > start).then_some(base)
    });
    format!("{}/{segment}{query}", base.unwrap_or(path))
}

pub(crate) fn is_authority(authority: &str) -> bool {
    let Ok(parsed) = authority.parse::<http::uri::Authority>() else { return false };
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let has_port = host_and_port.len() > parsed.host().len();
    !parsed.host().is_empty() && authority.is_ascii() && has_port == parsed.port_u16().is_some()
}

/// What a socket tells the server when it connects, in order: names with text, or with JSON for nested ones.
///
/// They are encoded as the official client does, and read by Phoenix as strings: `{"user": {"id": 1}}` as `user[id]=1`. The elements of
/// a list get their index as name, so the server reads a map: `{"t": ["a"]}` is `t[0]=a`. What is null or empty is left out.
///
/// ```
/// use bennu_client::Params;
/// use serde_json::json;
///
/// let params = Params::from([("locale", "de"), ("theme", "dark")]).with("user", json!({"id": 1}));
/// let same = Params::of(&json!({"locale": "de", "theme": "dark", "user": {"id": 1}})).unwrap();
/// assert_eq!(params, same);
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Params(Vec<(String, Value)>);

/// Why a value cannot be [`Params`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// It is JSON, but no object: its parts have no names.
    #[error("params are an object of names and values")]
    NoObject,
    /// It has no JSON form.
    #[error("params have no json form")]
    Serialize(#[source] serde_json::Error),
}

impl Params {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Params::default()
    }

    /// Those of a map, or of a type with named fields.
    ///
    /// # Errors
    ///
    /// [`ParamsError`] when it has another shape, or no JSON form.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, ParamsError> {
        serde_json::to_value(value).map_err(ParamsError::Serialize)?.try_into()
    }

    /// These and one more behind them. Of two with one name, servers read the last.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As they stand in a query, without a `?`.
    #[must_use]
    pub fn to_query(&self) -> String {
        let mut query = String::new();
        for (name, value) in &self.0 {
            append(&mut query, name, value);
        }
        query
    }
}

/// Shows names alone: values may be secrets.
impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl From<Map<String, Value>> for Params {
    fn from(map: Map<String, Value>) -> Self {
        Params(map.into_iter().collect())
    }
}

impl TryFrom<Value> for Params {
    type Error = ParamsError;

    /// Those of an object; null has none.
    fn try_from(value: Value) -> Result<Self, ParamsError> {
        match value {
            Value::Object(map) => Ok(map.into()),
            Value::Null => Ok(Params::new()),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(ParamsError::NoObject)
            }
        }
    }
}

impl<N: Into<String>, V: Into<Value>, const COUNT: usize> From<[(N, V); COUNT]> for Params {
    fn from(pairs: [(N, V); COUNT]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Params(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Appends `key=value`, or the pieces of a nested value.
fn append(query: &mut String, key: &str, value: &Value) {
    let text = match value {
        Value::Null => return,
        Value::Object(map) => {
            return map.iter().for_each(|(name, value)| append(query, &format!("{key}[{name}]"), value));
        }
        Value::Array(list) => {
            let elements = list.iter().enumerate();
            return elements.for_each(|(index, value)| append(query, &format!("{key}[{index}]"), value));
        }
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
    };
    if !query.is_empty() {
        query.push('&');
    }
    query.extend(component(key).chain(["="]).chain(component(&text)));
}

/// As JavaScript's `encodeURIComponent`.
fn component(text: &str) -> impl Iterator<Item = &str> {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'!')
        .remove(b'~')
        .remove(b'*')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')');
    utf8_percent_encode(text, KEPT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn url(configured: &str, segment: &str, params: Value) -> String {
        let endpoint: Endpoint = configured.parse().unwrap();
        endpoint.url(segment, "2.0.0", &params.try_into().unwrap())
    }

    #[test]
    fn the_segment_is_put_or_replaced() {
        for (configured, websocket, longpoll) in [
            ("ws://h/socket", "ws://h/socket/websocket", "ws://h/socket/longpoll"),
            ("wss://h:4000/socket/", "wss://h:4000/socket/websocket", "wss://h:4000/socket/longpoll"),
            ("ws://h/socket/websocket", "ws://h/socket/websocket", "ws://h/socket/longpoll"),
            ("http://h/socket/longpoll", "http://h/socket/websocket", "http://h/socket/longpoll"),
            ("HTTPS://h/a/longpoll/", "https://h/a/websocket", "https://h/a/longpoll"),
            ("ws://[::1]:4000", "ws://[::1]:4000/websocket", "ws://[::1]:4000/longpoll"),
            ("ws://websocket", "ws://websocket/websocket", "ws://websocket/longpoll"),
            ("ws://h/my-websocket", "ws://h/my-websocket/websocket", "ws://h/my-websocket/longpoll"),
            ("ws://h/websocket/x", "ws://h/websocket/x/websocket", "ws://h/websocket/x/longpoll"),
            (" ws://h/größe ", "ws://h/gr%C3%B6%C3%9Fe/websocket", "ws://h/gr%C3%B6%C3%9Fe/longpoll"),
        ] {
            assert_eq!(url(configured, "websocket", json!({})), format!("{websocket}?vsn=2.0.0"));
            assert_eq!(url(configured, "longpoll", json!({})), format!("{longpoll}?vsn=2.0.0"));
        }
    }

    #[test]
    fn a_transport_may_have_a_segment_of_its_own() {
        for (configured, expected) in [
            ("ws://h/socket", "ws://h/socket/ws/v1?vsn=2.0.0"),
            ("ws://h/socket/ws/v1", "ws://h/socket/ws/v1?vsn=2.0.0"),
            ("ws://h/socket/websocket", "ws://h/socket/ws/v1?vsn=2.0.0"),
        ] {
            assert_eq!(url(configured, "ws/v1", json!({})), expected, "{configured}");
        }
    }

    #[test]
    fn a_configured_query_stays_in_front() {
        for (configured, expected) in [
            ("ws://h/socket?a=1", "a=1&token=x&vsn=2.0.0"),
            ("ws://h/socket/websocket?a=1&b=%20&", "a=1&b=%20&token=x&vsn=2.0.0"),
            ("ws://h/socket?", "token=x&vsn=2.0.0"),
            ("ws://h/socket?u=http://other/longpoll", "u=http://other/longpoll&token=x&vsn=2.0.0"),
        ] {
            let url = url(configured, "websocket", json!({"token": "x"}));
            assert_eq!(url, format!("ws://h/socket/websocket?{expected}"));
        }
    }

    #[test]
    fn check_141_params_are_encoded_as_the_official_client_does() {
        for (params, expected) in [
            (json!({}), ""),
            (json!(null), ""),
            (json!({"token": "a b"}), "token=a%20b"),
            (json!({"a": "é+&=?#/:", "b": "-_.!~*'()"}), "a=%C3%A9%2B%26%3D%3F%23%2F%3A&b=-_.!~*'()"),
            (json!({"n": 1, "f": 1.5, "t": true}), "f=1.5&n=1&t=true"),
            (json!({"a": {"b": {"c": "3"}}}), "a%5Bb%5D%5Bc%5D=3"),
            (json!({"t": ["a", {"b": 1}]}), "t%5B0%5D=a&t%5B1%5D%5Bb%5D=1"),
            (json!({"a": null, "b": {}, "c": [], "d": "", "e": {"f": null}}), "d="),
        ] {
            let params: Params = params.try_into().unwrap();
            assert_eq!(params.to_query(), expected);
        }
        assert_eq!(Params::from([("b", "2"), ("a", "1"), ("b", "3")]).to_query(), "b=2&a=1&b=3");
    }

    #[test]
    fn what_is_no_endpoint_says_why() {
        for (text, expected) in [
            ("", EndpointError::Malformed),
            ("/socket", EndpointError::Malformed),
            ("h/socket", EndpointError::Malformed),
            ("ws:///socket", EndpointError::Malformed),
            ("h/socket?token=secret&back=https://x", EndpointError::Malformed),
            ("ws://a b/socket", EndpointError::Malformed),
            ("ws://größe/socket", EndpointError::Malformed),
            ("ws://h:port/socket", EndpointError::Malformed),
            ("ftp://h/socket", EndpointError::Scheme("ftp".to_owned())),
            ("ws://h/socket#top", EndpointError::Fragment),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(expected), "{text}");
        }
        assert!(matches!(Params::of("text"), Err(ParamsError::NoObject)));
    }

    #[test]
    fn secrets_are_not_for_the_log() {
        let endpoint: Endpoint = "ws://user:secret@h/socket?token=secret".parse().unwrap();
        assert_eq!(format!("{endpoint:?}"), "Endpoint(ws://h/socket)");
        let params = Params::new().with("token", "secret");
        assert_eq!(format!("{params:?}"), r#"{"token"}"#);
    }
}
