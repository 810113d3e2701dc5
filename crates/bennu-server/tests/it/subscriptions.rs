//! What a channel is subscribed to ends with it, whichever way it ends.

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, ChannelError, Channels, Context, Endpoint, Handled, HandlerResult, JoinRefusal,
    JoinRequest, Joined, SocketOptions, StopReason,
};
use serde_json::json;

use crate::client::Client;

/// Says when it is dropped, to all on its topic.
#[derive(Default)]
struct Parting(Option<Endpoint>);

impl Drop for Parting {
    fn drop(&mut self) {
        self.0.iter().for_each(|endpoint| endpoint.broadcast("room:a", "parted", json!({})).unwrap());
    }
}

impl Channel for Parting {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Parting::default()))
    }

    async fn after_join(&mut self, cx: &mut Context<()>) -> Result<(), ChannelError> {
        self.0 = Some(cx.endpoint().clone());
        cx.subscribe("news");
        Ok(())
    }

    async fn handle_in(&mut self, event: &str, _: Payload, _: &mut Context<()>) -> HandlerResult {
        match event {
            "panic" => panic!("asked to panic"),
            "panic later" => {
                tokio::task::yield_now().await;
                panic!("asked to panic")
            }
            "stop" => Handled::stop(StopReason::Normal),
            "wait for ever" => std::future::pending().await,
            _ => Handled::ok(),
        }
    }
}

async fn joined() -> (Client, PubSub) {
    let pubsub = PubSub::local();
    let channels = Channels::new().channel::<Parting>("room:*");
    let endpoint = Endpoint::builder(pubsub.clone())
        .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
        .build()
        .unwrap();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    client.send(json!(["1", "2", "room:a", "settle", {}])).await;
    assert_eq!(client.recv_event().await, "phx_reply");
    assert_eq!(subscribers(&pubsub), (1, 1));
    (client, pubsub)
}

/// Of the channel's own topic, and of the one that it subscribed to.
fn subscribers(pubsub: &PubSub) -> (usize, usize) {
    (pubsub.subscriber_count("room:a"), pubsub.subscriber_count("news"))
}

#[tokio::test(start_paused = true)]
async fn subscriptions_end_with_their_channel_whichever_way_it_ends() {
    for (event, last) in [
        ("phx_leave", "phx_close"),
        ("stop", "phx_close"),
        ("phx_error", "phx_reply"),
        ("panic", "phx_error"),
        ("panic later", "phx_error"),
    ] {
        let (mut client, pubsub) = joined().await;
        client.send(json!(["1", "3", "room:a", event, {}])).await;
        while client.recv_event().await != last {}
        let left = if last == "phx_reply" { (1, 1) } else { (0, 0) };
        assert_eq!(subscribers(&pubsub), left, "{event}");
        client.cut().await;
        assert_eq!(subscribers(&pubsub), (0, 0), "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_replaced_or_cut_off_while_it_waits_leaves_no_subscription() {
    let (mut client, pubsub) = joined().await;
    client.send(json!(["1", "3", "room:a", "wait for ever", {}])).await;
    client.send(json!(["4", "4", "room:a", "phx_join", {}])).await;
    while client.recv_event().await != "phx_close" {}
    client.send(json!(["4", "5", "room:a", "settle", {}])).await;
    while client.recv_event().await != "phx_reply" {}
    assert_eq!(subscribers(&pubsub), (1, 1));
    client.send(json!(["4", "6", "room:a", "wait for ever", {}])).await;
    client.cut().await;
    assert_eq!(subscribers(&pubsub), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_panicked_channels_drop_broadcasts_still_reaches_its_client() {
    for event in ["panic", "panic later"] {
        let (mut client, _pubsub) = joined().await;
        client.send(json!(["1", "3", "room:a", event, {}])).await;
        assert_eq!(client.recv_event().await, "parted", "{event}");
        assert_eq!(client.recv_event().await, "phx_error", "{event}");
    }
}
