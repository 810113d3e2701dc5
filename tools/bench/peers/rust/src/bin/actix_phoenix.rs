//! The Phoenix protocol of bennu-bench on actix-phoenix-channel:
//!
//! ```text
//! cargo run --release --bin actix_phoenix -- --port 4100
//! ```
//!
//! Where it cannot follow the contract: all clients share one queue of ten broadcasts, and who is later than that
//! misses some without being told, so only loads with one message at a time can be measured. There is no presence.
//! The route that it brings answers no WebSocket pings; the one here, on the same parts, does. One thread.

use std::io;
use std::sync::Arc;

use actix_phoenix_channel::{ChannelCentral, ChannelConn, ChannelEvent, ChannelHandler};
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use actix_ws::{AggregatedMessage, Session};
use async_trait::async_trait;
use bennu_bench_peers::{BACKLOG, Options};
use futures_util::StreamExt as _;

struct Rooms;

#[async_trait]
impl ChannelHandler for Rooms {
    async fn join_channel(&self, connection: &ChannelConn, event: ChannelEvent) {
        if event.topic().starts_with("room:") {
            connection.client().allow_join(&event, &()).await;
        } else {
            connection.client().reply_error(&event, &"unmatched topic").await;
        }
    }

    async fn incoming_message(&self, connection: &ChannelConn, event: ChannelEvent) {
        let client = connection.client();
        match event.event() {
            "echo" => client.reply_ok(&event, event.payload()).await,
            // A new event, since the sender's own carries its join ref.
            "shout" => {
                client.broadcast(ChannelEvent::new(event.topic().to_owned(), "shout", event.payload()))
            }
            _ => client.reply_error(&event, &"unknown event").await,
        }
    }
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let options = Options::start();
    let central = Arc::new(ChannelCentral::new(Rooms));
    HttpServer::new(move || {
        let central = Data::from(central.clone());
        App::new().app_data(central).route("/socket/websocket", web::get().to(connect))
    })
    .workers(1)
    .backlog(BACKLOG)
    .bind(options.address())?
    .run()
    .await
}

async fn connect(
    request: HttpRequest,
    body: web::Payload,
    central: Data<ChannelCentral<Rooms>>,
) -> actix_web::Result<HttpResponse> {
    let (response, session, messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(serve(session, messages.aggregate_continuations(), central));
    Ok(response)
}

async fn serve(
    session: Session,
    mut messages: actix_ws::AggregatedMessageStream,
    central: Data<ChannelCentral<Rooms>>,
) {
    let (client, mut outgoing) = central.build_client();
    let mut connection = ChannelConn::new(session, client);
    loop {
        tokio::select! {
            // What was sent to this connection goes out before a ping that came later is answered.
            biased;
            Some(text) = outgoing.next() => {
                if connection.session().text(text).await.is_err() {
                    return;
                }
            }
            message = messages.next() => match message {
                Some(Ok(AggregatedMessage::Ping(payload))) => {
                    if connection.session().pong(&payload).await.is_err() {
                        return;
                    }
                }
                Some(Ok(AggregatedMessage::Close(_)) | Err(_)) | None => return,
                Some(Ok(message)) => {
                    if let Some(event) = connection.client().deserialize(message) {
                        handle(&connection, event).await;
                    }
                }
            }
        }
    }
}

async fn handle(connection: &ChannelConn, event: ChannelEvent) {
    match (event.topic(), event.event()) {
        ("phoenix", "heartbeat") => connection.client().reply_ok(&event, &()).await,
        (_, "phx_join") => Rooms.join_channel(connection, event).await,
        (_, "phx_leave") => Rooms.leave_channel(connection, event).await,
        _ => Rooms.incoming_message(connection, event).await,
    }
}
