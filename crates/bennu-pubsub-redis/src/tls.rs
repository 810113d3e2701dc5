//! TLS to the server.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file with certificates or a key cannot be read, or holds none.
    #[error("{file} cannot be used: {reason}")]
    File {
        /// The file's path.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's certificates are to be trusted, and there are none.
    #[error("the system has no certificates to trust")]
    NoSystemCertificates,
    /// The certificate and the key do not belong together, or are of no use to TLS.
    #[error("the client's certificate is refused: {0}")]
    Client(String),
}

/// Whom to trust, and who we are.
#[derive(Default)]
pub(crate) struct Tls {
    roots: Option<RootCertStore>,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Tls {
    pub(crate) fn trust(&mut self, file: &Path) -> Result<(), CertificateError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| unusable(file, &error))?;
        }
        self.roots = Some(roots);
        Ok(())
    }

    pub(crate) fn identify(&mut self, certificate: &Path, key: &Path) -> Result<(), CertificateError> {
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
        self.client = Some((certificates(certificate)?, private));
        Ok(())
    }

    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, CertificateError> {
        let roots = self.roots.clone().map_or_else(system, Ok)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let Some((chain, key)) = &self.client else {
            return Ok(Arc::new(config.with_no_client_auth()));
        };
        let config = config.with_client_auth_cert(chain.clone(), key.clone_key());
        config.map(Arc::new).map_err(|error| CertificateError::Client(error.to_string()))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { roots, client } = self;
        let (own_roots, client) = (roots.is_some(), client.is_some());
        f.debug_struct("Tls").field("own_roots", &own_roots).field("client", &client).finish()
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| unusable(file, &error))?;
    if found.is_empty() {
        return Err(unusable(file, &"it holds no certificate"));
    }
    Ok(found)
}

fn system() -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    // Some that cannot be read do not matter, unless the server's is of theirs.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(CertificateError::NoSystemCertificates);
    }
    Ok(roots)
}

fn unusable(file: &Path, reason: &dyn std::fmt::Display) -> CertificateError {
    CertificateError::File { file: file.display().to_string(), reason: reason.to_string() }
}
