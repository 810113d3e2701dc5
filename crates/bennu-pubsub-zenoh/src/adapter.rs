//! The settings, and the adapter that they make.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use bennu_pubsub::{Adapter, Link};

use crate::session;
use crate::url::{self, UrlError};

/// Zenoh as the engine of a [`PubSub`](bennu_pubsub::PubSub): how nodes find each other.
///
/// A session has threads of its own: eight, and three that call it. Nothing of it runs on the application's runtime.
#[derive(Debug, Clone)]
pub struct Zenoh {
    pub(crate) addresses: Vec<String>,
    pub(crate) listen: Option<String>,
    pub(crate) discovery: Option<SocketAddr>,
    pub(crate) gossip: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) max_packet: usize,
    pub(crate) timeout: Duration,
}

/// The files of a node's TLS.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Zenoh {
    /// The least that [`max_packet`](Self::max_packet) can be.
    pub(crate) const LEAST_PACKET: usize = 1_024;

    /// Where Zenoh's peers look for each other by multicast.
    pub(crate) const MULTICAST: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(224, 0, 0, 224)), 7_446);

    /// Nodes of which some have these addresses, each `host:port`. All nodes can have the same list.
    ///
    /// A node listens at the first address of the list that is this machine's and free. One that finds none listens at a free
    /// port of the interface that leads to the first address, of which it tells the others.
    pub fn new(addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            addresses: addresses.into_iter().map(Into::into).collect(),
            listen: None,
            discovery: None,
            gossip: true,
            tls: None,
            max_packet: 8 << 20,
            timeout: Duration::from_secs(5),
        }
    }

    /// The nodes of a URL: `zenoh://host:port`, with more addresses behind commas, or `zenoh://?discovery=multicast`.
    ///
    /// Parameters: `listen=host:port`, `discovery=multicast` or `discovery=` an address of the multicast network with its
    /// port, `gossip=false`, `max_packet=` bytes, `timeout_ms=`, and for TLS the files `ca=`, `cert=` and `key=`, as the methods have them.
    ///
    /// ```
    /// use bennu_pubsub_zenoh::Zenoh;
    ///
    /// let zenoh = Zenoh::from_url("zenoh://10.0.0.1:7447,10.0.0.2:7447")?;
    /// # Ok::<(), bennu_pubsub_zenoh::UrlError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When it is of another scheme, leads to no other node, or has a parameter that there is not.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        url::parse(url)
    }

    /// Listen at this address, `host:port`, and no other. Default: as [`new`](Self::new) says.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// Look for nodes by multicast at the usual address, `224.0.0.224:7446`. Default: off, since whoever is in the same
    /// network would be connected to.
    #[must_use]
    pub fn discover(self) -> Self {
        self.discover_at(Self::MULTICAST)
    }

    /// Look for nodes by multicast at this address, which keeps clusters in one network apart.
    #[must_use]
    pub fn discover_at(mut self, address: SocketAddr) -> Self {
        self.discovery = Some(address);
        self
    }

    /// Whether nodes tell each other of those that they know, and connect to those. Default: on. Without, each pair of nodes
    /// needs an address of one in the list of the other; which is for networks where nodes are reached at other addresses than
    /// those that they listen at.
    #[must_use]
    pub fn gossip(mut self, gossip: bool) -> Self {
        self.gossip = gossip;
        self
    }

    /// TLS between nodes, which know each other by certificates of this authority. All three are PEM files, read on
    /// connecting.
    ///
    /// Whoever has a certificate of the authority is a node, whatever name is in it, so it must be one that signs nodes alone.
    #[must_use]
    pub fn tls(
        mut self,
        ca: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls = Some(Tls { ca: ca.into(), certificate: certificate.into(), key: key.into() });
        self
    }

    /// The most bytes in one message to other nodes; a broadcast that needs more stays on its node. All nodes must agree.
    /// Default: 8 MiB. Taken as at least 1 KiB.
    #[must_use]
    pub fn max_packet(mut self, bytes: usize) -> Self {
        self.max_packet = bytes.max(Self::LEAST_PACKET);
        self
    }

    /// How long a node may be silent before the others take it for gone. Default: 5 seconds. One that takes nothing for half
    /// of that, while others wait to send to it, is cut off.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Adapter for Zenoh {
    fn engine(&self) -> &'static str {
        "zenoh"
    }

    fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(session::run(self, link))
    }
}
