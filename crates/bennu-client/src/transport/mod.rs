//! What carries a socket's frames: [`Transport`] is what one has to do, and the ones that come with this crate.

pub use bennu_protocol::client::{Connection, ConnectionEvent, OpenError, OpenRequest, Opening, Transport};
