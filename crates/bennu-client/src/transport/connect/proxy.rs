//! Proxies of HTTP, by `CONNECT` (RFC 9110, 9.3.6), and of SOCKS.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::Uri;
use http::header::HeaderValue;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;

use super::stream::Stream;
use super::tls::Tls;
use super::{ConnectError, socks, tcp};
use crate::endpoint::is_authority;
use crate::transport::head;
use crate::transport::request::Target;

/// How long the head of a proxy's answer may be.
const MAX_HEAD: usize = 16 * 1024;

/// Through which proxies servers are reached.
///
/// A proxy is named by a URL, whose user and password it is told: `http://` is spoken to in the clear, `https://` with TLS, and `socks5://` or
/// `socks5h://` by SOCKS, which resolves names in either case. WebSockets and long polls go through it in a tunnel, whether they are encrypted or
/// not.
#[derive(Clone)]
#[doc(alias = "HTTPS_PROXY")]
#[doc(alias = "NO_PROXY")]
pub struct Proxy(Rule);

#[derive(Clone)]
enum Rule {
    Never,
    Environment(Arc<Matcher>),
    Given { url: String, except: String, matcher: Arc<Matcher> },
}

/// Why a text names no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// It is no URL with a host.
    #[error("the proxy's url is none")]
    Malformed,
    /// Its scheme is another one.
    #[error("the proxy's scheme is not http, https, socks5 or socks5h")]
    Scheme,
}

impl Proxy {
    /// The proxies that the environment named when it was first asked for them: `HTTP_PROXY` for `ws` and `http`, `HTTPS_PROXY` for `wss` and `https`, `ALL_PROXY` for
    /// what has none, and `NO_PROXY` for hosts without one, all of them in capitals or not. This machine itself (`localhost` and its
    /// addresses) is reached without one.
    #[must_use]
    pub fn from_env() -> Self {
        static ENVIRONMENT: OnceLock<Arc<Matcher>> = OnceLock::new();
        let matcher = ENVIRONMENT.get_or_init(|| Arc::new(Matcher::from_env()));
        Proxy(Rule::Environment(Arc::clone(matcher)))
    }

    /// No proxy, whatever the environment says.
    #[must_use]
    pub fn none() -> Self {
        Proxy(Rule::Never)
    }

    /// This one for all servers, but for those named by [`except`](Self::except).
    ///
    /// # Errors
    ///
    /// [`ProxyError`] when the URL is none, or has another scheme than those above.
    pub fn all(url: impl Into<String>) -> Result<Self, ProxyError> {
        let url = url.into();
        let uri: Uri = url.parse().map_err(|_| ProxyError::Malformed)?;
        match uri.scheme_str() {
            Some("http" | "https" | "socks5" | "socks5h") => {}
            Some(_) => return Err(ProxyError::Scheme),
            None => return Err(ProxyError::Malformed),
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // Of two, which one ends the password is anyone's guess.
        if authority.matches('@').count() > 1 || !is_authority(authority) {
            return Err(ProxyError::Malformed);
        }
        Ok(Proxy::given(url, String::new()))
    }

    /// Reaches these hosts without it: names, with those that end in them, addresses and networks (`10.0.0.0/8`), with commas in between.
    #[must_use]
    pub fn except(self, hosts: impl Into<String>) -> Self {
        match self.0 {
            Rule::Given { url, .. } => Proxy::given(url, hosts.into()),
            rule @ (Rule::Never | Rule::Environment(_)) => Proxy(rule),
        }
    }

    fn given(url: String, except: String) -> Self {
        let matcher = Matcher::builder().all(url.as_str()).no(except.as_str()).build();
        Proxy(Rule::Given { url, except, matcher: Arc::new(matcher) })
    }

    /// Which one the target is to be reached through.
    pub(super) fn route(&self, target: &Target) -> Option<Route> {
        let matcher = match &self.0 {
            Rule::Never => return None,
            Rule::Environment(_) if is_here(&target.host) => return None,
            Rule::Environment(matcher) | Rule::Given { matcher, .. } => matcher,
        };
        let scheme = if target.is_secure { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(target.host_and_port()).path_and_query("/");
        matcher.intercept(&uri.build().ok()?).map(Route)
    }
}

impl Default for Proxy {
    fn default() -> Self {
        Proxy::from_env()
    }
}

/// Shows no password.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Rule::Never => f.write_str("Never"),
            Rule::Environment(matcher) => f.debug_tuple("Environment").field(matcher).finish(),
            Rule::Given { except, matcher, .. } => {
                f.debug_struct("Given").field("proxies", matcher).field("except", except).finish()
            }
        }
    }
}

