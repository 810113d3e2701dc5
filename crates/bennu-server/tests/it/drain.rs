//! The graceful end of an endpoint, and who is let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    Channel, Channels, ConnectRequest, Connected, Context, DrainOptions, DrainReport, Endpoint,
    EndpointBuilder, Handled, HandlerResult, JoinRefusal, JoinRequest, Joined, Refusal, Socket,
    SocketOptions, TerminateReason,
};
use bytes::Bytes;
use http::Response;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::{Client, shake};

/// What the test sees of the server, and holds up in it.
struct Stage {
    connects: AtomicUsize,
    /// `connect` takes one before it answers.
    doors: Semaphore,
    terminated: Mutex<Vec<String>>,
}

struct UserSocket(Arc<Stage>);

impl Socket for UserSocket {
    type Assigns = Arc<Stage>;

    async fn connect(&self, _: &ConnectRequest) -> Result<Connected<Arc<Stage>>, Refusal> {
        self.0.connects.fetch_add(1, Ordering::Relaxed);
        self.0.doors.acquire().await?.forget();
        Ok(Connected::new(self.0.clone()))
    }
}

struct Room(Arc<Stage>);

impl Channel for Room {
    type Assigns = Arc<Stage>;

    async fn join(request: JoinRequest<Arc<Stage>>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room(request.assigns().clone())))
    }

    async fn handle_in(&mut self, event: &str, _: Payload, _: &mut Context<Arc<Stage>>) -> HandlerResult {
        match event {
            "work" => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                Handled::ok()
            }
            "hang" => std::future::pending().await,
            _ => Handled::unknown_event(event),
        }
    }

    async fn terminate(&mut self, reason: &TerminateReason, _: &mut Context<Arc<Stage>>) {
        self.0.terminated.lock().push(format!("{reason:?}"));
    }
}

fn build(configure: impl FnOnce(EndpointBuilder) -> EndpointBuilder) -> (Endpoint, Arc<Stage>) {
    let stage = Arc::new(Stage {
        connects: AtomicUsize::new(0),
        doors: Semaphore::new(1_000),
        terminated: Mutex::default(),
    });
    let channels = Channels::new().channel::<Room>("room:*");
    let options = SocketOptions::default().timeout(Duration::from_secs(3_600));
    let builder = Endpoint::builder(PubSub::local());
    let builder = builder.socket("/socket", UserSocket(stage.clone()), channels, options);
    (configure(builder).build().unwrap(), stage)
}

fn endpoint() -> (Endpoint, Arc<Stage>) {
    build(|builder| builder)
}

/// The `Retry-After` of a 503.
fn retry_after(refused: &Response<Bytes>) -> &str {
    assert_eq!(refused.status().as_u16(), 503);
    refused.headers()["retry-after"].to_str().unwrap()
}

fn drain(endpoint: &Endpoint, options: DrainOptions) -> JoinHandle<DrainReport> {
    let endpoint = endpoint.clone();
    tokio::spawn(async move { endpoint.drain(options).await })
}

