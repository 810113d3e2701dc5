//! The settings, and the adapter that they make.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bennu_pubsub::{Adapter, Link};
use redis::{ProtocolVersion, RedisConnectionInfo};
use rustls::ClientConfig;

use crate::session;
use crate::tls::{CertificateError, Tls};
use crate::url::{self, UrlError};

/// Redis as the engine of a [`PubSub`](bennu_pubsub::PubSub): where it is, and how to speak with it.
///
/// Two connections are held: one publishes, the other has the subscriptions. Both speak RESP3. When one ends, both are made
/// anew, with pauses that grow to five seconds, and everything is subscribed to again, many subjects in one round trip.
pub struct Redis {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) sharded: bool,
    pub(crate) max_packet: usize,
    pub(crate) timeout: Duration,
    tls: Tls,
    pub(crate) tls_config: Option<Arc<ClientConfig>>,
}

/// Who we are to the server. Never shown.
pub(crate) struct Credentials {
    user: String,
    password: String,
}

impl Redis {
    /// The least that [`max_packet`](Self::max_packet) can be.
    pub(crate) const LEAST_PACKET: usize = 1_024;

    /// The Redis at `host` and `port`, without TLS and credentials.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            credentials: None,
            sharded: false,
            max_packet: 8 << 20,
            timeout: Duration::from_secs(5),
            tls: Tls::default(),
            tls_config: None,
        }
    }

    /// The Redis of a URL: `redis://user:password@host:6379`, or `rediss://…` with TLS.
    ///
    /// The user may be left out (`redis://:password@host`), and so may both, and the port. A number of a database in the path
    /// is ignored, since pub/sub has none. Parameters: `sharded=true`, `max_packet=` bytes, `timeout_ms=`, and for TLS the
    /// files `ca=`, `cert=` and `key=`, as the methods of the same names have them.
    ///
    /// ```
    /// use bennu_pubsub_redis::Redis;
    ///
    /// let redis = Redis::from_url("redis://bennu:secret@127.0.0.1:6379?sharded=true")?;
    /// assert!(!format!("{redis:?}").contains("secret"));
    /// # Ok::<(), bennu_pubsub_redis::UrlError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When it names no Redis, has a parameter that there is not, or names files that cannot be used.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        url::parse(url)
    }

    /// Who we are: a user of the server's ACL, or `""` and the server's password.
    #[must_use]
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials { user: user.into(), password: password.into() });
        self
    }

    /// Use sharded channels (`SPUBLISH`, `SSUBSCRIBE`). All nodes must agree. Default: off.
    ///
    /// On a single Redis both kinds do the same. Within a Redis Cluster plain channels work through any of its nodes, each of
    /// which sends everything to all others; sharded ones would stay on the node that owns them, which takes a client that
    /// follows the cluster's slots, and this adapter does not.
    #[must_use]
    pub fn sharded(mut self, sharded: bool) -> Self {
        self.sharded = sharded;
        self
    }

    /// The most bytes in one message to Redis; a broadcast that needs more stays on its node. Default: 8 MiB. Taken as at
    /// least 1 KiB.
    ///
    /// It must be less than the server's `proto-max-bulk-len` (512 MiB), and well below its `client-output-buffer-limit
    /// pubsub` (32 MiB), at which the server cuts a subscriber.
    #[must_use]
    pub fn max_packet(mut self, bytes: usize) -> Self {
        self.max_packet = bytes.max(Self::LEAST_PACKET);
        self
    }

    /// How long the server may be silent before it counts as gone: while connecting, for each answer, and between the signs
    /// of life that are asked of it. Default: 5 seconds. An idle server that stops is noticed within twice that.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// TLS, with the system's certificate authorities.
    ///
    /// # Errors
    ///
    /// When the system has none.
    pub fn tls(mut self) -> Result<Self, CertificateError> {
        self.tls_config = Some(self.tls.config()?);
        Ok(self)
    }

    /// TLS, with the certificate authorities of a PEM file and no others.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds no certificate.
    pub fn tls_with_ca(mut self, file: &Path) -> Result<Self, CertificateError> {
        self.tls.trust(file)?;
        self.tls()
    }

    /// TLS, with a certificate by which the server knows us, and its key, both PEM files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or the two do not belong together.
    pub fn client_certificate(mut self, certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        self.tls.identify(certificate, key)?;
        self.tls()
    }

    /// Where the server is, for messages.
    pub(crate) fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// What the client library says on connecting.
    pub(crate) fn greeting(&self) -> RedisConnectionInfo {
        let greeting = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        match &self.credentials {
            None => greeting,
            Some(Credentials { user, password }) if user.is_empty() => greeting.set_password(password),
            Some(Credentials { user, password }) => greeting.set_username(user).set_password(password),
        }
    }
}

impl Adapter for Redis {
    fn engine(&self) -> &'static str {
        "redis"
    }

    fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(session::run(self, link))
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("address", &self.address())
            .field("credentials", &self.credentials.is_some())
            .field("sharded", &self.sharded)
            .field("max_packet", &self.max_packet)
            .field("timeout", &self.timeout)
            .field("tls", &self.tls_config.as_ref().map(|_| &self.tls))
            .finish()
    }
}
