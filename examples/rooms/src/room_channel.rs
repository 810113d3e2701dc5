//! `room:{id}`: a room and who is in it.

use std::time::{SystemTime, UNIX_EPOCH};

use bennu::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::notification_channel::notify;
use crate::user_socket::CurrentUser;

/// Messages that someone who comes in is shown.
const HISTORY: usize = 50;

/// One user in one room.
#[derive(Debug)]
pub struct RoomChannel {
    room_id: u64,
    presence: presence::Owner,
}

#[derive(Deserialize)]
struct NewMessage {
    #[serde(default)]
    body: Value,
}

impl Channel for RoomChannel {
    type Assigns = CurrentUser;

    async fn join(request: JoinRequest<CurrentUser>) -> Result<Joined<Self>, JoinRefusal> {
        let user = request.assigns();
        match request.rest().parse() {
            Ok(room_id) if user.chat.is_member(user.id, room_id) => {
                Ok(Joined::new(RoomChannel { room_id, presence: user.presence.owner() }))
            }
            _ => Err(JoinRefusal::reason("unauthorized")),
        }
    }

    async fn after_join(&mut self, cx: &mut Context<CurrentUser>) -> Result<(), ChannelError> {
        let CurrentUser { id, device, chat, .. } = cx.assigns();
        // Who comes back after a lost connection has what was said before, and has just got what it missed.
        if !cx.recovery().is_recovered() {
            cx.push("messages:history", json!({ "messages": chat.recent_messages(self.room_id, HISTORY) }))?;
        }
        let online_at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        self.presence.track(
            cx.topic(),
            id.to_string(),
            json!({ "online_at": online_at, "device": device }),
        )?;
        cx.push("presence_state", self.presence.list(cx.topic()).await)?;
        Ok(())
    }

    async fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<CurrentUser>,
    ) -> HandlerResult {
        match event {
            "message:new" => self.say(&payload.parse()?, cx),
            "typing:start" => {
                cx.broadcast_from("typing:start", json!({ "user_id": cx.assigns().id }))?;
                Handled::no_reply()
            }
            _ => Handled::unknown_event(event),
        }
    }
}

impl RoomChannel {
    fn say(&self, new: &NewMessage, cx: &Context<CurrentUser>) -> HandlerResult {
        let CurrentUser { id, chat, .. } = cx.assigns();
        let message = match chat.create_message(self.room_id, *id, &new.body) {
            Ok(message) => message,
            Err(invalid) => return Handled::error(invalid),
        };
        cx.broadcast("message:new", &message)?;
        for user in chat.mentioned(self.room_id, &message) {
            notify(cx.endpoint(), user, self.room_id, &message)?;
        }
        Handled::ok()
    }
}
