//! What this server serves: one socket, with rooms to talk in.

mod room;

use bennu::prelude::*;

/// Everything that clients can reach; tests connect to it without a network.
///
/// # Errors
///
/// When the sockets and channels contradict each other.
pub fn endpoint() -> Result<Endpoint, bennu::BuildError> {
    let pubsub = PubSub::local();
    let socket = UserSocket { presence: Presence::new(pubsub.clone()) };
    let channels = Channels::new().channel::<room::RoomChannel>("room:*");
    Endpoint::builder(pubsub).socket("/socket", socket, channels, SocketOptions::default()).build()
}

struct UserSocket {
    presence: Presence,
}

/// Who is connected; all channels of a connection share it.
struct User {
    name: String,
    presence: Presence,
}

impl Socket for UserSocket {
    type Assigns = User;

    // Everybody who says a name gets in. To know who it really is, verify a token here:
    // `request.tokens().verify::<String>("user socket", request.params().text("token"))?`
    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<User>, Refusal> {
        let name = request.params().text("name").filter(|name| !name.is_empty());
        let name = name.ok_or(Refusal::Unauthorized)?.to_owned();
        Ok(Connected::new(User { name, presence: self.presence.clone() }))
    }
}
