//! Certificates for servers and nodes that speak TLS.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority, certificates that it signed, and one that it did not, as files: `ca.pem`; `server.pem`, which is for `127.0.0.1`, `client.pem` and
/// `stranger.pem`; and the key of each of the three, such as `server.key`.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// Fresh ones, which live as long as this.
    ///
    /// # Errors
    ///
    /// They cannot be made or written.
    pub fn new() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let mut authority = CertificateParams::new([])?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Else it would have the name of those that it signs, which OpenSSL takes for having signed themselves.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        fs::write(folder.path().join("ca.pem"), authority.pem())?;
        for (name, of) in [("server", "127.0.0.1"), ("client", "node"), ("stranger", "localhost")] {
            let key = KeyPair::generate()?;
            let params = CertificateParams::new([of.to_owned()])?;
            let certificate = match name {
                "stranger" => params.self_signed(&key)?,
                _ => params.signed_by(&key, &authority)?,
            };
            fs::write(folder.path().join(format!("{name}.pem")), certificate.pem())?;
            fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(Self(folder))
    }

    /// The path of one of the files.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.folder().join(name).display().to_string()
    }

    /// What the URL of a node with a certificate has behind its question mark: `ca=…&cert=…&key=…`.
    #[must_use]
    pub fn of_client(&self) -> String {
        let folder = self.folder().display();
        format!("ca={folder}/ca.pem&cert={folder}/client.pem&key={folder}/client.key")
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }
}
