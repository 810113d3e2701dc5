//! Ports that stay ours while a server is down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::Context;

/// Below the ports that kernels give to outgoing connections and to those who ask for any, so that nobody takes the port
/// of a server between its death and its restart.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A TCP port that no other test of this machine takes, for as long as this lives.
///
/// Its UDP port of the same number is bound meanwhile: what the kernel keeps for one process, and frees when that ends,
/// is a reservation that needs no files.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reserved: UdpSocket,
}

impl Port {
    /// One that is free.
    ///
    /// # Errors
    ///
    /// None is.
    pub fn reserve() -> anyhow::Result<Self> {
        let count = PORTS.end - PORTS.start;
        let first = u16::try_from(std::process::id().wrapping_mul(37) % u32::from(count)).unwrap_or_default();
        let candidates = (0..count).map(|step| PORTS.start + (first + step) % count);
        candidates.into_iter().find_map(Self::try_reserve).context("no port is free")
    }

    fn try_reserve(number: u16) -> Option<Self> {
        let reserved = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Port { number, _reserved: reserved })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// The port on the loopback.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}
