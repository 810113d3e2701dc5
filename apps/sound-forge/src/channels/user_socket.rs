//! Who may connect: the holder of a good API key, or a page whose visitor is logged in.

use bennu::prelude::*;

use crate::accounts::{Accounts, Credential};
use crate::ids::UserId;
use crate::queue::Queue;

/// The socket of phones, command-line tools and any stock Phoenix client.
#[derive(Debug)]
pub struct UserSocket {
    accounts: Accounts,
    queue: Queue,
}

/// What the channels of a connection know of it.
#[derive(Debug)]
pub struct Listener {
    /// Whose jobs it may follow.
    pub user_id: UserId,
    /// Where they are.
    pub queue: Queue,
}

impl UserSocket {
    /// A socket for these accounts.
    pub fn new(accounts: Accounts, queue: Queue) -> Self {
        Self { accounts, queue }
    }
}

impl Socket for UserSocket {
    type Assigns = Listener;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<Listener>, Refusal> {
        let token = request.params().text("token").ok_or(Refusal::Unauthorized)?;
        // A token that cannot be checked is an outage, and no reason for a client to give up.
        let visitor = self.accounts.of_socket_token(token).await?.ok_or(Refusal::Unauthorized)?;
        let listener = Listener { user_id: visitor.user_id, queue: self.queue.clone() };
        Ok(Connected::new(listener).with_id(socket_id(visitor.by)))
    }
}

/// Names all sockets of one key, or of one session, so that they can be dropped together.
pub fn socket_id(by: Credential) -> String {
    format!("user_socket:{by}")
}
