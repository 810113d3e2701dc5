//! Long polling on one node.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    BuildError, Channel, Channels, ConnectRequest, Connected, Context, DrainOptions, Endpoint, Handled,
    HandlerResult, JoinRefusal, JoinRequest, Joined, LongPollOptions, Refusal, Socket, SocketOptions,
    TerminateReason, Transport,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::poller::{Poller, get, json_of, send, token_of};

const WINDOW: Duration = Duration::from_secs(10);

/// Channels of this file's tests that were terminated.
static TERMINATED: AtomicUsize = AtomicUsize::new(0);

struct UserSocket;

impl Socket for UserSocket {
    type Assigns = ();

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        match request.params().text("user") {
            Some("nobody") => Err(Refusal::Unauthorized),
            Some(user) => Ok(Connected::new(()).with_id(format!("user:{user}"))),
            None => Ok(Connected::new(())),
        }
    }
}

struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        match event {
            "bye" => {
                cx.push("bye", Payload::empty())?;
                cx.disconnect();
                Handled::no_reply()
            }
            "binary" => {
                cx.push("before", Payload::empty())?;
                cx.push("bytes", Payload::binary(vec![0, 255]))?;
                cx.push("after", Payload::empty())?;
                Handled::no_reply()
            }
            "wait" => {
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                Handled::ok()
            }
            _ => Handled::reply(payload),
        }
    }

    async fn terminate(&mut self, _: &TerminateReason, cx: &mut Context<()>) {
        if cx.topic().ends_with("left alone") {
            TERMINATED.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn endpoint_with(options: SocketOptions) -> Result<Endpoint, BuildError> {
    let channels = Channels::new().channel::<Room>("room:*");
    Endpoint::builder(PubSub::local()).socket("/socket", UserSocket, channels, options).build()
}

fn endpoint() -> Endpoint {
    endpoint_with(SocketOptions::default().longpoll(LongPollOptions::new())).unwrap()
}

async fn joined(endpoint: &Endpoint) -> Poller {
    let poller = Poller::open(endpoint).await;
    poller.join("room:a").await;
    poller
}

fn events(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message[3].as_str().unwrap()).collect()
}

/// What a future comes to without waiting.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Lets everything that can run do so, without time passing.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_mounted_can_be_chosen() {
    let is_mounted = |options: SocketOptions| {
        let endpoint = endpoint_with(options).unwrap();
        move |path: &str| match endpoint.route(path) {
            Some(Transport::WebSocket(_)) => "websocket",
            Some(Transport::LongPoll(_)) => "longpoll",
            Some(_) => "something else",
            None => "nothing",
        }
    };
    let default = is_mounted(SocketOptions::default());
    assert_eq!((default("/socket/websocket"), default("/socket/longpoll")), ("websocket", "nothing"));
    let both = is_mounted(SocketOptions::default().longpoll(LongPollOptions::new().path("/poll/me")));
    assert_eq!((both("/socket/websocket"), both("/socket/poll/me/")), ("websocket", "longpoll"));
    let polling = is_mounted(SocketOptions::default().websocket(false).longpoll(LongPollOptions::new()));
    assert_eq!((polling("/socket/websocket"), polling("/socket/longpoll")), ("nothing", "longpoll"));
}

