//! A room: who is there, and what they say.

use bennu::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::User;

/// One client's join of one room.
pub(crate) struct RoomChannel {
    presence: presence::Owner,
}

#[derive(Deserialize)]
struct Message {
    body: String,
}

impl Channel for RoomChannel {
    type Assigns = User;

    async fn join(request: JoinRequest<User>) -> Result<Joined<Self>, JoinRefusal> {
        match request.rest() {
            "private" => Err(JoinRefusal::reason("unauthorized")),
            _ => Ok(Joined::new(RoomChannel { presence: request.assigns().presence.owner() })),
        }
    }

    async fn after_join(&mut self, cx: &mut Context<User>) -> Result<(), ChannelError> {
        self.presence.track(cx.topic(), &cx.assigns().name, json!({}))?;
        cx.push("presence_state", self.presence.list(cx.topic()).await)?;
        Ok(())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<User>) -> HandlerResult {
        match event {
            "message:new" => {
                let message: Message = payload.parse()?;
                cx.broadcast("message:new", json!({ "from": cx.assigns().name, "body": message.body }))?;
                Handled::ok()
            }
            _ => Handled::unknown_event(event),
        }
    }
}