fn is_here(host: &str) -> bool {
    let is_local_name = host.eq_ignore_ascii_case("localhost");
    is_local_name || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A proxy on the way to a target.
pub(super) struct Route(Intercept);

/// How a proxy is spoken to.
enum Kind {
    Http,
    /// The same within TLS.
    Https,
    Socks,
}

impl Route {
    /// A stream to the target, through a tunnel.
    pub(super) async fn connect(&self, target: &Target, tls: &Tls) -> Result<Stream, ConnectError> {
        let uri = self.0.uri();
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let failed = |reason: String| ConnectError::Proxy { proxy: host.to_owned(), reason };
        let (kind, default_port) = match uri.scheme_str() {
            Some("http") => (Kind::Http, 80),
            Some("https") => (Kind::Https, 443),
            Some("socks5" | "socks5h") => (Kind::Socks, 1080),
            scheme => {
                return Err(failed(format!("{} proxies are not supported", scheme.unwrap_or("unnamed"))));
            }
        };
        let reach = async {
            let stream = Stream::Tcp(tcp::connect(host, uri.port_u16().unwrap_or(default_port)).await?);
            match kind {
                Kind::Https => tls.secure(stream, host).await,
                Kind::Http | Kind::Socks => Ok(stream),
            }
        };
        let mut stream = reach.await.map_err(|error| failed(error.to_string()))?;
        match kind {
            Kind::Http | Kind::Https => tunnel(&mut stream, target, self.0.basic_auth()).await,
            Kind::Socks => socks::connect(&mut stream, &target.host, target.port, self.0.raw_auth()).await,
        }
        .map_err(failed)?;
        Ok(stream)
    }
}

async fn tunnel(
    stream: &mut Stream,
    target: &Target,
    authorization: Option<&HeaderValue>,
) -> Result<(), String> {
    let to = target.host_and_port();
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    let (head, rest) = head::read(stream, MAX_HEAD).await.map_err(|error| error.to_string())?;
    match head.status {
        200..300 if rest.is_empty() => Ok(()),
        // The server speaks only when it is spoken to.
        200..300 => Err("it spoke in the tunnel".to_owned()),
        status => Err(format!("it refused with status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_through(proxy: &Proxy, url: &str) -> bool {
        proxy.route(&Target::parse(url).unwrap()).is_some()
    }

    #[test]
    fn which_hosts_are_reached_through_a_proxy() {
        let proxy = Proxy::all("http://proxy:3128").unwrap().except("localhost, .internal, 10.0.0.0/8, ::1");
        for (url, expected) in [
            ("ws://example.com/", true),
            ("wss://example.com:4000/", true),
            ("https://8.8.8.8/", true),
            ("ws://localhost/", false),
            ("ws://a.internal/", false),
            ("ws://10.1.2.3/", false),
            ("ws://[::1]/", false),
        ] {
            assert_eq!(goes_through(&proxy, url), expected, "{url}");
            assert!(!goes_through(&Proxy::none(), url), "{url}");
        }
        assert!(goes_through(&Proxy::all("http://proxy").unwrap(), "ws://127.0.0.1/"), "as it was told");
    }

    #[test]
    fn this_machine_needs_no_proxy() {
        for (host, expected) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.1.2.3", true),
            ("::1", true),
            ("h", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_here(host), expected, "{host}");
        }
    }

    #[test]
    fn what_names_no_proxy_says_why() {
        for (url, expected) in [
            ("", ProxyError::Malformed),
            ("proxy:3128", ProxyError::Malformed),
            ("http://user:pa@secret@proxy:3128", ProxyError::Malformed),
            ("http://proxy:99999", ProxyError::Malformed),
            ("http://:3128", ProxyError::Malformed),
            ("ftp://proxy", ProxyError::Scheme),
            ("socks4://proxy", ProxyError::Scheme),
        ] {
            assert_eq!(Proxy::all(url).unwrap_err(), expected, "{url}");
        }
    }

    #[test]
    fn passwords_are_not_for_the_log() {
        let proxy = Proxy::all("http://user:secret@proxy:3128").unwrap();
        let shown = format!("{proxy:?}");
        assert!(shown.contains("proxy:3128") && !shown.contains("secret"), "{shown}");
    }
}
