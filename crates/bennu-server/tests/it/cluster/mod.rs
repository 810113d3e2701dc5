//! Endpoints on several nodes, which an engine in memory connects.

mod broadcasts;
mod end;
mod history;
mod joins;
mod longpoll;
mod revocations;

use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::{ClusterOptions, Gap, PubSub};
use bennu_server::{
    AllowAnonymous, Channel, ChannelError, Channels, Context, Endpoint, EndpointBuilder, Handled,
    HandlerResult, History, Info, JoinRefusal, JoinRequest, Joined, LongPollOptions, SlowReader,
    SocketOptions,
};
use bennu_testkit::Hub;
use bennu_token::SecretKeyBase;
use serde_json::json;

/// Long enough for what needs no time but that of the engine.
const SHORT: Duration = Duration::from_millis(100);
/// Long enough for what was lost to be noticed.
const LONG: Duration = Duration::from_secs(8);

/// Echoes, and tells its client of gaps.
struct Room;

impl Channel for Room {
    type Assigns = ();

    const INTERCEPT: &'static [&'static str] = &["secret"];

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn after_join(&mut self, cx: &mut Context<()>) -> Result<(), ChannelError> {
        if cx.topic().starts_with("room:greets") {
            cx.push("state", json!({}))?;
        }
        Ok(())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        match event {
            "shout" => {
                cx.broadcast("msg", payload)?;
                Handled::ok()
            }
            _ => Handled::reply(payload),
        }
    }

    async fn handle_out(&mut self, event: &str, _: Payload, cx: &mut Context<()>) -> HandlerResult {
        cx.push(event, json!({"redacted": true}))?;
        Handled::no_reply()
    }

    async fn handle_info(&mut self, info: Info, cx: &mut Context<()>) -> HandlerResult {
        if let Some(gap) = info.get::<Gap>() {
            cx.push("gap", json!({ "missed": gap.missed, "topic": info.topic() }))?;
        }
        Handled::no_reply()
    }
}

/// Has no handler but `join`.
struct Silent;

impl Channel for Silent {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Silent))
    }
}

/// One node of the cluster on `hub`.
fn pubsub(hub: &Hub, name: &str) -> PubSub {
    PubSub::cluster(hub.adapter(), ClusterOptions::new("a secret of the cluster").node(name)).unwrap()
}

fn builder(pubsub: &PubSub) -> EndpointBuilder {
    let channels = Channels::new()
        .channel::<Room>("room:*")
        .channel::<Room>("kept:*")
        .history(History::last(10).max_age(Duration::from_secs(600)))
        .channel::<Silent>("silent:*")
        .channel::<Room>("lossy:*")
        .slow_reader(SlowReader::drop_oldest());
    let options = SocketOptions::default()
        .longpoll(LongPollOptions::new().pubsub_timeout(Duration::from_secs(2)))
        .timeout(Duration::from_secs(1_000_000));
    Endpoint::builder(pubsub.clone())
        .secret_key_base(SecretKeyBase::new("one secret for all the nodes").unwrap())
        .socket("/socket", AllowAnonymous, channels, options)
}

/// Endpoints of nodes with these names, connected.
async fn nodes<const N: usize>(hub: &Hub, names: [&str; N]) -> [Endpoint; N] {
    let endpoints = names.map(|name| builder(&pubsub(hub, name)).build().unwrap());
    for endpoint in &endpoints {
        hub.up(&[endpoint.pubsub()]).await;
    }
    tokio::time::sleep(SHORT).await;
    endpoints
}
