//! TLS through rustls, with the ring provider.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// How a connection is made secure.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    /// The handshake comes before anything that the server says.
    pub(crate) first: bool,
    /// Whom to trust; the operating system says it when there is none.
    pub(crate) authorities: Option<PathBuf>,
    /// A certificate of ours, and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Reads the files, in a thread that may wait for them.
    pub(crate) async fn config(&self) -> Result<ClientConfig, String> {
        let tls = self.clone();
        let reading = tokio::task::spawn_blocking(move || tls.read());
        reading.await.map_err(|error| error.to_string())?
    }

    fn read(&self) -> Result<ClientConfig, String> {
        let roots = match &self.authorities {
            Some(path) => given(path)?,
            None => system()?,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of TLS 1.2 and 1.3");
        let config = config.with_root_certificates(roots);
        let Some((certificate, key)) = &self.client else { return Ok(config.with_no_client_auth()) };
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
        config.with_client_auth_cert(chain, private).map_err(|error| unreadable(certificate, &error))
    }
}

fn given(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unreadable(path, &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| unreadable(path, &error))?;
    if certificates.is_empty() { Err(unreadable(path, &"it has none")) } else { Ok(certificates) }
}

fn unreadable(path: &Path, error: &dyn Display) -> String {
    format!("the certificate or key in {} cannot be used: {error}", path.display())
}

fn system() -> Result<RootCertStore, String> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    match (added, loaded.errors.first()) {
        (0, Some(error)) => Err(format!("the system's certificates cannot be read: {error}")),
        (0, None) => Err("the system has no certificates".to_owned()),
        // Some that cannot be read do not matter, unless the server's is of theirs.
        _ => Ok(roots),
    }
}
