//! Long polling where the requests of one session reach several nodes.

use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, Context, Endpoint, Handled, HandlerResult, JoinRefusal, JoinRequest,
    Joined, LongPollOptions, SocketOptions,
};
use bennu_token::SecretKeyBase;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::poller::{Poller, json_of, send, token_of};

const PUBSUB_TIMEOUT: Duration = Duration::from_secs(2);

struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, _: &mut Context<()>) -> HandlerResult {
        Handled::reply(payload)
    }
}

/// A node of a cluster that shares a secret, with a PubSub that reaches the others.
fn node(pubsub: &PubSub) -> Endpoint {
    let secret = SecretKeyBase::new("one secret for all the nodes").unwrap();
    let options = SocketOptions::default().longpoll(LongPollOptions::new().pubsub_timeout(PUBSUB_TIMEOUT));
    let channels = || Channels::new().channel::<Room>("room:*");
    Endpoint::builder(pubsub.clone())
        .secret_key_base(secret)
        .socket("/socket", AllowAnonymous, channels(), options.clone())
        .socket("/other", AllowAnonymous, channels(), options)
        .build()
        .unwrap()
}

fn numbers(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message[4]["n"].as_u64().unwrap()).collect()
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_can_be_used_at_any_node_and_loses_and_doubles_nothing() {
    let pubsub = PubSub::local();
    let (a, b) = (node(&pubsub), node(&pubsub));
    let at_a = Poller::open(&a).await;
    let at_b = at_a.at(&b);
    at_b.join("room:a").await;
    assert_eq!((a.connection_count(), b.connection_count()), (1, 0));

    let mut received = Vec::new();
    for n in 0..40u32 {
        let (poller, poster) = if n % 2 == 0 { (&at_b, &at_a) } else { (&at_a, &at_b) };
        // Half of the messages find a poll that waits, the others wait for one.
        let waiting = (n % 4 < 2).then(|| {
            tokio::spawn({
                let poller = poller.clone();
                async move { poller.poll().await }
            })
        });
        settle().await;
        if n % 3 == 0 {
            assert_eq!(poster.post([json!(["1", "2", "room:a", "echo", {"n": n}])]).await, 200);
        } else {
            b.broadcast("room:a", "msg", json!({ "n": n })).unwrap();
        }
        let (status, messages) = match waiting {
            Some(waiting) => waiting.await.unwrap(),
            None => poller.poll().await,
        };
        assert_eq!(status, 200);
        received.extend(messages);
    }
    let numbers: Vec<u64> = received
        .iter()
        .map(|message| &message[4])
        .map(|payload| payload["response"]["n"].as_u64().or(payload["n"].as_u64()).unwrap())
        .collect();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    assert_eq!(at_b.poll().await, (204, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_and_messages_that_race_lose_and_double_nothing() {
    let pubsub = PubSub::local();
    let (a, b) = (node(&pubsub), node(&pubsub));
    let at_a = Poller::open(&a).await;
    let at_b = at_a.at(&b);
    at_a.join("room:a").await;
    let sender = tokio::spawn(async move {
        for n in 0..2_000u32 {
            b.broadcast("room:a", "msg", json!({ "n": n })).unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut received = Vec::new();
    let mut pollers = [&at_a, &at_b].into_iter().cycle();
    while received.len() < 2_000 {
        let (status, messages) = pollers.next().unwrap().poll().await;
        assert_eq!(status, 200);
        received.extend(numbers(&messages));
    }
    sender.await.unwrap();
    assert_eq!(received, (0..2_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_poll_at_another_node_waits_for_the_window() {
    let pubsub = PubSub::local();
    let (a, b) = (node(&pubsub), node(&pubsub));
    let at_b = Poller::open(&a).await.at(&b);
    let started = Instant::now();
    assert_eq!(at_b.poll().await, (204, vec![]));
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_was_given_up_at_another_node_takes_no_message_with_it() {
    let pubsub = PubSub::local();
    let (a, b) = (node(&pubsub), node(&pubsub));
    let at_a = Poller::open(&a).await;
    at_a.join("room:a").await;
    let gone = tokio::spawn({
        let at_b = at_a.at(&b);
        async move { at_b.poll().await }
    });
    settle().await;
    gone.abort();
    settle().await;
    a.broadcast("room:a", "msg", json!({"n": 1})).unwrap();
    settle().await;
    let (status, messages) = at_a.poll().await;
    assert_eq!((status, numbers(&messages)), (200, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_gone_costs_the_timeout_and_then_a_new_session() {
    let pubsub = PubSub::local();
    let b = node(&pubsub);
    // This node's PubSub reaches nobody.
    let lost = Poller::open(&node(&PubSub::local())).await.at(&b);
    let started = Instant::now();
    assert_eq!(lost.post([json!([null, "1", "phoenix", "heartbeat", {}])]).await, 410);
    assert_eq!(started.elapsed().as_secs(), PUBSUB_TIMEOUT.as_secs());
    assert_eq!(lost.poll().await.0, 410);
    assert_eq!(started.elapsed().as_secs(), 2 * PUBSUB_TIMEOUT.as_secs());
    assert_eq!(b.connection_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn attack_038_a_token_of_another_mount_is_none_at_another_node_either() {
    let pubsub = PubSub::local();
    let (a, b) = (node(&pubsub), node(&pubsub));
    let request = http::Request::get("/other/longpoll?vsn=2.0.0");
    let token = token_of(&json_of(&send(&a, request, "").await));
    let at_b = Poller { endpoint: b, token };
    assert_eq!(at_b.post([json!([null, "1", "phoenix", "heartbeat", {}])]).await, 410);
    assert_eq!(at_b.poll().await.0, 410);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_message_from_another_node_ends_the_session_as_at_home() {
    let pubsub = PubSub::local();
    let (a, b) = (node(&pubsub), node(&pubsub));
    let at_b = Poller::open(&a).await.at(&b);
    let started = Instant::now();
    assert_eq!(at_b.post_body("[not json").await, 408);
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(at_b.post_body("[not json").await, 410);
}
