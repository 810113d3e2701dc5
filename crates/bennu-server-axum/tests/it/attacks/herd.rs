//! Attack case 47: all clients of a server lose their connections in the same moment, and come back with what they missed.
//!
//! A thousand every day; `./long-checks.sh herd` has as many as a process may have files for, and the hundred thousand of
//! `tests/memory/herd.rs` of `bennu-server`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::response::Response;
use bennu_client::{Channel as ClientChannel, Provider, Socket as ClientSocket, SocketConfig};
use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    Channel, ChannelError, Channels, ConnectRequest, Connected, Context, Endpoint, History, JoinRefusal,
    JoinRequest, Joined, Refusal, Socket, SocketOptions,
};
use bennu_server_axum::{Server, ServerLimits, sockets};
use futures_util::future::join_all;
use http::StatusCode;
use http::header::RETRY_AFTER;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::peer::PATIENCE;

/// Set to have another number of clients than the thousand of every day.
const CLIENTS: &str = "BENNU_HERD_CLIENTS";

const TOPICS: u64 = 10;
/// Broadcasts that a topic keeps, and that a client misses which was away for long, which is each tenth.
const KEPT: u64 = 100;
const TOO_MANY: u64 = KEPT + 50;
/// Broadcasts while all are away, and while they come back.
const MISSED: u64 = 50;
const LIVE: u64 = 20;

/// Tells its client what became of its wish to recover, behind what it missed.
struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn after_join(&mut self, cx: &mut Context<()>) -> Result<(), ChannelError> {
        cx.push("here", json!({ "recovery": format!("{:?}", cx.recovery()) }))?;
        Ok(())
    }
}

/// Everybody's connections have one id, so that one word cuts them all.
struct Herd;

impl Socket for Herd {
    type Assigns = ();

    async fn connect(&self, _: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        Ok(Connected::new(()).with_id("herd"))
    }
}

/// How many were refused, with the time after which to come again and without.
#[derive(Default)]
struct Refused {
    with: AtomicU64,
    without: AtomicU64,
}

/// Serves on a free port; lets so many in each second, and so many at once.
async fn serve(per_second: u32, burst: u32) -> (SocketAddr, Endpoint, Arc<Refused>) {
    let channels =
        Channels::new().channel::<Room>("room:*").history(History::last(KEPT as usize).events(["said"]));
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", Herd, channels, SocketOptions::default())
        .connect_rate(per_second, burst)
        .shards(2)
        .build()
        .unwrap();
    let refused = Arc::new(Refused::default());
    let counts = refused.clone();
    let count = move |response: Response| {
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            let count =
                if response.headers().contains_key(RETRY_AFTER) { &counts.with } else { &counts.without };
            count.fetch_add(1, Ordering::Relaxed);
        }
        std::future::ready(response)
    };
    let app = axum::Router::new().layer(sockets(&endpoint)).layer(axum::middleware::map_response(count));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = ServerLimits::default().max_connections(usize::MAX);
    tokio::spawn(Server::new(listener, app).limits(limits).run());
    (address, endpoint, refused)
}

/// What a client has, as docs/history.md tells clients to keep it.
#[derive(Default)]
struct Position {
    epoch: Option<Value>,
    offset: u64,
    /// The number of the last broadcast that came.
    newest: u64,
    /// What it was told of that at its last join.
    recovery: String,
    /// Whether the next broadcast may have any number: it was told that it has not recovered.
    begins_anew: bool,
    /// What was not as it has to be.
    wrong: Vec<String>,
}

struct Client {
    number: u64,
    socket: ClientSocket,
    channel: ClientChannel,
    position: Arc<Mutex<Position>>,
    changed: watch::Receiver<()>,
}

