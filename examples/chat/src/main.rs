//! A chat with presence: `cargo run -p chat`, then open <http://127.0.0.1:4001> twice.

use axum::{Router, http::header, response::Html, routing::get};
use bennu::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

struct ChatSocket {
    presence: Presence,
}

struct User {
    name: String,
    presence: Presence,
}

impl Socket for ChatSocket {
    type Assigns = User;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<User>, Refusal> {
        let name = request.params().text("name").filter(|name| !name.is_empty());
        let name = name.ok_or(Refusal::Unauthorized)?.to_owned();
        Ok(Connected::new(User { name, presence: self.presence.clone() }))
    }
}

struct RoomChannel {
    presence: presence::Owner,
}

#[derive(Serialize, Deserialize)]
struct Message {
    body: String,
}

impl Channel for RoomChannel {
    type Assigns = User;

    async fn join(request: JoinRequest<User>) -> Result<Joined<Self>, JoinRefusal> {
        if request.rest() == "private" {
            return Err(JoinRefusal::reason("unauthorized"));
        }
        Ok(Joined::new(RoomChannel { presence: request.assigns().presence.owner() }))
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
                cx.broadcast("message:new", json!({"from": cx.assigns().name, "body": message.body}))?;
                Handled::ok()
            }
            _ => Handled::unknown_event(event),
        }
    }
}

fn endpoint() -> Result<Endpoint, bennu::BuildError> {
    let pubsub = PubSub::local();
    let socket = ChatSocket { presence: Presence::new(pubsub.clone()) };
    let channels = Channels::new().channel::<RoomChannel>("room:*");
    Endpoint::builder(pubsub).socket("/socket", socket, channels, SocketOptions::default()).build()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let endpoint = endpoint()?;
    let script = ([(header::CONTENT_TYPE, "text/javascript")], include_str!(env!("PHOENIX_JS")));
    let app = Router::new()
        .route("/", get(|| async { Html(include_str!("../assets/index.html")) }))
        .route("/phoenix.mjs", get(move || async move { script }))
        .layer(bennu::axum::sockets(&endpoint));
    bennu::axum::serve(tokio::net::TcpListener::bind("127.0.0.1:4001").await?, app).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
