//! Where the server is, and how a connection to it begins.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu_protocol::websocket::handshake;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sha1::{Digest as _, Sha1};

use crate::protocol::{Protocol, Purpose};
use crate::tls;

/// What every connection of a run has in common.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// One for each node.
    addresses: Vec<SocketAddr>,
    pub(crate) protocol: Protocol,
    pub(crate) purpose: Purpose,
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// How many addresses of 127.0.0.0/8 the connections come from.
    sources: u8,
    pub(crate) delayed_acks: bool,
    host: String,
    path: String,
}

/// `ws://host:port/path` or `wss://…`, as text.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Empty for the protocol's own.
    pub(crate) path: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = text.split_once("://").context("a URL begins with ws:// or wss://")?;
        let tls = match scheme {
            "ws" | "http" => false,
            "wss" | "https" => true,
            other => bail!("{other}:// is not a scheme of WebSockets"),
        };
        let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(authority, path)| {
            (authority, if path.is_empty() { String::new() } else { format!("/{path}") })
        });
        let default_port = if tls { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().with_context(|| format!("port {port:?}"))?),
            None => (authority, default_port),
        };
        Ok(Self { tls, host: host.to_owned(), port, path })
    }

    /// The first address of the host.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        let mut addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
        addresses.next().with_context(|| format!("{} has no address", self.host))
    }
}

impl Target {
    pub(crate) fn new(
        urls: &[Url],
        protocol: Protocol,
        purpose: Purpose,
        trust: &tls::Trust,
        (sources, delayed_acks): (u8, bool),
    ) -> anyhow::Result<Self> {
        let url = urls.first().context("a server has an address")?;
        let tls = match url.tls {
            true => Some((tls::config(trust)?, ServerName::try_from(url.host.clone())?)),
            false => None,
        };
        Ok(Self {
            addresses: urls.iter().map(Url::address).collect::<anyhow::Result<_>>()?,
            protocol,
            purpose,
            tls,
            sources,
            delayed_acks,
            host: format!("{}:{}", url.host, url.port),
            path: protocol.target(&url.path, purpose),
        })
    }

    /// The request that opens a connection; the same key each time, as nothing is to be hidden from anyone.
    pub(crate) fn request(&self) -> Vec<u8> {
        let Self { host, path, .. } = self;
        let version = handshake::VERSION;
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )
        .into_bytes()
    }

    /// Where connection `link` goes: nodes take turns.
    pub(crate) fn address(&self, link: usize) -> SocketAddr {
        self.addresses[link % self.addresses.len()]
    }

    /// Where all nodes are.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address that connection `link` comes from, unless the system shall choose.
    pub(crate) fn source(&self, link: usize) -> Option<Ipv4Addr> {
        let last = 1 + (link % usize::from(self.sources.max(1))) as u8;
        (self.sources > 1).then(|| Ipv4Addr::new(127, 0, 0, last))
    }
}

const KEY: &str = "YmVubnUtYmVuY2gtY2xpZQ==";

/// Why the head of a response opens no connection, if it does not.
pub(crate) fn check_response(head: &str) -> Result<(), String> {
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        return Err(status.to_owned());
    }
    let accept = lines.filter_map(|line| line.split_once(':'));
    let accept = accept.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-accept"));
    let expected = STANDARD.encode(Sha1::digest(handshake::accept_source(KEY)));
    match accept.map(|(_, value)| value.trim()).next() {
        Some(value) if value == expected => Ok(()),
        other => Err(format!("Sec-WebSocket-Accept is {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, tls, host, port, path) in [
            ("ws://127.0.0.1:4100", false, "127.0.0.1", 4100, ""),
            ("ws://127.0.0.1:4100/", false, "127.0.0.1", 4100, ""),
            ("wss://localhost:4443/live", true, "localhost", 4443, "/live"),
            ("wss://localhost", true, "localhost", 443, ""),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.tls, &*url.host, url.port, &*url.path), (tls, host, port, path), "{text}");
        }
        for wrong in ["127.0.0.1:80", "ftp://a", "ws://a:b"] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_switch_of_protocols_opens() {
        let accept = STANDARD.encode(Sha1::digest(handshake::accept_source(KEY)));
        let switched = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {accept}");
        assert_eq!(check_response(&switched), Ok(()));
        for wrong in ["HTTP/1.1 200 OK", "HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: x", "", "101"] {
            assert!(check_response(wrong).is_err(), "{wrong:?}");
        }
    }
}
