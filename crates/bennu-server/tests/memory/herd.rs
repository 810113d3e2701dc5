//! Attack case 47 at any size: everybody comes back at once, wants what it missed, and reads nothing of it until all are there.
//!
//! The streams are in memory, since no process has files for 100,000 sockets; `attack_047_…` of `reference-server` has real ones.

use std::alloc::System;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bennu_protocol::client::Backoff;
use bennu_pubsub::PubSub;
use bennu_server::{AllowAnonymous, Channels, Endpoint, History, SocketOptions, Transport};
use parking_lot::Mutex;
use serde_json::json;
use stats_alloc::Region;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{ALLOCATOR, Echo, text};

/// Set to have another number of clients than that of every day.
const CLIENTS: &str = "BENNU_HERD_CLIENTS";
const EVERY_DAY: usize = 2_000;

/// Clients that are let in each second at most: as `connect_rate` of a server of a few cores may be.
const PER_SECOND: usize = 10_000;
/// At once, this part of them.
const BURST: u32 = 20;

const TOPICS: usize = 100;
/// What a topic keeps, what was broadcast while all were away, and what is while they come.
const KEPT: u64 = 60;
const MISSED: u64 = 50;
const LIVE: u64 = 5;
/// What the kernel takes for a client that does not read; more than the reply to its join.
const UNREAD: usize = 512;

/// Bytes for each client when all are back, nobody has read anything, and most have a replay under way.
const EACH: f64 = 3_200.0;
/// Bytes beside those, however many clients there are: the frames of what the topics keep, made when somebody first wants them.
const FOR_ALL: f64 = 4e6;
/// Until all have what they missed: what docs/capacity.md reckons with when a node dies.
const TARGET: Duration = Duration::from_secs(60);

/// One client's side of its stream, which keeps nothing of what it gets but where it is.
#[derive(Default)]
struct Side {
    inbound: Vec<u8>,
    is_reading: bool,
    unread: usize,
    offset: u64,
    recovered: Option<bool>,
}

#[derive(Clone, Default)]
struct Stream(Arc<Mutex<Side>>);

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inbound = std::mem::take(&mut self.0.lock().inbound);
        if inbound.is_empty() {
            return Poll::Pending;
        }
        buffer.put_slice(&inbound);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    /// Takes all or nothing, so that frames stay whole.
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut side = self.0.lock();
        if !side.is_reading && side.unread >= UNREAD {
            return Poll::Pending;
        }
        side.unread += bytes.len();
        side.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Side {
    /// Looks at each frame: a join's reply tells the position, and each broadcast is the next.
    fn take(&mut self, mut bytes: &[u8]) {
        while let [0x81, length, rest @ ..] = bytes {
            let (length, rest) = match (length, rest) {
                (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
                (length, rest) => (usize::from(*length), rest),
            };
            let (message, next) = rest.split_at(length);
            bytes = next;
            if let Some(offset) = number_behind(message, b"\"phx_offset\":") {
                assert_eq!(offset, self.offset + 1, "in order, none twice, none left out");
                self.offset = offset;
            } else if let Some(offset) = number_behind(message, b"\"offset\":") {
                self.recovered = Some(find(message, b"\"recovered\":true").is_some());
                self.offset = offset;
            }
        }
        assert_eq!(bytes, b"", "whole frames of text alone");
    }
}

fn find(message: &[u8], part: &[u8]) -> Option<usize> {
    message.windows(part.len()).position(|window| window == part)
}

fn number_behind(message: &[u8], name: &[u8]) -> Option<u64> {
    let digits = &message[find(message, name)? + name.len()..];
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| 10 * number + u64::from(digit - b'0')))
}

/// Each tenth has missed more than is kept.
fn is_late(number: usize) -> bool {
    number % 10 == 3
}