#[tokio::test(start_paused = true)]
async fn everyone_is_closed_with_1012_also_without_a_channel() {
    let (endpoint, stage) = endpoint();
    let (mut joined, mut idle) = (Client::connect(&endpoint).await, Client::connect(&endpoint).await);
    joined.join("room:a").await;
    let draining = drain(&endpoint, DrainOptions::default());
    assert_eq!((joined.closed().await, idle.closed().await), (1012, 1012));
    drop((joined, idle));
    let report = draining.await.unwrap();
    assert_eq!((report.closed, report.left, endpoint.connection_count()), (2, 0, 0));
    assert_eq!(*stage.terminated.lock(), ["Draining"]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_connections_is_drained_at_once() {
    let (endpoint, _) = endpoint();
    let began = Instant::now();
    assert_eq!(endpoint.drain(DrainOptions::default()).await.closed, 0);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn times_that_no_clock_reaches_let_a_drain_take_as_long_as_it_takes() {
    let (endpoint, _) = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    client.send(json!(["1", "2", "room:a", "work", {}])).await;
    client.hears_nothing().await;
    let endless = DrainOptions::default().window(Duration::MAX).grace(Duration::MAX).deadline(Duration::MAX);
    let draining = drain(&endpoint, endless);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(client.recv().await[1], "2");
    assert_eq!(client.closed().await, 1012);
    drop(client);
    assert_eq!(draining.await.unwrap().left, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_handled_and_answered_before_the_close_frame() {
    let (endpoint, _) = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    for reference in ["2", "3"] {
        client.send(json!(["1", reference, "room:a", "work", {}])).await;
    }
    client.hears_nothing().await;
    drain(&endpoint, DrainOptions::default());
    // What comes later is neither handled nor answered.
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.send(json!(["1", "4", "room:a", "work", {}])).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for reference in ["2", "3"] {
        assert_eq!(client.recv().await[1], reference);
    }
    assert_eq!(client.closed().await, 1012);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_end_is_given_the_grace_and_no_more() {
    let (endpoint, _) = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    client.send(json!(["1", "2", "room:a", "hang", {}])).await;
    let began = Instant::now();
    drain(&endpoint, DrainOptions::default().grace(Duration::from_millis(700)));
    assert_eq!(client.closed().await, 1012);
    assert_eq!(began.elapsed().as_millis(), 700);
}

#[tokio::test(start_paused = true)]
async fn draining_ends_at_the_deadline_whoever_is_left() {
    let (endpoint, _) = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    client.send(json!(["1", "2", "room:a", "hang", {}])).await;
    client.hears_nothing().await;
    let began = Instant::now();
    let report = endpoint.drain(DrainOptions::default().deadline(Duration::from_secs(3))).await;
    assert_eq!((report.closed, report.left), (0, 1));
    assert_eq!(began.elapsed().as_millis(), 3_000);
    assert_eq!(client.closed().await, 1012);
}

#[tokio::test(start_paused = true)]
async fn closes_are_spread_over_the_window_in_random_order() {
    let (endpoint, _) = endpoint();
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(Client::connect(&endpoint).await);
    }
    let began = Instant::now();
    drain(&endpoint, DrainOptions::default().window(Duration::from_secs(2)));
    let closes: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                assert_eq!(client.closed_within(Duration::from_secs(5)).await, 1012);
                began.elapsed().as_millis()
            })
        })
        .collect();
    let mut times = Vec::new();
    for close in closes {
        times.push(close.await.unwrap());
    }
    let by_age = times.clone();
    times.sort_unstable();
    let expected: Vec<u128> = (0..40).map(|n| n * 50).collect();
    assert_eq!(times, expected);
    assert_ne!(by_age, times, "the oldest connection is not the first to go");
}

#[tokio::test(start_paused = true)]
async fn a_draining_endpoint_is_not_ready_and_refuses_with_503_and_no_handler() {
    let (endpoint, stage) = endpoint();
    assert!(endpoint.is_ready());
    endpoint.drain(DrainOptions::default()).await;
    assert!(!endpoint.is_ready());
    let refused = shake(&endpoint, "vsn=2.0.0").await.unwrap_err();
    assert_eq!(retry_after(&refused), "1");
    assert_eq!(stage.connects.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_the_drain_overtakes_ends_with_1012() {
    let (endpoint, stage) = endpoint();
    let mut other = Client::connect(&endpoint).await;
    stage.doors.forget_permits(1_000);
    let late = tokio::spawn({
        let endpoint = endpoint.clone();
        async move { shake(&endpoint, "vsn=2.0.0").await.unwrap() }
    });
    tokio::task::yield_now().await;
    let draining = drain(&endpoint, DrainOptions::default());
    tokio::task::yield_now().await;
    stage.doors.add_permits(1);
    let mut late = Client::upgraded(late.await.unwrap(), 1024);
    assert_eq!((late.closed().await, other.closed().await), (1012, 1012));
    drop((late, other));
    assert_eq!(draining.await.unwrap().left, 0);
}

#[tokio::test(start_paused = true)]
async fn unready_holds_readiness_back_and_nobody_out() {
    let (endpoint, _) = endpoint();
    let (first, second) = (endpoint.unready(), endpoint.unready());
    drop(first);
    assert!(!endpoint.is_ready());
    Client::connect(&endpoint).await;
    drop(second);
    assert!(endpoint.is_ready());
}

#[tokio::test(start_paused = true)]
async fn attack_011_upgrades_over_the_rate_get_503_and_no_handler_runs() {
    let (endpoint, stage) = build(|builder| builder.connect_rate(10, 5));
    let mut refusals = 0;
    for _ in 0..100 {
        match shake(&endpoint, "vsn=2.0.0").await {
            Ok(_) => {}
            Err(refused) => {
                assert_eq!(retry_after(&refused), "1");
                refusals += 1;
            }
        }
    }
    assert_eq!((refusals, stage.connects.load(Ordering::Relaxed)), (95, 5));
    // What is refused for another reason does not use up what honest clients need.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(shake(&endpoint, "vsn=9").await.unwrap_err().status().as_u16(), 403);
    assert!(shake(&endpoint, "vsn=2.0.0").await.is_ok());
}
