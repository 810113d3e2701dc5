//! The official npm clients on a topic with a history, with the code that docs/history.md gives them.

use std::net::SocketAddr;
use std::sync::mpsc;

use bennu::prelude::*;

use crate::npm_clients::run_script;

#[test]
fn phoenix_1_8_16_gets_what_it_missed() {
    run_script("history.mjs", "phoenix-1.8", "1.8.16", serve());
}

#[test]
fn phoenix_1_5_14_gets_what_it_missed() {
    run_script("history.mjs", "phoenix-1.5", "1.5.14", serve());
}

/// Broadcasts what it is sent, and lets clients cut each other off.
struct Room;

impl Channel for Room {
    type Assigns = String;

    async fn join(_: JoinRequest<String>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn after_join(&mut self, cx: &mut Context<String>) -> Result<(), ChannelError> {
        cx.push("after_join", serde_json::json!({ "recovery": format!("{:?}", cx.recovery()) }))?;
        Ok(())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<String>) -> HandlerResult {
        match event {
            "message:new" => cx.broadcast(event, payload)?,
            "cut" => cx.endpoint().disconnect(payload.parse::<Cut>()?.user),
            _ => return Handled::unknown_event(event),
        }
        Handled::ok()
    }
}

#[derive(serde::Deserialize)]
struct Cut {
    user: String,
}

/// Who a client is, is also the id of its connections.
struct NamedSocket;

impl Socket for NamedSocket {
    type Assigns = String;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<String>, Refusal> {
        let user = request.params().text("user").ok_or(Refusal::Unauthorized)?.to_owned();
        Ok(Connected::new(user.clone()).with_id(user))
    }
}

/// Serves on a free port, on a thread of its own that ends with the test process.
fn serve() -> SocketAddr {
    let (told, address) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime starts").block_on(async {
            let channels =
                Channels::new().channel::<Room>("room:*").history(History::last(5).events(["message:new"]));
            let options = SocketOptions::default().check_origin(CheckOrigin::Any);
            let endpoint = Endpoint::builder(PubSub::local())
                .socket("/socket", NamedSocket, channels, options)
                .build()
                .expect("the patterns are right");
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            told.send(listener.local_addr().expect("it is bound")).expect("the test waits");
            let app = axum::Router::new().layer(bennu::axum::sockets(&endpoint));
            bennu::axum::serve(listener, app).await.expect("it serves until the process ends");
        });
    });
    address.recv().expect("the server starts")
}
