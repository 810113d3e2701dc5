//! WebSockets (RFC 6455) over the codec of `bennu-protocol`.

mod connection;
mod upgrade;

use super::{Connector, OpenRequest, Opening, Transport};

/// The transport of the official client: WebSockets over HTTP/1.1, with TLS and through proxies as its [`Connector`] says.
///
/// A connection has no task and, at rest, no buffer: all of a thread's read into one, and what waits to be sent is in memory that is freed
/// when it is gone. A token is offered as a sub-protocol, as Phoenix 1.8 reads it. Redirects are refusals.
///
/// ```
/// use bennu_client::transport::WebSocket;
///
/// let transport = WebSocket::new().compression(true).max_message_size(1 << 20);
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "Phoenix.Transports.WebSocket")]
pub struct WebSocket {
    connector: Connector,
    offers_compression: bool,
    max_message_size: usize,
    max_head_size: usize,
}

impl Default for WebSocket {
    fn default() -> Self {
        WebSocket {
            connector: Connector::default(),
            offers_compression: false,
            max_message_size: 16 << 20,
            max_head_size: 16 << 10,
        }
    }
}

impl WebSocket {
    /// One without compression, that reaches servers by a default [`Connector`].
    #[must_use]
    pub fn new() -> Self {
        WebSocket::default()
    }

    /// How servers are reached.
    #[must_use]
    pub fn connector(mut self, connector: Connector) -> Self {
        self.connector = connector;
        self
    }

    /// Whether to offer permessage-deflate (RFC 7692); `false` by default. With a server that takes it, messages of 1 KiB and more are
    /// compressed one by one, so that neither side keeps a context of some 300 KB for the connection.
    #[must_use]
    pub fn compression(mut self, offered: bool) -> Self {
        self.offers_compression = offered;
        self
    }

    /// The largest message of the server in bytes, after inflating; 16 MiB by default. A larger one ends the connection with 1009. Memory
    /// is taken as a message comes, not as it is announced.
    #[doc(alias = "max_frame_size")]
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// How long the head of the server's answer may be, in bytes; 16 KiB by default.
    #[must_use]
    pub fn max_head_size(mut self, bytes: usize) -> Self {
        self.max_head_size = bytes;
        self
    }
}

impl Transport for WebSocket {
    fn open(&self, request: OpenRequest) -> Opening {
        let settings = self.clone();
        Box::pin(async move {
            let connection = upgrade::open(&settings, &request).await?;
            Ok(Box::new(connection) as _)
        })
    }
}
