//! Looking up names, and letting checked addresses through alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{AddressPolicy, RefusedAddress};

/// Looks up the addresses of a name.
pub trait Lookup: std::fmt::Debug + Send + Sync {
    /// The addresses of a name, with port 0 where any port will do.
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// Asks the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    }
}

/// The resolver of the HTTP client: what it returns is what gets connected to.
#[derive(Debug)]
pub(super) struct Checked {
    lookup: Arc<dyn Lookup>,
    policy: Arc<dyn AddressPolicy>,
}

impl Checked {
    pub(super) fn new(lookup: Arc<dyn Lookup>, policy: Arc<dyn AddressPolicy>) -> Self {
        Self { lookup, policy }
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let looked_up = self.lookup.lookup(name.as_str().to_owned());
        let policy = self.policy.clone();
        Box::pin(async move {
            let mut addresses = looked_up.await?;
            addresses.retain(|address| policy.permits(*address));
            if addresses.is_empty() {
                return Err(RefusedAddress { host: name.as_str().to_owned() }.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
