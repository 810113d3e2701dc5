//! A drain while all clients push, on two shards: whoever was answered had their effect, and the other way round.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::Payload;
use bennu_protocol::websocket::{Item, Opcode, encode_masked};
use bennu_pubsub::PubSub;
use bennu_server::{
    Channel, Channels, ConnectRequest, Connected, Context, DrainOptions, Endpoint, Handled, HandlerResult,
    JoinRefusal, JoinRequest, Joined, Refusal, Socket, SocketOptions,
};
use bennu_server_axum::ServerLimits;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::peer::Peer;
use crate::running::Running;

/// Set to run the check with more sockets than the 500 of every day.
const SOCKETS: &str = "BENNU_DRAIN_SOCKETS";

/// Pushes that a client has under way at a time.
const IN_FLIGHT: u64 = 4;

/// The pushes that had an effect: which client's, and its number.
type Effects = Arc<Mutex<HashSet<(u64, u64)>>>;

struct CountingSocket(Effects);

impl Socket for CountingSocket {
    type Assigns = Effects;

    async fn connect(&self, _: &ConnectRequest) -> Result<Connected<Effects>, Refusal> {
        Ok(Connected::new(self.0.clone()))
    }
}

struct Counting {
    client: u64,
}

impl Channel for Counting {
    type Assigns = Effects;

    async fn join(request: JoinRequest<Effects>) -> Result<Joined<Self>, JoinRefusal> {
        let client = request.rest().parse().map_err(|_| JoinRefusal::reason("no number"))?;
        Ok(Joined::new(Counting { client }))
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, cx: &mut Context<Effects>) -> HandlerResult {
        let number: Value = payload.parse()?;
        let number = number["n"].as_u64().unwrap_or_default();
        if number.is_multiple_of(3) {
            // Some effects take a while, so that the drain finds handlers that wait.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let is_new = cx.assigns().lock().insert((self.client, number));
        assert!(is_new, "no push is handled twice");
        Handled::ok()
    }
}

/// Pushes without a pause until the server closes; the numbers that were answered.
async fn push_until_closed(address: SocketAddr, client: u64) -> (Vec<u64>, u16) {
    let topic = format!("room:{client}");
    let mut peer = Peer::joined(address, &topic).await;
    let mut answered = Vec::new();
    let mut next = 0;
    loop {
        let last = next + IN_FLIGHT;
        let pushes = (next..last).map(|n| json!(["1", n.to_string(), topic, "work", {"n": n}]).to_string());
        let frames: Vec<u8> =
            pushes.flat_map(|push| encode_masked(Opcode::Text, push.as_bytes(), [1, 2, 3, 4])).collect();
        // Fails when the server has closed; what it said before is still to be read.
        let _ = peer.stream.write_all(&frames).await;
        next = last;
        while answered.len() < next as usize {
            match peer.next().await {
                Some(Item::Text(reply)) => {
                    let reply: Value = serde_json::from_slice(&reply).unwrap();
                    assert_eq!(reply[4]["status"], "ok");
                    answered.push(reply[1].as_str().unwrap().parse().unwrap());
                }
                Some(Item::Close(frame)) => return (answered, frame.unwrap().code),
                other => panic!("client {client} got {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_during_a_drain_have_their_effect_exactly_if_they_are_answered() {
    let sockets: u64 = std::env::var(SOCKETS).map_or(500, |count| count.parse().unwrap());
    rlimit::increase_nofile_limit(4 * sockets + 1_000).unwrap();
    let effects = Effects::default();
    let channels = Channels::new().channel::<Counting>("room:*");
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", CountingSocket(effects.clone()), channels, SocketOptions::default())
        .shards(2)
        .build()
        .unwrap();
    let drain =
        DrainOptions::default().window(Duration::from_millis(1_000)).deadline(Duration::from_secs(60));
    let limits = ServerLimits::default().max_connections(usize::MAX);
    let mut server = Running::serve(endpoint, limits, drain).await;
    let clients: Vec<_> =
        (0..sockets).map(|client| tokio::spawn(push_until_closed(server.address, client))).collect();
    // Everybody is well under way.
    while (0..sockets).any(|client| !effects.lock().contains(&(client, 2 * IN_FLIGHT))) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop();
    let mut answered = HashSet::new();
    for (client, pushing) in (0..sockets).zip(clients) {
        let (numbers, code) = pushing.await.unwrap();
        assert_eq!(code, 1012);
        answered.extend(numbers.into_iter().map(|number| (client, number)));
    }
    server.ended().await;
    let effects = effects.lock();
    let (lost, unanswered) = (answered.difference(&effects).count(), effects.difference(&answered).count());
    assert_eq!(
        (lost, unanswered),
        (0, 0),
        "answered without effect, and the other way round, of {}",
        effects.len()
    );
}
