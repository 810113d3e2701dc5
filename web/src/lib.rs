//! A client for Phoenix Channels in a browser, written in Rust: the same session as `bennu-client`'s, with the browser's WebSocket and clock
//! around it in place of tokio's.
//!
//! ```ignore
//! use bennu_client_web::{BrowserWebSocket, Client};
//! use bennu_protocol::client::{ClientConfig, ClientEvent};
//!
//! let client = Client::start(BrowserWebSocket, "wss://example.com/socket/websocket?vsn=2.0.0", ClientConfig::default(), |client, event| match event {
//!     ClientEvent::JoinDue { channel, .. } => client.call(|session, now| drop(session.send_join(channel, Payload::empty(), now))),
//!     event => web_sys::console::log_1(&format!("{event:?}").into()),
//! });
//! client.call(|session, now| session.connect(now));
//! let room = client.call(|session, now| session.join("room:1", None, now));
//! ```

mod client;
mod transport;

pub use client::Client;
pub use transport::BrowserWebSocket;
