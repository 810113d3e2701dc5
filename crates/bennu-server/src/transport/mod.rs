//! How clients are connected.

mod answer;
pub(crate) mod connect;
pub(crate) mod handshake;
mod websocket;

use handshake::Handshake;

/// What is mounted at a path: how a client may talk to a socket there.
#[derive(Debug)]
#[non_exhaustive]
pub enum Transport<'a> {
    /// A WebSocket, which begins with an upgrade.
    WebSocket(Handshake<'a>),
}
