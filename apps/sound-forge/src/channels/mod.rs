//! What a Phoenix client meets: the socket and its one kind of channel.

mod job_channel;
mod user_socket;

use bennu::{BuildError, Channels, CheckOrigin, Endpoint, OriginPatternError, PubSub, SocketOptions};
use thiserror::Error;

use crate::accounts::Accounts;
use crate::queue::Queue;

pub use job_channel::JobChannel;
pub use user_socket::{Listener, UserSocket, socket_id};

/// Why the sockets cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketsError {
    /// One of the allowed origins is none.
    #[error("--origin: {0}")]
    Origin(#[from] OriginPatternError),
    /// The mounts do not fit together.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// The endpoint with everything clients may join. Whatever has no route here is internal:
/// `tracks`, `midi:events`, `osc:events` and `dj:session:*` answer a join with an error.
pub fn endpoint(
    pubsub: PubSub,
    accounts: Accounts,
    queue: Queue,
    origins: &[String],
) -> Result<Endpoint, SocketsError> {
    let options = SocketOptions::default()
        .check_origin(check_origin(origins)?)
        .origin_hint("if it is yours, allow it with --origin");
    let channels = Channels::new().channel::<JobChannel>("jobs:*");
    let endpoint = Endpoint::builder(pubsub)
        .socket("/socket", UserSocket::new(accounts, queue), channels, options)
        .build()?;
    Ok(endpoint)
}

fn check_origin(origins: &[String]) -> Result<CheckOrigin, OriginPatternError> {
    CheckOrigin::host_or(origins.iter().map(String::as_str))
}