/// One that wants to come back.
struct Client {
    topic: usize,
    /// The newest that it has.
    offset: u64,
    attempts: u32,
    stream: Stream,
    connection: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Client {
    fn new(number: usize) -> Self {
        let missed = if is_late(number) { KEPT + LIVE } else { number as u64 % MISSED };
        let offset = KEPT + MISSED - missed;
        Client { topic: number % TOPICS, offset, attempts: 0, stream: Stream::default(), connection: None }
    }

    /// Connects and joins, or is told when to come again.
    async fn come(&mut self, endpoint: &Endpoint, epochs: &[String]) -> Result<(), Duration> {
        let Some(Transport::WebSocket(handshake)) = endpoint.route("/socket/websocket") else {
            panic!("no WebSocket is mounted")
        };
        let upgrade = match handshake.accept(super::upgrade_request(), None).await {
            Ok(upgrade) => upgrade,
            Err(response) => {
                assert_eq!(response.status(), 503);
                let seconds = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                return Err(Duration::from_secs(seconds));
            }
        };
        self.connection = Some(Box::pin(upgrade.run(self.stream.clone())));
        let (topic, epoch, offset) = (self.topic, &epochs[self.topic], self.offset);
        let recover = json!({ "recover": { "epoch": epoch, "offset": offset } });
        let join = json!(["1", "1", format!("room:{topic}"), "phx_join", recover]);
        self.stream.0.lock().inbound = text(&join.to_string());
        self.poll();
        Ok(())
    }

    /// When it comes again: as the official client does with our jitter, and not before it was asked to.
    fn wait(&mut self, asked: Duration, random: f64) -> Duration {
        self.attempts += 1;
        let longest = Backoff::reconnect().longest(self.attempts);
        longest.mul_f64(1.0 - random / 2.0).max(asked.mul_f64(1.0 + random / 2.0))
    }

    fn poll(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let polled = connection.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the connection has ended");
    }
}

/// How many of so many are let in each second.
fn rate(count: usize) -> u32 {
    count.min(PER_SECOND) as u32
}

fn endpoint(per_second: u32) -> Endpoint {
    let channels = Channels::new().channel::<Echo>("room:*").history(History::last(KEPT as usize));
    Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
        .connect_rate(per_second, per_second / BURST)
        .build()
        .unwrap()
}

fn say(endpoint: &Endpoint, count: u64) {
    for _ in 0..count {
        for topic in 0..TOPICS {
            let payload = json!({ "body": "x".repeat(200) });
            endpoint.broadcast(format!("room:{topic}"), "said", payload).unwrap();
        }
    }
}

/// Has a client in each topic for a moment, which makes it keep what comes, and returns the topics' epochs.
async fn epochs(endpoint: &Endpoint) -> Vec<String> {
    let socket = bennu_testkit::connect(endpoint, "/socket", json!({})).await.unwrap();
    let mut epochs = Vec::new();
    for topic in 0..TOPICS {
        let (reply, _) = socket.subscribe_and_join(&format!("room:{topic}"), json!({})).await.unwrap();
        epochs.push(reply["epoch"].as_str().unwrap().to_owned());
    }
    epochs
}

fn live(region: &Region<'_, System>) -> f64 {
    let change = region.change();
    change.bytes_allocated as f64 - change.bytes_deallocated as f64
}

/// Those who come, and what they met.
struct Herd {
    endpoint: Endpoint,
    epochs: Vec<String>,
    clients: Vec<Client>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    refused: usize,
}

impl Herd {
    async fn new(count: usize) -> Self {
        let endpoint = endpoint(rate(count));
        let epochs = epochs(&endpoint).await;
        while endpoint.connection_count() > 0 {
            tokio::task::yield_now().await;
        }
        say(&endpoint, KEPT + MISSED);
        let clients = (0..count).map(Client::new).collect();
        let now = Instant::now();
        let due = (0..count).map(|number| Reverse((now, number))).collect();
        Herd { endpoint, epochs, clients, due, refused: 0 }
    }

    /// Until all are there. Returns the most bytes that were live at a time.
    async fn come(&mut self, region: &Region<'_, System>) -> f64 {
        let (mut peak, mut present) = (0.0_f64, 0);
        while let Some(Reverse((due, number))) = self.due.pop() {
            tokio::time::sleep_until(due).await;
            let client = &mut self.clients[number];
            match client.come(&self.endpoint, &self.epochs).await {
                Ok(()) => {
                    present += 1;
                    if present % (self.clients.len() / LIVE as usize) == 0 {
                        say(&self.endpoint, 1);
                        self.clients.iter_mut().for_each(Client::poll);
                    }
                }
                Err(asked) => {
                    self.refused += 1;
                    // Spread, and the same each time.
                    let random = (number as f64 * 0.618_034 + f64::from(client.attempts) * 0.414_214).fract();
                    self.due.push(Reverse((Instant::now() + client.wait(asked, random), number)));
                }
            }
            peak = peak.max(live(region));
        }
        peak
    }

    /// All read what waits for them.
    fn read(&mut self) {
        for client in &mut self.clients {
            client.stream.0.lock().is_reading = true;
            client.poll();
        }
    }

    fn assert_all_have_everything(&self) {
        for (number, client) in self.clients.iter().enumerate() {
            let side = client.stream.0.lock();
            assert_eq!(side.recovered, Some(!is_late(number)), "client {number}");
            assert_eq!(side.offset, KEPT + MISSED + LIVE, "client {number}");
        }
    }
}

/// Prints the figures, and tells whether they are within their bounds.
pub(super) fn is_bounded() -> bool {
    let count = std::env::var(CLIENTS).map_or(EVERY_DAY, |count| count.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // The connections are polled here and not by the runtime, which would have them pause now and then.
    runtime.block_on(tokio::task::unconstrained(async {
        let mut herd = Herd::new(count).await;
        let region = Region::new(ALLOCATOR);
        let began = Instant::now();
        let peak = herd.come(&region).await;
        let all_there = began.elapsed();
        herd.read();
        let all_read = began.elapsed();
        herd.assert_all_have_everything();
        let refused = herd.refused;
        let least = (count as f64 - f64::from(rate(count) / BURST)) / f64::from(rate(count));
        assert!(all_there.as_secs_f64() >= least, "{all_there:?}: more were let in than may be");
        herd.clients.iter_mut().for_each(|client| client.connection = None);
        let left = live(&region);
        let most = FOR_ALL + EACH * count as f64;
        println!("{count} clients that come back at once, {} let in each second:", rate(count));
        println!("  all there after {all_there:.1?}, refused {refused} times on the way");
        println!("  all have what they missed after {all_read:.1?} ≤ {TARGET:?}");
        println!(
            "  {:.1} ≤ {:.1} MB live at most, of which {:.0} B for each; {:.1} ≤ {:.1} MB when they have gone",
            peak / 1e6,
            most / 1e6,
            (peak - left) / count as f64,
            left / 1e6,
            FOR_ALL / 1e6
        );
        all_read <= TARGET && peak <= most && left <= FOR_ALL
    }))
}
