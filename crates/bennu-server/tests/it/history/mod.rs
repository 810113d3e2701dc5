//! What a client missed, and gets when it comes back.

mod bounds;
mod interleavings;
mod longpoll;
mod recovery;

use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, ChannelError, Channels, Context, Endpoint, EndpointBuilder, Handled,
    HandlerResult, History, JoinRefusal, JoinRequest, Joined, SocketOptions,
};
use serde_json::{Value, json};

use crate::client::Client;

/// Broadcasts what it is sent.
struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(request: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        let params: Value = request.payload().parse()?;
        match params.get("response") {
            Some(response) => Joined::with_response(Room, response),
            None => Ok(Joined::new(Room)),
        }
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        match event {
            "shout" => cx.broadcast("msg", payload)?,
            "shout_others" => cx.broadcast_from("msg", payload)?,
            _ => return Handled::unknown_event(event),
        }
        Handled::no_reply()
    }
}

/// Says in `after_join` what became of the recovery, and handles `secret` broadcasts itself.
struct Greeter {
    /// Whether `after_join` waits.
    slow: bool,
}

impl Channel for Greeter {
    type Assigns = ();

    const INTERCEPT: &'static [&'static str] = &["secret"];

    async fn join(request: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Greeter { slow: request.rest() == "slow" }))
    }

    async fn after_join(&mut self, cx: &mut Context<()>) -> Result<(), ChannelError> {
        cx.push("hello", json!({"recovery": format!("{:?}", cx.recovery())}))?;
        if self.slow {
            // Until here broadcasts can come from elsewhere, and have to wait.
            tokio::time::sleep(Duration::from_millis(500)).await;
            cx.push("hello again", json!({}))?;
        }
        Ok(())
    }

    async fn handle_out(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        let mut seen: Value = payload.parse()?;
        if seen["wait"] == true {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        seen["seen"] = json!(true);
        cx.push(event, seen)?;
        Handled::no_reply()
    }
}

/// `room:` and `hall:` topics keep this history, and `quiet:` topics none.
fn builder(history: History, options: SocketOptions) -> EndpointBuilder {
    let channels = Channels::new()
        .channel::<Room>("room:*")
        .history(history.clone())
        .channel::<Greeter>("hall:*")
        .history(history)
        .channel::<Room>("quiet:*");
    let options = options.timeout(Duration::from_secs(1_000_000));
    Endpoint::builder(PubSub::local()).socket("/socket", AllowAnonymous, channels, options)
}

fn endpoint(history: History) -> Endpoint {
    builder(history, SocketOptions::default()).build().unwrap()
}

/// Broadcasts `msg` number `n`, from nobody.
fn shout(endpoint: &Endpoint, topic: &str, n: u64) {
    endpoint.broadcast(topic, "msg", json!({ "n": n })).unwrap();
}

/// Joins with these params, and returns the response of the ok reply.
async fn join(client: &mut Client, topic: &str, params: Value) -> Value {
    client.send(json!(["1", "1", topic, "phx_join", params])).await;
    let reply = client.recv().await;
    assert_eq!((&reply[3], &reply[4]["status"]), (&json!("phx_reply"), &json!("ok")), "{reply}");
    reply[4]["response"].clone()
}

/// A client that joined `topic` and nothing else; its response too.
async fn joined(endpoint: &Endpoint, topic: &str, params: Value) -> (Client, Value) {
    let mut client = Client::connect(endpoint).await;
    let response = join(&mut client, topic, params).await;
    (client, response)
}

/// The params with which a client asks for what it missed.
fn since(epoch: &Value, offset: u64) -> Value {
    json!({"recover": {"epoch": epoch, "offset": offset}})
}

/// The next message, which must be a broadcast of this offset.
async fn assert_offset(client: &mut Client, offset: u64) {
    let message = client.recv().await;
    assert_eq!(message[4]["phx_offset"], offset, "{message}");
}
