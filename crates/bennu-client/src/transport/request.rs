//! What a request of any transport has: where it goes, and the application's headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};

use super::{OpenError, OpenRequest};

/// Where a request goes.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) is_secure: bool,
    /// A name or an address, without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
    /// As it stands in the URL, for `Host`.
    pub(super) authority: String,
    pub(super) path: PathAndQuery,
    /// What `Authorization` says for the credentials in the URL.
    authorization: Option<HeaderValue>,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        // No more is said, as the query may hold secrets.
        let uri: Uri = url.parse().map_err(|_| OpenError::Invalid("the url is none".to_owned()))?;
        let is_secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(OpenError::Invalid("the url's scheme is not ws, wss, http or https".to_owned())),
        };
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, authority),
        };
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        Ok(Target {
            is_secure,
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            authority: authority.to_owned(),
            path: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
            authorization: credentials.and_then(basic_auth),
        })
    }

    /// `host:port`, as `CONNECT` names it.
    pub(super) fn host_and_port(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

fn basic_auth(credentials: &str) -> Option<HeaderValue> {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(credentials).collect();
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(decoded))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The headers that each request has: those of the application, and behind them what it does not set itself.
///
/// `reserved` are those that the transport sets, and that it refuses from the application.
pub(super) fn headers(
    request: &OpenRequest,
    target: &Target,
    reserved: &[HeaderName],
) -> Result<HeaderMap, OpenError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let key = HeaderName::try_from(name);
        let key = key.map_err(|_| OpenError::Invalid(format!("{name:?} is no name of a header")))?;
        if reserved.contains(&key) {
            return Err(OpenError::Invalid(format!("the header {key} is the transport's")));
        }
        let value = HeaderValue::try_from(value);
        let value =
            value.map_err(|_| OpenError::Invalid(format!("the value of the header {key} is none")))?;
        headers.append(key, value);
    }
    let authority = HeaderValue::try_from(&target.authority);
    let authority = authority.map_err(|_| OpenError::Invalid("the url's host is none".to_owned()))?;
    headers.entry(header::HOST).or_insert(authority);
    headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
    if let Some(authorization) = &target.authorization {
        headers.entry(header::AUTHORIZATION).or_insert_with(|| authorization.clone());
    }
    Ok(headers)
}

const USER_AGENT: &str = concat!("bennu-client/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_where_they_lead() {
        for (url, is_secure, host, port, authority, path) in [
            ("ws://h/socket/websocket?vsn=2.0.0", false, "h", 80, "h", "/socket/websocket?vsn=2.0.0"),
            ("http://h:4000/x", false, "h", 4000, "h:4000", "/x"),
            ("wss://example.com", true, "example.com", 443, "example.com", "/"),
            ("https://[::1]:8443/x", true, "::1", 8443, "[::1]:8443", "/x"),
            ("ws://user:pass@127.0.0.1:1/x", false, "127.0.0.1", 1, "127.0.0.1:1", "/x"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.is_secure, &*target.host, target.port), (is_secure, host, port), "{url}");
            assert_eq!((&*target.authority, target.path.as_str()), (authority, path), "{url}");
        }
        for url in ["", "/x", "h", "ftp://h/", "ws://h/a b"] {
            assert!(matches!(Target::parse(url), Err(OpenError::Invalid(_))), "{url}");
        }
        assert_eq!(Target::parse("ws://[::1]:2/").unwrap().host_and_port(), "[::1]:2");
    }

    #[test]
    fn headers_of_the_application_win_but_for_those_of_the_transport() {
        let target = Target::parse("ws://user:p%20w@h:1/x").unwrap();
        let mut request = OpenRequest::new("");
        let sent = headers(&request, &target, &[]).unwrap();
        assert_eq!(sent[header::HOST], "h:1");
        assert_eq!(sent[header::AUTHORIZATION], "Basic dXNlcjpwIHc=");
        assert!(sent[header::AUTHORIZATION].is_sensitive());
        assert!(sent[header::USER_AGENT].to_str().unwrap().starts_with("bennu-client/"));

        request.headers = [("Host", "other"), ("x-a", "1"), ("x-a", "2"), ("authorization", "Bearer t")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        let sent = headers(&request, &target, &[]).unwrap();
        assert_eq!(
            (&sent[header::HOST], &sent[header::AUTHORIZATION]),
            (&"other".parse().unwrap(), &"Bearer t".parse().unwrap())
        );
        assert_eq!(sent.get_all("x-a").iter().count(), 2);

        for (name, value, expected) in [
            ("connection", "close", "the header connection is the transport's"),
            ("a b", "", "\"a b\" is no name of a header"),
            ("x-token", "secret\r\nx-b: 1", "the value of the header x-token is none"),
        ] {
            request.headers = vec![(name.to_owned(), value.to_owned())];
            let refused = headers(&request, &target, &[header::CONNECTION]);
            assert_eq!(refused.unwrap_err(), OpenError::Invalid(expected.to_owned()));
        }
    }
}
