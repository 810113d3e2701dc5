//! The certificate of a server that speaks TLS by itself.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bennu::axum::rustls::ServerConfig;
use bennu::axum::rustls::crypto::ring;
use bennu::axum::rustls::pki_types::pem::PemObject as _;
use bennu::axum::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Reads a chain of certificates and the key of the first of them, both PEM.
pub(crate) fn config(chain: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    let certificates = CertificateDer::pem_file_iter(chain).and_then(Iterator::collect);
    let certificates = certificates.with_context(|| format!("--tls-cert {}", chain.display()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("--tls-key {}", key.display()))?;
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .context("the key and the certificates do not fit")
}
