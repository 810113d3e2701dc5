//! Who may connect: the holder of a token that the page got at its login.

use std::time::Duration;

use bennu::prelude::*;
use bennu::token::VerifyOptions;

use crate::chat::Chat;

/// What the page's tokens are for; one made for anything else is none.
pub(crate) const SALT: &str = "user socket";

/// A token is good for a day.
const MAX_AGE: Duration = Duration::from_secs(86_400);

/// Bytes that a device may call itself.
const MAX_DEVICE: usize = 32;

/// The socket at `/socket`.
#[derive(Debug)]
pub struct UserSocket {
    /// Who there is.
    pub chat: Chat,
    /// Who is online.
    pub presence: Presence,
}

/// What the channels of a connection know.
#[derive(Debug)]
pub struct CurrentUser {
    /// Who is connected.
    pub id: u64,
    /// With what: `web`, unless the client says something else.
    pub device: String,
    /// What they talk about.
    pub chat: Chat,
    /// Who is online.
    pub presence: Presence,
}

impl Socket for UserSocket {
    type Assigns = CurrentUser;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<CurrentUser>, Refusal> {
        let options = VerifyOptions::new().max_age(MAX_AGE);
        // A token that is missing, invalid or expired is answered with 403.
        let verified = request.tokens().verify_with::<u64>(SALT, request.params().text("token"), &options)?;
        let id = verified.data;
        let device = request.params().text("device").filter(|device| device.len() <= MAX_DEVICE);
        let user = CurrentUser {
            id,
            device: device.unwrap_or("web").to_owned(),
            chat: self.chat.clone(),
            presence: self.presence.clone(),
        };
        // An administrator revokes what was signed until then, and no later login.
        Ok(Connected::new(user).with_id(socket_id(id)).issued_at(verified.signed_at))
    }
}

/// Names all connections of a user.
#[must_use]
pub fn socket_id(user: u64) -> String {
    format!("user_socket:{user}")
}
