//! A client for Phoenix Channels.

mod endpoint;
mod message;
#[allow(dead_code, reason = "sockets take their names here when they start")]
mod registry;
pub mod telemetry;
pub mod transport;

pub use endpoint::{Endpoint, EndpointError, Params, ParamsError};
pub use message::Message;
pub use registry::NameTaken;