impl Client {
    async fn start(address: SocketAddr, number: u64) -> Self {
        let socket =
            ClientSocket::start(SocketConfig::new(format!("ws://{address}/socket")).timeout(PATIENCE))
                .unwrap();
        let position = Arc::new(Mutex::new(Position::default()));
        let (change, changed) = watch::channel(());
        let change_too = change.clone();
        let (said, here, asked) = (position.clone(), position.clone(), position.clone());
        let said = move |payload: &Payload| {
            let payload: Value = payload.parse().unwrap();
            let [number, offset] = ["number", "phx_offset"].map(|name| payload[name].as_u64().unwrap());
            let mut position = said.lock();
            if !position.begins_anew && (number, offset) != (position.newest + 1, position.offset + 1) {
                let before = (position.newest, position.offset);
                position.wrong.push(format!("{:?} after {before:?}", (number, offset)));
            }
            position.begins_anew = false;
            (position.newest, position.offset) = (number, offset);
            drop(position);
            change.send_replace(());
        };
        let here = move |payload: &Payload| {
            let payload: Value = payload.parse().unwrap();
            let mut position = here.lock();
            position.recovery = payload["recovery"].as_str().unwrap().to_owned();
            position.begins_anew = position.recovery == "Lost";
            drop(position);
            change_too.send_replace(());
        };
        let params = move || match &*asked.lock() {
            Position { epoch: Some(epoch), offset, .. } => {
                Payload::json(&json!({ "recover": { "epoch": epoch, "offset": offset } })).unwrap()
            }
            Position { epoch: None, .. } => Payload::empty(),
        };
        let topic = format!("room:{}", number % TOPICS);
        let join =
            socket.join(topic, ()).params_from(Provider::from_fn(params)).on("said", said).on("here", here);
        let channel = join.start().unwrap();
        let client = Client { number, socket, channel, position, changed };
        client.joined().await;
        client
    }

    /// Waits until it has joined, however often that takes, and notes the epoch.
    async fn joined(&self) {
        let response: Value = loop {
            if let Ok(response) = self.channel.joined().await {
                break response.parse().unwrap();
            }
        };
        self.position.lock().epoch = Some(response["epoch"].clone());
    }

    async fn until(&self, is: impl Fn(&Position) -> bool) {
        self.changed.clone().wait_for(|()| is(&self.position.lock())).await.unwrap();
    }
}

fn say(endpoint: &Endpoint, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        for topic in 0..TOPICS {
            endpoint.broadcast(format!("room:{topic}"), "said", json!({ "number": number })).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_047_a_herd_that_comes_back_at_once_is_let_in_by_and_by_and_gets_what_it_missed() {
    let count: u64 = std::env::var(CLIENTS).map_or(1_000, |count| count.parse().unwrap());
    rlimit::increase_nofile_limit(4 * count + 1_000).unwrap();
    let patience = PATIENCE + Duration::from_millis(10 * count);
    let per_second = (count / 3).min(400);
    let burst = per_second / 2;
    let (address, endpoint, refused) = serve(per_second as u32, burst as u32).await;
    let clients = join_all((0..count).map(|number| Client::start(address, number))).await;
    let at_first = refused.with.load(Ordering::Relaxed);

    // Some are away for long; the others hear what comes, and then are cut off.
    let (away, others): (Vec<_>, Vec<_>) = clients.iter().partition(|client| client.number % 10 == 3);
    away.iter().for_each(|client| client.socket.disconnect());
    while endpoint.connection_count() > others.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    say(&endpoint, 1..=TOO_MANY);
    join_all(others.iter().map(|client| client.until(|position| position.newest == TOO_MANY))).await;
    let cut = Instant::now();
    endpoint.disconnect("herd");
    say(&endpoint, TOO_MANY + 1..=TOO_MANY + MISSED);
    away.iter().for_each(|client| client.socket.connect().unwrap());
    let last = TOO_MANY + MISSED + LIVE;
    for number in TOO_MANY + MISSED + 1..last {
        tokio::time::sleep(Duration::from_millis(50)).await;
        say(&endpoint, number..=number);
    }
    let back = async {
        // Who does not recover hears what comes later.
        join_all(away.iter().map(|client| client.joined())).await;
        say(&endpoint, last..=last);
        let is_back = |position: &Position| position.newest == last && position.recovery != "NotAsked";
        join_all(clients.iter().map(|client| client.until(is_back))).await;
    };
    tokio::time::timeout(patience, back).await.expect("somebody is left out");
    let took = cut.elapsed();

    for client in &clients {
        let (number, position) = (client.number, client.position.lock());
        assert_eq!(position.wrong, [""; 0], "client {number}");
        let told = if number % 10 == 3 { "Lost" } else { "Recovered" };
        assert_eq!(position.recovery, told, "client {number}");
    }
    let least = Duration::from_secs_f64((count - burst) as f64 / per_second as f64);
    assert!(took >= least, "{took:?}: more were let in than may be");
    assert_eq!(refused.without.load(Ordering::Relaxed), 0, "who is refused is told for how long");
    let refusals = refused.with.load(Ordering::Relaxed) - at_first;
    println!("{count} clients were back after {took:.2?}, and refused {refusals} times on the way");
}
