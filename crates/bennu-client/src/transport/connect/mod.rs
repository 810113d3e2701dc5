//! From a target to a stream: resolving, TCP, proxies and TLS.

mod proxy;
mod socks;
mod stream;
mod tcp;
mod tls;

use std::sync::Arc;

use rustls::ClientConfig;
use thiserror::Error;

pub use proxy::{Proxy, ProxyError};
pub(super) use stream::Stream;
pub use tls::RootCertificatesError;
use tls::Tls;

use super::OpenError;
use super::request::Target;

/// How a transport reaches servers: which certificates it trusts, and which proxies it goes through.
///
/// By default it trusts what the operating system trusts, and asks the environment for proxies. A name is tried with all of its
/// addresses, IPv6 and IPv4 in turn (RFC 8305). It can be cloned at no cost, and shared by transports.
///
/// ```
/// use bennu_client::transport::{Connector, Proxy, WebSocket};
///
/// let proxy = Proxy::all("http://user:password@proxy.example:3128")?.except("localhost, .internal");
/// let transport = WebSocket::new().connector(Connector::new().proxy(proxy));
/// # Ok::<(), bennu_client::transport::ProxyError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Connector {
    tls: Tls,
    proxy: Proxy,
}

/// Which step towards the server failed.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    #[error("cannot resolve {host}: {reason}")]
    Resolve { host: String, reason: String },
    #[error("cannot connect to {host} port {port}: {reason}")]
    Connect { host: String, port: u16, reason: String },
    #[error("the proxy {proxy} failed: {reason}")]
    Proxy { proxy: String, reason: String },
    #[error("no TLS with {host}: {reason}")]
    Tls { host: String, reason: String },
}

impl From<ConnectError> for OpenError {
    fn from(error: ConnectError) -> Self {
        OpenError::Failed(error.to_string())
    }
}

impl Connector {
    /// The certificates of the operating system, and the proxies of the environment.
    #[must_use]
    pub fn new() -> Self {
        Connector::default()
    }

    /// Trusts what these certificates have signed, in PEM, and nothing else.
    ///
    /// # Errors
    ///
    /// [`RootCertificatesError`] when there is none in it, or one that cannot be read.
    pub fn root_certificates_pem(mut self, pem: impl AsRef<[u8]>) -> Result<Self, RootCertificatesError> {
        self.tls = Tls::Given(tls::trusting_pem(pem.as_ref())?);
        Ok(self)
    }

    /// TLS with a configuration of your own, as with a client certificate. If it offers protocols by ALPN, let `http/1.1` be the only one.
    #[must_use]
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Tls::Given(config);
        self
    }

    /// Through these proxies; [`Proxy::from_env`] by default.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// A stream to the target, with TLS if its scheme asks for it.
    pub(super) async fn connect(&self, target: &Target) -> Result<Stream, ConnectError> {
        let stream = match self.proxy.route(target) {
            Some(route) => route.connect(target, &self.tls).await?,
            None => Stream::Tcp(tcp::connect(&target.host, target.port).await?),
        };
        match target.is_secure {
            true => self.tls.secure(stream, &target.host).await,
            false => Ok(stream),
        }
    }
}
