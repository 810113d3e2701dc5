//! `presence:*`: one key per join, and what can be done with it.

use bennu::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Connection;

pub(super) struct PresenceChannel {
    presence: presence::Owner,
    key: String,
}

/// What `track` carries.
#[derive(Deserialize)]
struct Tracking {
    key: String,
    meta: Value,
}

impl Channel for PresenceChannel {
    type Assigns = Connection;

    async fn join(request: JoinRequest<Connection>) -> Result<Joined<Self>, JoinRefusal> {
        let payload: Value = request.payload().parse()?;
        let Connection { user_id, presence, .. } = request.assigns();
        let key = payload["name"].as_str().or(user_id.as_deref());
        let key = key.ok_or_else(|| JoinRefusal::reason("no name"))?.to_owned();
        Ok(Joined::new(PresenceChannel { presence: presence.owner(), key }))
    }

    async fn after_join(&mut self, cx: &mut Context<Connection>) -> Result<(), ChannelError> {
        self.presence.track(cx.topic(), &self.key, json!({ "status": "online" }))?;
        cx.push("presence_state", self.presence.list(cx.topic()).await)?;
        Ok(())
    }

    async fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Connection>,
    ) -> HandlerResult {
        match event {
            "update" => {
                let meta: Value = payload.parse()?;
                self.presence.update(cx.topic(), &self.key, meta)?;
                Handled::ok()
            }
            "untrack" => {
                self.presence.untrack(cx.topic(), &self.key);
                Handled::ok()
            }
            "track" => {
                let Tracking { key, meta } = payload.parse()?;
                let tracked = self.presence.track(cx.topic(), key, meta);
                Handled::reply(json!({ "r": if tracked.is_ok() { ":ok" } else { ":error" } }))
            }
            "list" => Handled::reply(self.presence.list(cx.topic()).await),
            "crash" => panic!("asked to crash"),
            _ => Handled::unknown_event(event),
        }
    }
}
