//! Files on the web, without becoming a door into the network the server stands in.
//!
//! Names are looked up here, the addresses are checked, and the connection goes to exactly a
//! checked address: there is no second look-up that could answer differently. Every redirect is
//! checked the same way. Proxies of the environment are not used, since they would look up names
//! themselves.

mod address;
mod fetch;
mod resolve;

use std::sync::Arc;

use thiserror::Error;
use url::{Host, Url};

pub use address::{AddressPolicy, Anything, PublicOnly, is_public};
pub use fetch::Target;
pub use resolve::{Lookup, SystemLookup};

use super::{Source, SourceError, Wanted, title_of};

/// Reads files from the web. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: reqwest::Client,
    policy: Arc<dyn AddressPolicy>,
}

/// An address that the studio does not connect to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "leads to {host}, which is no address of the public internet; \
     the studio does not connect there unless started with --allow-private-urls"
)]
pub struct RefusedAddress {
    pub(super) host: String,
}

impl Fetcher {
    /// Reads from addresses that the policy permits, looked up with `lookup`.
    ///
    /// # Errors
    ///
    /// When the machine's certificates cannot be used.
    pub fn new(policy: Arc<dyn AddressPolicy>, lookup: Arc<dyn Lookup>) -> reqwest::Result<Self> {
        let client = fetch::client(resolve::Checked::new(lookup, policy.clone()))?;
        Ok(Self { client, policy })
    }

    /// Understands an `http` or `https` URL.
    ///
    /// # Errors
    ///
    /// [`SourceError`] for what is wrong without looking anything up.
    pub(super) fn understand(&self, mut url: Url) -> Result<Wanted, SourceError> {
        self.check_url(&url)?;
        url.set_fragment(None);
        // "example.org." and "example.org" are the same host.
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        url.set_host(Some(&host))?;
        self.check_url(&url)?;
        let end = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
        let title = if end.is_empty() { host } else { title_of(&decoded(end)) };
        Ok(Wanted { source: Source::Http { url: url.to_string() }, canonical_url: url.to_string(), title })
    }

    /// Checks what the URL itself tells; its parser has turned every spelling of a number into an address.
    fn check_url(&self, url: &Url) -> Result<(), SourceError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SourceError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SourceError::Credentials);
        }
        let address: std::net::IpAddr = match url.host() {
            Some(Host::Ipv4(v4)) => v4.into(),
            Some(Host::Ipv6(v6)) => v6.into(),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(SourceError::NotAUrl(url::ParseError::EmptyHost)),
        };
        let port = url.port_or_known_default().unwrap_or_default();
        if self.policy.permits((address, port).into()) {
            return Ok(());
        }
        Err(RefusedAddress { host: address.to_string() }.into())
    }
}

fn decoded(segment: &str) -> String {
    let query = format!("t={}", segment.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(query.as_bytes()).next();
    decoded.map_or_else(|| segment.to_owned(), |(_, text)| text.into_owned())
}

#[cfg(test)]
mod tests;
