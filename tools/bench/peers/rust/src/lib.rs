//! What the servers have in common: a port to listen on, and as many open files as the system gives.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Parser;
use tokio::net::{TcpListener, TcpSocket};

/// Clients come in crowds: more than the kernel's queue holds by default.
pub const BACKLOG: u32 = 4096;

/// Serves one protocol of bennu-bench on 127.0.0.1.
#[derive(Debug, Parser)]
pub struct Options {
    /// The port to listen on.
    #[arg(long)]
    port: u16,
}

impl Options {
    /// Reads the command line, and raises the limit of open files.
    pub fn start() -> Options {
        if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
            eprintln!("the limit of open files stays as it is: {error}");
        }
        Options::parse()
    }

    /// Where to listen.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A listener there.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn listen(&self) -> std::io::Result<TcpListener> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address())?;
        socket.listen(BACKLOG)
    }
}
