//! The settings of an engine.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::tls::Tls;
use crate::url::{self, UrlError};

/// How often the server is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(3);

/// NATS as the engine between nodes: give it to [`PubSub::cluster`](bennu_pubsub::PubSub::cluster).
///
/// It connects in the background, and again with a growing and random pause whenever the connection ends or cannot be made,
/// to one server after another if there are several.
#[derive(Clone)]
#[doc(alias("Phoenix.PubSub.NATS", "--pubsub"))]
pub struct Nats {
    pub(crate) servers: Vec<String>,
    pub(crate) identity: Identity,
    pub(crate) tls: Option<Tls>,
    pub(crate) ping_interval: Duration,
}

/// Who we are to the server.
#[derive(Clone, PartialEq)]
pub(crate) enum Identity {
    Nobody,
    User(String, String),
    Token(String),
    Credentials(PathBuf),
    Nkey(PathBuf),
}

impl Nats {
    /// Reads `nats://[user:password@]host[:port][,host[:port]…][?option=value&…]`; `tls://` is the same over TLS alone.
    ///
    /// The port is 4222 if there is none. A user without a password is a token. What is not plain in a user or a password
    /// is percent-encoded. The options:
    ///
    /// | option | method |
    /// | --- | --- |
    /// | `tls=true` | [`require_tls`](Self::require_tls), as `tls://` |
    /// | `tls_first=true` | [`tls_first`](Self::tls_first) |
    /// | `ca=path` | [`certificate_authorities`](Self::certificate_authorities) |
    /// | `cert=path&key=path` | [`client_certificate`](Self::client_certificate) |
    /// | `creds=path` | [`credentials_file`](Self::credentials_file) |
    /// | `nkey=path` | [`nkey_file`](Self::nkey_file) |
    ///
    /// Everyone who may list a machine's processes sees their arguments, so secrets belong into files or the environment.
    ///
    /// # Errors
    ///
    /// [`UrlError`] says what is wrong, without repeating any of it. Files that are named are looked for at once, and
    /// read at each connection.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        url::parse(url)
    }

    pub(crate) fn of(servers: Vec<String>) -> Self {
        Nats { servers, identity: Identity::Nobody, tls: None, ping_interval: PING_INTERVAL }
    }

    /// A user and a password, as they are. Replaces what was said before about who we are, as all of these do.
    #[must_use]
    pub fn user_and_password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        Nats { identity: Identity::User(user.into(), password.into()), ..self }
    }

    /// A token, as it is.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Nats { identity: Identity::Token(token.into()), ..self }
    }

    /// A file with a user's JWT and the seed of its nkey, as `nsc` writes it. Read at each connection.
    #[must_use]
    pub fn credentials_file(self, path: impl Into<PathBuf>) -> Self {
        Nats { identity: Identity::Credentials(path.into()), ..self }
    }

    /// A file with the seed of a user's nkey, and nothing else. Read at each connection.
    #[must_use]
    pub fn nkey_file(self, path: impl Into<PathBuf>) -> Self {
        Nats { identity: Identity::Nkey(path.into()), ..self }
    }

    /// Talks to servers over TLS alone. Without it a server may still ask for TLS, and one that does not is believed.
    #[must_use]
    pub fn require_tls(mut self) -> Self {
        self.tls.get_or_insert_default();
        self
    }

    /// Begins with the TLS handshake, for servers with `handshake_first`. Requires TLS.
    #[must_use]
    pub fn tls_first(mut self) -> Self {
        self.tls.get_or_insert_default().first = true;
        self
    }

    /// A PEM file of the authorities that may have signed the servers' certificates, in place of the operating system's.
    /// Requires TLS. Read at each connection.
    #[must_use]
    pub fn certificate_authorities(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.get_or_insert_default().authorities = Some(path.into());
        self
    }

    /// PEM files of a certificate that says who we are, and of its key. Requires TLS. Read at each connection.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls.get_or_insert_default().client = Some((certificate.into(), key.into()));
        self
    }

    /// How often a silent server is asked for a sign of life; default 3 s. A server that has left two such questions
    /// unanswered when the third is due is given up, and so is one that takes longer than three intervals for a handshake.
    #[must_use]
    pub fn ping_interval(self, interval: Duration) -> Self {
        Nats { ping_interval: interval, ..self }
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Nats");
        debug
            .field("servers", &self.servers)
            .field("identity", &self.identity)
            .field("tls", &self.tls)
            .finish()
    }
}

/// Without what is secret.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Nobody => f.write_str("Nobody"),
            Identity::User(user, _) => write!(f, "User({user:?}, ..)"),
            Identity::Token(_) => f.write_str("Token(..)"),
            Identity::Credentials(path) => f.debug_tuple("Credentials").field(path).finish(),
            Identity::Nkey(path) => f.debug_tuple("Nkey").field(path).finish(),
        }
    }
}
