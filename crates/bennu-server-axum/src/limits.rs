//! What one server takes from its peers.

use std::time::Duration;

/// File descriptors that are kept for everything but clients, at least.
const KEPT: usize = 32;

/// Limits of a [`Server`](crate::Server) on TCP connections and HTTP requests. Each has a safe default.
///
/// Limits of a socket once it is open are in `SocketOptions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    pub(crate) max_connections: Option<usize>,
    pub(crate) header_timeout: Duration,
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) max_head_size: usize,
    pub(crate) max_headers: usize,
    pub(crate) send_buffer: Option<usize>,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            max_connections: None,
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            max_head_size: 64 * 1024,
            max_headers: 100,
            send_buffer: None,
        }
    }
}

impl ServerLimits {
    /// How many TCP connections may be open at once, sockets and requests alike; more wait in the
    /// kernel's queue, and the endpoint is not ready meanwhile. By default what the limit of open files
    /// leaves when an eighth of it, 32 at least, is kept for files and databases.
    #[must_use]
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = Some(count);
        self
    }

    /// How long the head of a request may take, on a new connection from its beginning; 10 s by
    /// default. A slower client is disconnected.
    #[must_use]
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self
    }

    /// How long a connection may wait for its next request; 75 s by default. Keep it above what a
    /// proxy in front keeps its connections for (nginx: 60 s), so that it is not the server that closes.
    #[must_use]
    pub fn keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.keep_alive_timeout = timeout;
        self
    }

    /// A client whose request body moves by less than 4 KiB in this time, while the application waits
    /// for it, is disconnected; 30 s by default.
    #[must_use]
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// A client that takes less than 4 KiB of a response that waits in this time is disconnected;
    /// 30 s by default. For sockets there is `SocketOptions::write_timeout`.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// The longest head of a request in bytes; 64 KiB by default, 8 KiB at least. A longer one is answered with 431.
    #[must_use]
    pub fn max_head_size(mut self, bytes: usize) -> Self {
        self.max_head_size = bytes.max(8 * 1024);
        self
    }

    /// How many headers a request may have; 100 by default. More are answered with 431.
    #[must_use]
    pub fn max_headers(mut self, count: usize) -> Self {
        self.max_headers = count;
        self
    }

    /// Bytes that the kernel may keep for each client that takes them slowly; by default what the system finds right,
    /// on Linux up to the largest of `net.ipv4.tcp_wmem`, often 4 MB. Linux takes twice the number, for its own needs.
    ///
    /// It is the memory that no limit of a socket counts, so a server with many clients that may stall sets it to 64 KiB
    /// or so. It also bounds how fast one client is served: so many bytes for each round trip.
    #[must_use]
    #[doc(alias = "SO_SNDBUF")]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// The connections that are let in.
    pub(crate) fn slots(&self) -> usize {
        let slots = self.max_connections.unwrap_or_else(|| slots_of(open_files()));
        slots.clamp(1, tokio::sync::Semaphore::MAX_PERMITS)
    }
}

/// What a limit of open files leaves for clients.
fn slots_of(open_files: usize) -> usize {
    open_files.saturating_sub((open_files / 8).max(KEPT)).max(1)
}

#[cfg(unix)]
fn open_files() -> usize {
    let soft = rlimit::Resource::NOFILE.get_soft();
    soft.map_or(1_024, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn open_files() -> usize {
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_for_what_is_not_a_client() {
        for (files, slots) in [(0, 1), (32, 1), (64, 32), (256, 224), (1_024, 896), (1_000_000, 875_000)] {
            assert_eq!(slots_of(files), slots, "{files}");
        }
    }
}
