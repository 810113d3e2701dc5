//! What did not arrive from another node, as channels on shards hear of it.

use std::collections::HashSet;

use bennu_protocol::Payload;
use bennu_pubsub::{ClusterOptions, Gap, PubSub};
use bennu_server::{
    AllowAnonymous, Channel, Channels, Context, DrainOptions, Endpoint, Handled, HandlerResult, History,
    Info, JoinRefusal, JoinRequest, Joined, SocketOptions,
};
use bennu_server_axum::ServerLimits;
use bennu_testkit::Hub;
use serde_json::{Value, json};

use super::thread;
use crate::peer::{PATIENCE, Peer};
use crate::running::Running;

/// Of which a message does not arrive: one of a channel, one of a channel with a history, and one that channels subscribe to.
const LOST: [&str; 3] = ["room:lost", "kept:lost", "feed:lost"];
/// Topics of other buckets.
const WHOLE: [&str; 3] = ["room:whole", "kept:whole", "feed:whole"];

/// Tells its client of gaps, and of what it hears on feeds.
struct Candid;

impl Channel for Candid {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Candid))
    }

    async fn handle_in(&mut self, event: &str, _: Payload, cx: &mut Context<()>) -> HandlerResult {
        if event == "follow" {
            cx.subscribe(LOST[2]);
            cx.subscribe(WHOLE[2]);
        }
        Handled::reply(json!({ "thread": thread() }))
    }

    async fn handle_info(&mut self, info: Info, cx: &mut Context<()>) -> HandlerResult {
        let about = match (info.get::<Gap>(), info.get::<u32>()) {
            (Some(gap), _) => ("gap", json!({ "missed": gap.missed, "topic": info.topic() })),
            (_, Some(_)) => ("said", json!({ "topic": info.topic() })),
            _ => return Handled::no_reply(),
        };
        cx.push(about.0, about.1)?;
        Handled::no_reply()
    }
}

/// An endpoint with two shards on a node of this name.
async fn endpoint(hub: &Hub, name: &str) -> Endpoint {
    let options = ClusterOptions::new("a secret of the cluster").node(name);
    let pubsub = PubSub::cluster(hub.adapter(), options).unwrap();
    hub.up(&[&pubsub]).await;
    let channels =
        Channels::new().channel::<Candid>("room:*").channel::<Candid>("kept:*").history(History::last(10));
    Endpoint::builder(pubsub)
        .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
        .shards(2)
        .build()
        .unwrap()
}

/// One message for each of these topics, from a node that has no client.
async fn send(from: &Endpoint, topics: [&str; 3]) {
    for topic in &topics[..2] {
        from.broadcast(*topic, "said", json!({})).unwrap();
    }
    from.pubsub().broadcast(topics[2], 1_u32);
    from.pubsub().flush().await;
}

/// A client that has joined all the channels, its positions where there is a history, and its shard's thread.
async fn client(server: &Running) -> (Peer, [Value; 2], u64) {
    let mut peer = Peer::connect(server.address).await;
    let thread = {
        peer.join("room:lost").await;
        peer.ask("room:lost", "follow").await["thread"].as_u64().unwrap()
    };
    peer.join("room:whole").await;
    let positions = [peer.join("kept:lost").await, peer.join("kept:whole").await];
    (peer, positions, thread)
}

/// What came, as event and topic that it is about; `None` for the answer to a push.
async fn heard(peer: &mut Peer) -> Option<(String, String)> {
    let message = tokio::time::timeout(PATIENCE, peer.recv()).await.expect("nothing came");
    let (event, about) = (message[3].as_str().unwrap(), message[4]["topic"].as_str());
    match event {
        "phx_reply" => None,
        "gap" => {
            assert_eq!(message[4]["missed"], 1, "{message}");
            Some((event.to_owned(), about.unwrap().to_owned()))
        }
        _ => Some((event.to_owned(), about.or(message[2].as_str()).unwrap().to_owned())),
    }
}

/// What a client is told in the join reply that comes back with this position.
async fn recovered(server: &Running, topic: &str, position: &Value) -> bool {
    let mut peer = Peer::connect(server.address).await;
    let recover = json!({ "epoch": position["epoch"], "offset": position["offset"] });
    peer.send(json!(["1", "1", topic, "phx_join", { "recover": recover }])).await;
    let reply = peer.recv().await;
    reply[4]["response"]["recovered"].as_bool().unwrap_or_else(|| panic!("{reply}"))
}

#[tokio::test]
async fn every_channel_on_a_shard_whose_topic_lost_a_message_is_told_and_no_other() {
    let hub = Hub::new();
    let (far, near) = (endpoint(&hub, "far").await, endpoint(&hub, "near").await);
    let server = Running::serve(near, ServerLimits::default(), DrainOptions::default()).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(client(&server).await);
    }
    let threads: HashSet<u64> = clients.iter().map(|(.., thread)| *thread).collect();
    assert_eq!(threads.len(), 2, "both shards have some");
    for topic in LOST.iter().chain(&WHOLE) {
        server.endpoint.pubsub().settle(topic).await;
    }
    // From here on the receiver knows how far the sender is with each.
    send(&far, LOST).await;
    send(&far, WHOLE).await;
    hub.partition(&["far"], &["near"]);
    send(&far, LOST).await;
    hub.heal();
    // What follows shows the holes.
    send(&far, LOST).await;
    send(&far, WHOLE).await;
    let mut expected: Vec<(String, String)> = Vec::new();
    for topic in LOST.iter().chain(&WHOLE) {
        let gap = LOST.contains(topic).then_some("gap");
        let events = gap.into_iter().chain(["said", "said"]);
        expected.extend(events.map(|event| (event.to_owned(), (*topic).to_owned())));
    }
    expected.sort();
    for (peer, ..) in &mut clients {
        let mut all = Vec::new();
        while all.len() < expected.len() {
            all.push(heard(peer).await.unwrap());
        }
        all.sort();
        assert_eq!(all, expected);
        peer.tell("room:whole", "answer").await;
        assert_eq!(heard(peer).await, None, "and nothing else");
    }
    for (_, [lost, whole], _) in &clients {
        assert!(!recovered(&server, "kept:lost", lost).await);
        assert!(recovered(&server, "kept:whole", whole).await);
    }
}
