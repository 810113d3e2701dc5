//! What is examined.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu_client::Params;
use http::Uri;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use crate::exit::{Exit, failure};
use crate::server::Access;

/// A socket of a server, and what the checks need to reach it.
pub(super) struct Target {
    access: Access,
    /// How long an answer may take.
    pub(super) timeout: Duration,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Tls>,
    /// What `Authorization` says for the credentials in the URL.
    authorization: Option<String>,
}

/// How to speak TLS with it.
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
    /// Certificates of the system that could not be read.
    pub(super) unread_roots: usize,
}

impl Target {
    pub(super) fn new(access: Access, timeout: Duration) -> anyhow::Result<Self> {
        let uri = uri(&access, "websocket", "2.0.0", &Params::new())?;
        let secure = matches!(uri.scheme_str(), Some("wss" | "https"));
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = match secure {
            true => Some(Tls::new(&host)?),
            false => None,
        };
        let credentials = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@'));
        let authorization = credentials.map(|(credentials, _)| basic_auth(credentials));
        Ok(Target { access, timeout, host, port, tls, authorization })
    }

    /// Path and query of a transport's URL.
    pub(super) fn path(&self, segment: &str, vsn: &str, more: &[(&str, &str)]) -> anyhow::Result<String> {
        let params =
            more.iter().fold(self.access.params.clone(), |params, (name, value)| params.with(*name, *value));
        let uri = uri(&self.access, segment, vsn, &params)?;
        Ok(uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string))
    }

    /// The origin of a page that this very host serves.
    pub(super) fn origin(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// For the `Host` header: without the port that the scheme means anyway.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.tls.is_some() { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    pub(super) fn headers(&self) -> &[(String, String)] {
        &self.access.headers
    }

    pub(super) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    pub(super) fn auth_token(&self) -> Option<&str> {
        self.access.auth_token.as_deref()
    }
}

impl Tls {
    /// Trusts what the system trusts, or what `SSL_CERT_FILE` names.
    fn new(host: &str) -> anyhow::Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (_, refused) = roots.add_parsable_certificates(found.certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no version of TLS can be spoken")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned());
        let name =
            name.map_err(|_| failure(Exit::Usage, format!("{host} is no name that a certificate can have")))?;
        Ok(Tls { config: Arc::new(config), name, unread_roots: found.errors.len() + refused })
    }
}

fn uri(access: &Access, segment: &str, vsn: &str, params: &Params) -> anyhow::Result<Uri> {
    let url = access.endpoint.url(segment, vsn, params);
    url.parse().map_err(|_| failure(Exit::Usage, "the url cannot be requested"))
}

/// Credentials of a URL as the client sends them.
fn basic_auth(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(percent_decoded(credentials)))
}

/// A percent sign that no two hexadecimal digits follow stands for itself.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                rest = &after[2..];
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_url() {
        for (credentials, expected) in [
            ("user:pass", "Basic dXNlcjpwYXNz"),
            ("user:p%20w", "Basic dXNlcjpwIHc="),
            ("user:%zz%4", "Basic dXNlcjolenolNA=="),
        ] {
            assert_eq!(basic_auth(credentials), expected, "{credentials}");
        }
    }
}
