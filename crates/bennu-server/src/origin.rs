//! Which web pages may open a connection.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use thiserror::Error;

/// Which `Origin` headers are accepted. A request without one, from a program
/// and not from a browser, is accepted always.
#[derive(Clone, Default)]
#[doc(alias = "check_origin")]
#[non_exhaustive]
pub enum CheckOrigin {
    /// The host of the origin must equal the endpoint's host, or the request's `Host` header when none is set.
    #[default]
    Host,
    /// Scheme, host and port of the origin must equal those of the request.
    #[doc(alias = ":conn")]
    Request,
    /// One of these must match.
    List(Vec<OriginPattern>),
    /// As [`Host`](Self::Host), or one of these must match.
    HostOr(Vec<OriginPattern>),
    /// The function decides; it is asked also when the origin has no host.
    Function(Arc<dyn Fn(&Origin) -> bool + Send + Sync>),
    /// Every page may connect. Cookies are then withheld from `connect`.
    Any,
}

impl CheckOrigin {
    /// Accepts the origins that match one of `entries`, such as `//example.com`,
    /// `https://example.com`, `//example.com:8080` or `//*.example.com`.
    ///
    /// # Errors
    ///
    /// [`OriginPatternError`] for an entry without a host; `example.com` needs `//` in front.
    pub fn list<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginPatternError> {
        Ok(CheckOrigin::List(patterns(entries)?))
    }

    /// Accepts the own host, and the origins that match one of `entries`.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn host_or<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginPatternError> {
        Ok(CheckOrigin::HostOr(patterns(entries)?))
    }

    /// Whether a page of this origin may connect to `request`.
    pub(crate) fn allows(&self, header: &str, request: &RequestHost<'_>) -> bool {
        let origin = Origin::parse(header);
        match self {
            CheckOrigin::Any => true,
            CheckOrigin::Function(decide) => decide(&origin),
            CheckOrigin::Host => origin.has_host_of(request),
            CheckOrigin::HostOr(patterns) => origin.has_host_of(request) || origin.is_in(patterns),
            CheckOrigin::Request => origin.is_request(request),
            CheckOrigin::List(patterns) => origin.is_in(patterns),
        }
    }
}

impl fmt::Debug for CheckOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckOrigin::Host => f.write_str("Host"),
            CheckOrigin::Request => f.write_str("Request"),
            CheckOrigin::List(patterns) => f.debug_tuple("List").field(patterns).finish(),
            CheckOrigin::HostOr(patterns) => f.debug_tuple("HostOr").field(patterns).finish(),
            CheckOrigin::Function(_) => f.write_str("Function"),
            CheckOrigin::Any => f.write_str("Any"),
        }
    }
}

/// Where a request was sent to, as the server sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestHost<'a> {
    pub(crate) endpoint_host: Option<&'a str>,
    pub(crate) scheme: &'a str,
    pub(crate) host: Option<&'a str>,
    pub(crate) port: Option<u16>,
}

impl<'a> RequestHost<'a> {
    pub(crate) fn of(parts: &'a Parts, endpoint_host: Option<&'a str>) -> Self {
        let told = parts.extensions.get().or_else(|| parts.uri.scheme());
        let scheme = told.map_or("http", Scheme::as_str);
        // In the order of HTTP/1.1 and HTTP/2: one of them names the host in a header, the other in the URI.
        let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = header.filter(|host| host.parse::<Authority>().is_ok());
        let authority = authority.or_else(|| parts.uri.authority().map(Authority::as_str)).map(split_port);
        RequestHost {
            endpoint_host,
            scheme,
            host: authority.map(|(host, _)| host),
            port: authority.and_then(|(_, port)| port).or_else(|| default_port(scheme)),
        }
    }
}

/// Host and port of an authority, which may name a user before and an IPv6 address in brackets.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
        _ => (host, None),
    }
}

/// An origin, taken apart. Hosts are compared byte by byte: browsers send them in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Such as `https`.
    pub scheme: Option<String>,
    /// Absent for `null` and for text that is no URL.
    pub host: Option<String>,
    /// The one given, else the usual one of the scheme.
    pub port: Option<u16>,
}

