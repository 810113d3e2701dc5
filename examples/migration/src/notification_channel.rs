//! `notifications:{user_id}`: the topic that moved.

use bennu::prelude::*;
use serde_json::json;

use crate::User;

/// One user's notifications, for that user alone.
#[derive(Debug)]
pub struct NotificationChannel;

impl Channel for NotificationChannel {
    type Assigns = User;

    async fn join(request: JoinRequest<User>) -> Result<Joined<Self>, JoinRefusal> {
        let User { id, address } = request.assigns();
        match request.rest() == id.to_string() {
            true => Joined::with_response(NotificationChannel, json!({ "connected_from": address })),
            false => Err(JoinRefusal::reason("unauthorized")),
        }
    }
}
