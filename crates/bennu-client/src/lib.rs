//! A client for Phoenix Channels.

mod behaviour;
pub mod blocking;
mod channel;
mod config;
mod driver;
mod endpoint;
mod error;
mod hooks;
mod join;
mod mailbox;
mod message;
mod observer;
mod presence;
mod provider;
mod push;
mod registry;
mod shared;
mod socket;
mod state;
mod status;
pub mod telemetry;
pub mod transport;

pub use behaviour::{CustomChannel, Handled, MAX_RESTARTS, RESTART_PERIOD};
pub use bennu_protocol::client::{Backoff, SendBuffer};
pub use bennu_protocol::presence::{Entry, Meta, PresenceChange, Presences};
pub use channel::{Channel, Messages};
pub use config::SocketConfig;
pub use driver::Driver;
pub use endpoint::{Endpoint, EndpointError, Params, ParamsError};
pub use error::{
    ChannelEnd, JoinError, PushError, ReconfigureError, RecvError, SocketEnd, SocketEnded, StartError,
};
pub use hooks::Hook;
pub use join::Join;
pub use message::Message;
pub use presence::{Presence, PresenceChanges};
pub use provider::{Provider, ProviderError};
pub use push::{Leave, Push, Sending};
pub use registry::NameTaken;
pub use socket::Socket;
pub use state::{ChannelState, PushState, SocketState};
pub use status::{ChannelStatus, SocketStatus, Statuses};