impl Origin {
    fn parse(text: &str) -> Self {
        let (scheme, rest) = match text.split_once("//") {
            Some((scheme, rest)) => (scheme.strip_suffix(':'), rest),
            None => return Origin { scheme: None, host: None, port: None },
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let uri: Option<Uri> = format!("//{authority}").trim_start_matches('/').parse().ok();
        let authority = uri.as_ref().and_then(Uri::authority);
        Origin {
            scheme: scheme.map(str::to_owned),
            host: authority.map(|authority| authority.host().to_owned()).filter(|host| !host.is_empty()),
            port: authority.and_then(|a| a.port_u16()).or_else(|| scheme.and_then(default_port)),
        }
    }

    fn has_host_of(&self, request: &RequestHost<'_>) -> bool {
        self.host.is_some() && self.host.as_deref() == request.endpoint_host.or(request.host)
    }

    fn is_in(&self, patterns: &[OriginPattern]) -> bool {
        patterns.iter().any(|pattern| pattern.matches(self))
    }

    fn is_request(&self, request: &RequestHost<'_>) -> bool {
        self.host.is_some()
            && self.scheme.as_deref() == Some(request.scheme)
            && self.host.as_deref() == request.host
            && self.port == request.port
    }
}

fn patterns<'a>(
    entries: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<OriginPattern>, OriginPatternError> {
    entries.into_iter().map(OriginPattern::parse).collect()
}

pub(crate) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

/// One entry of an origin list: what it names must be equal, what it leaves out may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: Option<String>,
    port: Option<u16>,
    /// Without the leading `*.` of a wildcard.
    host: String,
    wildcard: bool,
}

/// An entry of an origin list that names no host.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("origin {0:?} has no host; write it as //host or scheme://host")]
pub struct OriginPatternError(pub String);

impl OriginPattern {
    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// [`OriginPatternError`] when it has no host.
    pub fn parse(text: &str) -> Result<Self, OriginPatternError> {
        let wildcard = text.contains("//*.");
        let origin = Origin::parse(&text.replacen("//*.", "//", 1));
        let host = origin.host.ok_or_else(|| OriginPatternError(text.to_owned()))?;
        Ok(OriginPattern { scheme: origin.scheme, port: origin.port, host, wildcard })
    }

    fn matches(&self, origin: &Origin) -> bool {
        let Some(host) = &origin.host else { return false };
        self.scheme.as_ref().is_none_or(|scheme| Some(scheme) == origin.scheme.as_ref())
            && self.port.is_none_or(|port| Some(port) == origin.port)
            && self.matches_host(host)
    }

    fn matches_host(&self, host: &str) -> bool {
        let subdomain = || host.strip_suffix(&self.host).is_some_and(|rest| rest.ends_with('.'));
        *host == *self.host || self.wildcard && subdomain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RequestHost<'static> {
        RequestHost { endpoint_host: None, scheme: "http", host: Some("example.com"), port: Some(4000) }
    }

    #[test]
    fn list_entries_compare_what_they_name() {
        for (entry, origin, expected) in [
            ("//example.com", "https://example.com", true),
            ("//example.com", "http://example.com:444", true),
            ("//example.com", "https://EXAMPLE.com", false),
            ("//example.com", "https://bad.com", false),
            ("//example.com", "null", false),
            ("//example.com", "", false),
            ("//example.com", "file://", false),
            ("//another.com:888", "https://another.com:888", true),
            ("//another.com:888", "https://another.com", false),
            ("https://example.com", "https://example.com", true),
            ("https://example.com", "https://example.com:443", true),
            ("https://example.com", "https://example.com:4000", false),
            ("https://example.com", "http://example.com", false),
            ("//*.ex.com", "https://ex.com", true),
            ("//*.ex.com", "https://a.b.ex.com", true),
            ("//*.ex.com", "https://prefix-ex.com", false),
            ("//*.ex.com", "https://ex.com.evil.com", false),
        ] {
            let check = CheckOrigin::list([entry]).unwrap();
            assert_eq!(check.allows(origin, &request()), expected, "{entry} {origin}");
        }
    }

    #[test]
    fn an_entry_needs_a_host() {
        for entry in ["example.com", "", "https://", "//"] {
            assert!(CheckOrigin::list([entry]).is_err(), "{entry}");
        }
    }

    #[test]
    fn by_default_the_host_must_be_the_own_one() {
        let own = RequestHost { endpoint_host: Some("studio.example"), ..request() };
        for (request, origin, expected) in [
            (own, "https://studio.example", true),
            (own, "https://example.com", false),
            (request(), "http://example.com:1", true),
            (request(), "http://evil.com", false),
            (request(), "null", false),
        ] {
            assert_eq!(CheckOrigin::Host.allows(origin, &request), expected, "{origin}");
        }
    }

    #[test]
    fn the_own_host_can_be_allowed_beside_a_list() {
        let check = CheckOrigin::host_or(["//studio.example"]).unwrap();
        for (origin, expected) in
            [("http://example.com", true), ("https://studio.example", true), ("https://evil.com", false)]
        {
            assert_eq!(check.allows(origin, &request()), expected, "{origin}");
        }
    }

    #[test]
    fn the_request_itself_can_be_the_measure() {
        for (origin, expected) in [
            ("http://example.com:4000", true),
            ("https://example.com:4000", false),
            ("http://example.com", false),
            ("ws://example.com:4000", false),
        ] {
            assert_eq!(CheckOrigin::Request.allows(origin, &request()), expected, "{origin}");
        }
    }
}
