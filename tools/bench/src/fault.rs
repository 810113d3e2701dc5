//! What a run fails of.

use bennu_protocol::websocket::ProtocolViolation;
use thiserror::Error;

use crate::payload::{Corrupted, Stamp};
use crate::protocol::Unexpected;

/// Why a run ended without figures.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    /// A delivery came twice, or after a later one.
    #[error("connection {link}: message {} of sender {} came again or late, {due} was due", .stamp.sequence, .stamp.sender)]
    Repeated { link: usize, stamp: Stamp, due: u64 },
    /// A delivery came before an earlier one, which is lost or late.
    #[error("connection {link}: message {} of sender {} came where {due} was due: lost or out of order", .stamp.sequence, .stamp.sender)]
    Skipped { link: usize, stamp: Stamp, due: u64 },
    /// A payload is not what was sent.
    #[error("connection {link}: {cause}")]
    Corrupted { link: usize, cause: Corrupted },
    /// A delivery that nobody sent, or not there.
    #[error("connection {link}: {what}")]
    Stray { link: usize, what: String },
    /// A message outside of the contract.
    #[error("connection {link}: {cause}")]
    Unexpected { link: usize, cause: Unexpected },
    /// Bytes that are no WebSocket frames.
    #[error("connection {link}: {cause}")]
    Framing { link: usize, cause: ProtocolViolation },
    /// The server ended a connection.
    #[error("connection {link} was closed by the server: {why}")]
    Closed { link: usize, why: String },
    /// The server refused a connection.
    #[error("connection {link} was not upgraded: {why}")]
    Refused { link: usize, why: String },
    /// Nothing came for a while though something was due.
    #[error("nothing came for {seconds} s while waiting for {missing}")]
    Missing { seconds: u64, missing: String },
    /// A further client process failed.
    #[error("another client process: {0}")]
    Crowd(String),
    /// The machine, not the server.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Fault {
    /// Whether the server is to blame, and not the machine.
    pub(crate) fn is_the_servers(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}
