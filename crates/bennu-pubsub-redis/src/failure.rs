//! Why a session with the server ended.

use std::io;
use std::time::Duration;

use redis::{ErrorKind, RedisError};

/// What ended a session, in words for an operator: it is the reason in `/health` and in the log. No credential is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot connect to {address}: {error}")]
    Connect { address: String, error: io::Error },
    #[error("no TLS with {address}: {error}")]
    Tls { address: String, error: io::Error },
    #[error("the server refuses the credentials: {0}")]
    Credentials(String),
    #[error("the server speaks no RESP3: Redis 7 is needed")]
    TooOld,
    #[error("the server does not permit it: {0}")]
    NotPermitted(String),
    #[error(
        "the server belongs to a Redis Cluster, whose sharded channels are not supported: use plain ones ({0})"
    )]
    Cluster(String),
    #[error("the server refuses: {0}")]
    Refused(String),
    #[error("the connection broke: {0}")]
    Broken(RedisError),
    #[error("the server has not answered for {0:?}")]
    Silent(Duration),
    #[error("the server closed the connection")]
    Closed,
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::RESP3NotSupported => return Failure::TooOld,
            ErrorKind::Io if error.is_connection_dropped() => return Failure::Closed,
            ErrorKind::Io => return Failure::Broken(error),
            _ => {}
        }
        // Of many commands in one round trip the first that failed tells enough.
        let Some(first) = error.clone().into_server_errors().and_then(|errors| errors.first().cloned())
        else {
            return Failure::Broken(error);
        };
        let (_, first) = first;
        let said = format!("{} {}", first.code(), first.details().unwrap_or_default());
        match first.code() {
            "WRONGPASS" | "NOAUTH" => Failure::Credentials(said),
            "NOPERM" => Failure::NotPermitted(said),
            "MOVED" | "CLUSTERDOWN" | "CROSSSLOT" => Failure::Cluster(said),
            _ => Failure::Refused(said),
        }
    }
}
