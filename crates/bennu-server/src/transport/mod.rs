//! How clients are connected.

mod answer;
pub(crate) mod connect;
pub(crate) mod handshake;
pub(crate) mod longpoll;
pub(crate) mod shard;
mod stall;
mod websocket;

pub use stall::Stall;

use handshake::Handshake;
use longpoll::LongPoll;

/// What is mounted at a path: how a client may talk to a socket there.
#[derive(Debug)]
#[non_exhaustive]
pub enum Transport<'a> {
    /// A WebSocket, which begins with an upgrade.
    WebSocket(Handshake<'a>),
    /// Requests that each bring or fetch messages.
    LongPoll(LongPoll<'a>),
}
