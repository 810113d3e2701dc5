//! Who may connect: whoever the Phoenix application let in.

use std::net::IpAddr;

use bennu::prelude::*;

use crate::Application;

/// The socket at `/bennu/socket`.
#[derive(Debug)]
pub struct UserSocket {
    token_salt: String,
    proxies: Vec<IpAddr>,
}

/// What the channels of a connection know.
#[derive(Debug)]
pub struct User {
    /// The application's id of the user.
    pub id: u64,
    /// Where the client is.
    pub address: Option<IpAddr>,
}

impl Socket for UserSocket {
    type Assigns = User;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<User>, Refusal> {
        let (id, signed_at) = match request.params().text("token") {
            Some(token) => {
                let verified = request.tokens().verify::<u64>(&self.token_salt, token)?;
                (verified.data, Some(verified.signed_at))
            }
            None => {
                let user_id = request.session().and_then(|session| session.get("user_id"));
                (user_id.ok_or(Refusal::Unauthorized)?, None)
            }
        };
        let user = User { id, address: self.address(request) };
        Ok(Connected::new(user).with_id(format!("user_socket:{id}")).issued_at(signed_at))
    }
}

impl UserSocket {
    /// The socket beside an application's own.
    #[must_use]
    pub fn new(application: &Application) -> Self {
        UserSocket { token_salt: application.token_salt.clone(), proxies: application.proxies.clone() }
    }

    /// What the proxy says, if the request came through one of ours; else whoever it came from.
    fn address(&self, request: &ConnectRequest) -> Option<IpAddr> {
        let peer = request.peer()?.ip();
        if !self.proxies.contains(&peer) {
            return Some(peer);
        }
        // The last entry is our proxy's; what stands before it, the client may have made up.
        let forwarded = request.headers().get_all("x-forwarded-for").iter().next_back()?;
        forwarded.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
    }
}
