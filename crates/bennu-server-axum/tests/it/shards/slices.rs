//! A broadcast to a crowd, and who else has something to say meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, Context, DrainOptions, Endpoint, Handled, HandlerResult, JoinRefusal,
    JoinRequest, Joined, SocketOptions,
};
use bennu_server_axum::ServerLimits;
use serde_json::json;

use crate::peer::Peer;
use crate::running::Running;

/// More than two slices.
const CROWD: usize = 600;

#[derive(Default)]
struct Show {
    /// How many have been given the broadcast.
    told: AtomicUsize,
    begun: tokio::sync::Notify,
    /// Blocks the first of them for as long as the test holds it.
    door: tokio::sync::Mutex<()>,
}

/// `crowd:*` handles each broadcast itself, so that it can be seen when, and `aside:*` says how many have.
struct Seat;

impl Channel for Seat {
    type Assigns = ();
    const INTERCEPT: &'static [&'static str] = &["said"];

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Seat))
    }

    async fn handle_in(&mut self, _: &str, _: Payload, cx: &mut Context<()>) -> HandlerResult {
        let show = cx.route_value::<Arc<Show>>().unwrap();
        Handled::reply(json!(show.told.load(Ordering::SeqCst)))
    }

    async fn handle_out(&mut self, _: &str, _: Payload, cx: &mut Context<()>) -> HandlerResult {
        let show = cx.route_value::<Arc<Show>>().unwrap();
        if show.told.fetch_add(1, Ordering::SeqCst) == 0 {
            show.begun.notify_one();
            drop(show.door.blocking_lock());
        }
        Handled::no_reply()
    }
}

#[tokio::test]
async fn who_speaks_while_a_crowd_is_told_is_answered_before_all_of_it_is() {
    rlimit::increase_nofile_limit(4_000).expect("hard limits permit some thousand open files");
    let show = Arc::new(Show::default());
    let channels = Channels::new()
        .channel_with::<Seat>("crowd:*", show.clone())
        .channel_with::<Seat>("aside:*", show.clone());
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
        .shards(1)
        .build()
        .unwrap();
    let server = Running::serve(endpoint, ServerLimits::default(), DrainOptions::default()).await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(Peer::joined(server.address, "crowd:a").await);
    }
    let mut aside = Peer::joined(server.address, "aside:a").await;
    let door = show.door.lock().await;
    server.endpoint.broadcast("crowd:a", "said", json!({})).unwrap();
    show.begun.notified().await;
    // It lies in the server's socket once it is written, and the first of the crowd has only begun.
    aside.send(json!(["1", "2", "aside:a", "how many", {}])).await;
    drop(door);
    let told = aside.recv().await[4]["response"].as_u64().unwrap() as usize;
    assert!(told < CROWD, "all {told} were told before");
    assert!(told >= 200, "and a slice of them is not interrupted: {told}");
}
