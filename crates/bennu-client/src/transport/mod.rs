//! What carries a socket's frames: [`Transport`] is what one has to do, and the ones that come with this crate.
//!
//! [`WebSocket`] is the usual one. Where networks break it, [`LongPoll`] works over plain requests, and [`Fallback`] finds out by itself.
//! All of them reach the server by a [`Connector`], which knows TLS and proxies.

mod connect;
mod fallback;
mod head;
mod longpoll;
mod random;
mod request;
mod websocket;

pub use bennu_protocol::client::{
    Connection, ConnectionEnd, ConnectionEvent, OpenError, OpenRequest, Opening, Transport,
};
pub use connect::{Connector, Proxy, ProxyError, RootCertificatesError};
pub use fallback::Fallback;
pub use longpoll::LongPoll;
pub use websocket::WebSocket;
