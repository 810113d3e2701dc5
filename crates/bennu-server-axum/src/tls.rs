//! TLS between TCP and HTTP.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::server::Server;
use crate::stream::Secured;

/// Encrypted bytes that one connection may keep before the client takes them: one full record. What waits behind
/// them waits in the socket's own backlog, where it is bounded and shared.
const MAX_BUFFERED: usize = 16 * 1024;

impl Server {
    /// Serves over TLS: `https://` and `wss://` on this listener, and nothing else on it.
    ///
    /// The configuration is rustls's own, so certificates can be renewed while it runs (`cert_resolver`) and clients
    /// be asked for theirs. The protocols it offers by ALPN are set to HTTP/1.1, the only one that is served. The
    /// handshake has to be over within [`ServerLimits::header_timeout`](crate::ServerLimits::header_timeout).
    ///
    /// A socket over TLS costs several kilobytes more than one without, for the keys and buffers of its session:
    /// where memory counts, let a proxy in front do it.
    ///
    /// ```no_run
    /// # async fn run(listener: tokio::net::TcpListener, app: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
    /// use bennu_server_axum::Server;
    /// use bennu_server_axum::rustls::ServerConfig;
    /// use bennu_server_axum::rustls::pki_types::pem::PemObject as _;
    /// use bennu_server_axum::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    ///
    /// let chain = CertificateDer::pem_file_iter("chain.pem")?.collect::<Result<_, _>>()?;
    /// let key = PrivateKeyDer::from_pem_file("key.pem")?;
    /// let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    /// Server::new(listener, app).tls(config).run().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The builder takes the process's cryptography: add `rustls` with its feature `ring` or `aws_lc_rs` to your crate,
    /// or name a provider with `ServerConfig::builder_with_provider`.
    pub fn tls(self, mut config: ServerConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        self.secured(Arc::new(move |tcp| {
            let handshake = acceptor.accept(tcp);
            Box::pin(async {
                let mut stream = handshake.await?;
                stream.get_mut().1.set_buffer_limit(Some(MAX_BUFFERED));
                Ok(Box::new(stream) as Box<dyn Secured>)
            })
        }))
    }
}
