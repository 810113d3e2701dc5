//! TLS through rustls, with the ring provider.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::ConnectError;
use super::stream::Stream;

/// Whom to trust.
#[derive(Clone, Default)]
pub(super) enum Tls {
    /// Whom the operating system trusts.
    #[default]
    System,
    Given(Arc<ClientConfig>),
}

/// Why certificates cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RootCertificatesError {
    /// The text has no certificate.
    #[error("there is no certificate in the pem")]
    Empty,
    /// One of them cannot be read.
    #[error("a certificate cannot be read: {0}")]
    Malformed(String),
}

/// The operating system's, read once: it takes some milliseconds, and memory for each certificate.
static SYSTEM: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();

impl Tls {
    /// Makes a stream secure, to the server with this name or address.
    pub(super) async fn secure(&self, stream: Stream, host: &str) -> Result<Stream, ConnectError> {
        let failed = |reason: String| ConnectError::Tls { host: host.to_owned(), reason };
        let config = match self {
            Tls::Given(config) => config,
            Tls::System => SYSTEM.get_or_try_init(system).await.map_err(failed)?,
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        Ok(Stream::Tls(Box::new(connecting.await.map_err(|error| failed(error.to_string()))?)))
    }
}

/// A configuration has secrets when it has a client's certificate.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Tls::System => "System",
            Tls::Given(_) => "Given",
        })
    }
}

async fn system() -> Result<Arc<ClientConfig>, String> {
    let load = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let loaded = load.await.map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    match (added, loaded.errors.first()) {
        (0, Some(error)) => Err(format!("the system's certificates cannot be read: {error}")),
        (0, None) => Err("the system has no certificates".to_owned()),
        // Some that cannot be read do not matter, unless the server's is of theirs.
        _ => Ok(trusting(roots)),
    }
}

pub(super) fn trusting_pem(pem: &[u8]) -> Result<Arc<ClientConfig>, RootCertificatesError> {
    let malformed = |error: &dyn std::fmt::Display| RootCertificatesError::Malformed(error.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| malformed(&error))?;
        roots.add(certificate).map_err(|error| malformed(&error))?;
    }
    match roots.is_empty() {
        true => Err(RootCertificatesError::Empty),
        false => Ok(trusting(roots)),
    }
}

fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    // Else a server might choose HTTP/2, which has no upgrade.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
