//! `notifications:{user_id}`: what concerns one user, wherever it happens.

use bennu::BroadcastError;
use bennu::prelude::*;
use serde_json::json;

use crate::chat::Message;
use crate::user_socket::CurrentUser;

/// One user's notifications, for that user alone.
#[derive(Debug)]
pub struct NotificationChannel;

impl Channel for NotificationChannel {
    type Assigns = CurrentUser;

    async fn join(request: JoinRequest<CurrentUser>) -> Result<Joined<Self>, JoinRefusal> {
        match request.rest() == request.assigns().id.to_string() {
            true => Ok(Joined::new(NotificationChannel)),
            false => Err(JoinRefusal::reason("unauthorized")),
        }
    }
}

/// Tells a user of a message that mentions them: which one, not what it says.
pub(crate) fn notify(
    endpoint: &Endpoint,
    user: u64,
    room: u64,
    message: &Message,
) -> Result<(), BroadcastError> {
    let mention = json!({ "room_id": room, "message_id": message.id, "user_id": message.user_id });
    endpoint.broadcast(format!("notifications:{user}"), "mention", mention)
}