#[test]
fn two_transports_cannot_share_a_path() {
    let options = SocketOptions::default().longpoll(LongPollOptions::new().path("/websocket"));
    assert_eq!(endpoint_with(options).unwrap_err(), BuildError::PathTaken("/socket".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_poll_waits_for_the_window_and_a_message_ends_it_at_once() {
    let endpoint = endpoint();
    let poller = joined(&endpoint).await;
    let started = Instant::now();
    assert_eq!(poller.poll().await, (204, vec![]));
    assert_eq!(started.elapsed().as_secs(), WINDOW.as_secs());

    let waiting = tokio::spawn({
        let poller = poller.clone();
        async move { poller.poll().await }
    });
    settle().await;
    let started = Instant::now();
    endpoint.broadcast("room:a", "msg", json!({"n": 1})).unwrap();
    assert_eq!(waiting.await.unwrap(), (200, vec![json!([null, null, "room:a", "msg", {"n": 1}])]));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_later_poll_takes_the_place_of_an_earlier_one() {
    let endpoint = endpoint();
    let poller = joined(&endpoint).await;
    let poll = |poller: Poller| tokio::spawn(async move { (poller.poll().await, Instant::now()) });
    let started = Instant::now();
    let earlier = poll(poller.clone());
    settle().await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let later = poll(poller.clone());
    settle().await;
    endpoint.broadcast("room:a", "msg", json!({})).unwrap();
    let ((status, messages), _) = later.await.unwrap();
    assert_eq!((status, events(&messages)), (200, vec!["msg"]));
    let (polled, at) = earlier.await.unwrap();
    assert_eq!((polled, (at - started).as_secs()), ((204, vec![]), WINDOW.as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_poll_whose_client_has_gone_takes_no_message_with_it() {
    let endpoint = endpoint();
    let poller = joined(&endpoint).await;
    let gone = tokio::spawn({
        let poller = poller.clone();
        async move { poller.poll().await }
    });
    settle().await;
    gone.abort();
    settle().await;
    for n in 0..3 {
        endpoint.broadcast("room:a", "msg", json!({ "n": n })).unwrap();
        settle().await;
    }
    let (status, messages) = poller.poll().await;
    let numbers: Vec<_> = messages.iter().map(|message| message[4]["n"].as_u64().unwrap()).collect();
    assert_eq!((status, numbers), (200, vec![0, 1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_polls_ends_with_its_channels() {
    let endpoint = endpoint();
    let poller = Poller::open(&endpoint).await;
    poller.join("room:left alone").await;
    // Posts are no sign of a client that reads.
    for _ in 0..6 {
        tokio::time::sleep(WINDOW / 2).await;
        poller.post([json!([null, "5", "phoenix", "heartbeat", {}])]).await;
    }
    tokio::time::sleep(WINDOW / 10).await;
    assert_eq!(poller.post([json!([null, "6", "phoenix", "heartbeat", {}])]).await, 410);
    assert_eq!((TERMINATED.load(Ordering::SeqCst), endpoint.connection_count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_polled_lives_on() {
    let endpoint = endpoint();
    let poller = joined(&endpoint).await;
    for _ in 0..20 {
        assert_eq!(poller.poll().await, (204, vec![]));
    }
    assert_eq!(poller.post([json!(["1", "2", "room:a", "echo", {}])]).await, 200);
    assert_eq!(events(&poller.poll().await.1), ["phx_reply"]);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_ends_the_session_and_answers_the_poll_that_waits() {
    let endpoint = endpoint();
    let opened = json_of(&send(&endpoint, http::Request::get("/socket/longpoll?vsn=2.0.0&user=7"), "").await);
    let poller = Poller { endpoint: endpoint.clone(), token: token_of(&opened) };
    let waiting = tokio::spawn({
        let poller = poller.clone();
        async move { poller.poll().await }
    });
    settle().await;
    let started = Instant::now();
    endpoint.disconnect("user:7");
    assert_eq!(waiting.await.unwrap(), (204, vec![]));
    assert_eq!(poller.poll().await.0, 410);
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(endpoint.connection_count(), 1, "the new session alone");
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_close_reaches_the_poll_that_waits() {
    let poller = joined(&endpoint()).await;
    let waiting = tokio::spawn({
        let poller = poller.clone();
        async move { poller.poll().await }
    });
    settle().await;
    assert_eq!(poller.post([json!(["1", "2", "room:a", "bye", {}])]).await, 200);
    assert_eq!(events(&waiting.await.unwrap().1), ["bye"]);
    assert_eq!(poller.poll().await.0, 410);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_close_waits_for_one_more_poll() {
    let endpoint = endpoint();
    let poller = joined(&endpoint).await;
    assert_eq!(poller.post([json!(["1", "2", "room:a", "bye", {}])]).await, 200);
    settle().await;
    assert_eq!(poller.post([json!(["1", "3", "room:a", "echo", {}])]).await, 410);
    let (status, messages) = poller.poll().await;
    assert_eq!((status, events(&messages)), (200, vec!["bye"]));
    settle().await;
    assert_eq!(endpoint.connection_count(), 0);
    assert_eq!(poller.poll().await.0, 410);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_sessions_and_lets_no_new_one_in() {
    let endpoint = endpoint();
    let poller = joined(&endpoint).await;
    let report = endpoint.drain(DrainOptions::default()).await;
    assert_eq!((report.closed, report.left), (1, 0));
    assert_eq!(poller.post([json!([null, "6", "phoenix", "heartbeat", {}])]).await, 410);
    let refused = send(&endpoint, get(&poller.token), "").await;
    assert_eq!((refused.status().as_u16(), refused.body().len()), (503, 0));
}

#[tokio::test(start_paused = true)]
async fn binary_messages_are_dropped_and_the_others_of_the_poll_are_not() {
    let poller = joined(&endpoint()).await;
    assert_eq!(poller.post([json!(["1", "2", "room:a", "binary", {}])]).await, 200);
    let (status, messages) = poller.poll().await;
    assert_eq!((status, events(&messages)), (200, vec!["before", "after"]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_fetch_its_replies_is_not_heard_until_it_does() {
    let options = SocketOptions::default().longpoll(LongPollOptions::new()).max_backlog(4_000);
    let poller = joined(&endpoint_with(options).unwrap()).await;
    let echo = |n: u32| json!(["1", n.to_string(), "room:a", "echo", {"fill": "x".repeat(500)}]);
    let started = Instant::now();
    assert_eq!(poller.post((0..20).map(echo)).await, 408);
    assert_eq!(started.elapsed().as_secs(), WINDOW.as_secs());
    let (status, messages) = poller.poll().await;
    assert_eq!(status, 200);
    assert!((2..10).contains(&messages.len()), "the rest of the batch is dropped: {}", messages.len());

    let post = tokio::spawn({
        let poller = poller.clone();
        async move { poller.post((0..20).map(echo)).await }
    });
    let mut replies = 0;
    while replies < 20 {
        let (_, messages) = poller.poll().await;
        replies += messages.len();
    }
    assert_eq!(post.await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn messages_that_nobody_fetches_are_bounded_and_end_the_session() {
    let options = SocketOptions::default().longpoll(LongPollOptions::new()).max_backlog(4_000);
    let endpoint = endpoint_with(options).unwrap();
    let poller = joined(&endpoint).await;
    for _ in 0..20 {
        endpoint.broadcast("room:a", "msg", json!({"fill": "x".repeat(500)})).unwrap();
    }
    settle().await;
    assert_eq!(poller.poll().await.0, 410);
}

#[tokio::test(start_paused = true)]
async fn a_mount_holds_so_many_sessions_and_no_more() {
    let options = SocketOptions::default().longpoll(LongPollOptions::new().max_sessions(2));
    let endpoint = endpoint_with(options).unwrap();
    let (_first, _second) = (Poller::open(&endpoint).await, Poller::open(&endpoint).await);
    let refused = send(&endpoint, get(""), "").await;
    assert_eq!((refused.status().as_u16(), refused.body().len()), (503, 0));
    assert!(refused.headers().contains_key("retry-after"));
    // Those that nobody polls make room.
    tokio::time::sleep(WINDOW * 3 + WINDOW / 10).await;
    Poller::open(&endpoint).await;
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_in_the_body_and_open_nothing() {
    let endpoint = endpoint();
    for query in ["vsn=2.0.0&user=nobody", "vsn=9.0.0", "vsn[a]=1"] {
        let request = http::Request::get(format!("/socket/longpoll?{query}"));
        assert_eq!(json_of(&send(&endpoint, request, "").await), json!({"status": 403}), "{query}");
    }
    assert_eq!(endpoint.connection_count(), 0);
}

/// Lets in who has the token `secret`, and only without any other sight of it.
struct TokenSocket;

impl Socket for TokenSocket {
    type Assigns = ();

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        let is_shown = request.x_headers().any(|(_, value)| value == b"secret");
        match request.auth_token() {
            Some("secret") if !is_shown => Ok(Connected::new(())),
            Some(_) | None => Err(Refusal::Unauthorized),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_auth_token_is_not_among_the_headers() {
    let options = SocketOptions::default().longpoll(LongPollOptions::new()).auth_token(true);
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", TokenSocket, Channels::new(), options)
        .build()
        .unwrap();
    for (token, status) in [("secret", 410), ("other", 403)] {
        let request = get("").header("x-phoenix-authtoken", token).header("x-other", "shown");
        assert_eq!(json_of(&send(&endpoint, request, "").await)["status"], status, "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_for_a_poll_that_is_dropped_with_its_answer_go_to_the_next() {
    let endpoint = endpoint();
    let poller = joined(&endpoint).await;
    for n in 0..2 {
        let mut dropped = Box::pin(poller.poll());
        assert_eq!(poll_once(&mut dropped).await, Poll::Pending);
        endpoint.broadcast("room:a", "msg", json!({ "n": n })).unwrap();
        settle().await;
        drop(dropped);
    }
    endpoint.broadcast("room:a", "msg", json!({"n": 2})).unwrap();
    let (status, messages) = poller.poll().await;
    let numbers: Vec<_> = messages.iter().map(|message| message[4]["n"].as_u64().unwrap()).collect();
    assert_eq!((status, numbers), (200, vec![0, 1, 2]));
    assert_eq!(poller.poll().await, (204, vec![]));
}

#[tokio::test(start_paused = true)]
async fn messages_that_polls_leave_behind_count_as_waiting() {
    let options = SocketOptions::default().longpoll(LongPollOptions::new()).max_backlog(4_000);
    let endpoint = endpoint_with(options).unwrap();
    let poller = joined(&endpoint).await;
    for _ in 0..20 {
        let mut dropped = Box::pin(poller.poll());
        let _ = poll_once(&mut dropped).await;
        endpoint.broadcast("room:a", "msg", json!({"fill": "x".repeat(500)})).unwrap();
        settle().await;
    }
    let heartbeat = json!([null, "2", "phoenix", "heartbeat", {}]);
    assert_eq!(poller.post([heartbeat]).await, 410, "what came back was not counted");
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_of_frames_ends_the_session() {
    let options = SocketOptions::default().longpoll(LongPollOptions::new()).max_frame_size(1_000);
    let endpoint = endpoint_with(options).unwrap();
    let poller = joined(&endpoint).await;
    let echo = |size: usize| json!(["1", "2", "room:a", "echo", {"fill": "x".repeat(size)}]);
    assert_eq!(poller.post([echo(900)]).await, 200);
    assert_eq!(poller.poll().await.0, 200);
    assert_eq!(poller.post([echo(1_000), echo(1)]).await, 410);
    assert_eq!(poller.poll().await.0, 410);
}

#[tokio::test(start_paused = true)]
async fn a_time_for_handlers_without_end_is_no_harm_to_a_session_that_ends() {
    let options = SocketOptions::default().longpoll(LongPollOptions::new()).shutdown(Duration::MAX);
    let endpoint = endpoint_with(options).unwrap();
    let poller = joined(&endpoint).await;
    assert_eq!(poller.post([json!(["1", "2", "room:a", "bye", {}])]).await, 200);
    settle().await;
    assert_eq!(events(&poller.poll().await.1), ["bye"]);
}
