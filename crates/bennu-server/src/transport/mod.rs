//! How clients are connected.

pub(crate) mod handshake;
mod websocket;
