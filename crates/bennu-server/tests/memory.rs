//! What connections and channels keep while they are idle, and what they allocate while they work, counted
//! by the allocator: the same on every machine. The bounds are the regression gate. The same for connections on
//! a shard is `tests/memory.rs` of `bennu-server-axum`.
//!
//! It is a program of its own, since an allocator counts for a whole process.

// Helpers of tests may unwrap as tests do; the figures are for people.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "memory/herd.rs"]
mod herd;

use std::alloc::System;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bennu_protocol::Payload;
use bennu_protocol::websocket::{Opcode, encode_masked};
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, Context as Cx, Endpoint, Handled, HandlerResult, JoinRefusal,
    JoinRequest, Joined, SocketOptions, Transport,
};
use parking_lot::Mutex;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many connections a figure is the mean of.
const CONNECTIONS: usize = 1_000;

/// How many joins of one connection, after its first, a figure is the mean of.
const JOINS: usize = 100;

const WHAT_TO_DO: &str = "\
a figure above is more than its bound: a connection or a channel keeps or allocates more than it did.
If that is a mistake, find the allocation: `git bisect` with this test, or a heap profiler on it.
If it is worth it, raise the bound in this file, to the figure and a small margin, and say why in that commit.";

/// A channel without state: what it costs is ours.
struct Echo;

impl Channel for Echo {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Echo))
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, _: &mut Cx<()>) -> HandlerResult {
        Handled::reply(payload)
    }
}

/// Both directions of a stream, in memory that is there before anything is counted.
struct Pipe {
    /// What the server reads next.
    inbound: Vec<u8>,
    /// How often the server wrote, and how much.
    writes: usize,
    written: usize,
}

#[derive(Clone)]
struct Stream(Arc<Mutex<Pipe>>);

impl Stream {
    fn new() -> Self {
        Stream(Arc::new(Mutex::new(Pipe { inbound: Vec::with_capacity(512), writes: 0, written: 0 })))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock();
        if pipe.inbound.is_empty() {
            return Poll::Pending;
        }
        buffer.put_slice(&pipe.inbound);
        pipe.inbound.clear();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.lock();
        pipe.writes += 1;
        pipe.written += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A connection that this test polls by itself.
struct Client {
    stream: Stream,
    connection: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Client {
    async fn connect(endpoint: &Endpoint, stream: Stream) -> Self {
        let Some(Transport::WebSocket(handshake)) = endpoint.route("/socket/websocket") else {
            panic!("no WebSocket is mounted")
        };
        let upgrade = handshake.accept(upgrade_request(), None).await.unwrap();
        let mut client = Client { stream: stream.clone(), connection: Box::pin(upgrade.run(stream)) };
        client.poll();
        client
    }

    /// Lets the server handle these bytes; it must answer with a write each.
    fn send(&mut self, frame: &[u8]) {
        let before = self.stream.0.lock().writes;
        self.stream.0.lock().inbound.extend_from_slice(frame);
        self.poll();
        let pipe = self.stream.0.lock();
        assert_eq!((pipe.inbound.len(), pipe.writes), (0, before + 1), "read all, and answered");
    }

    fn poll(&mut self) {
        let polled = self.connection.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the connection has ended");
    }
}

/// One line of the table: what was measured, and what it may be at most.
struct Row {
    name: &'static str,
    /// Live bytes, or nothing where only allocations count.
    bytes: Option<(f64, f64)>,
    allocations: (f64, f64),
}

impl Row {
    fn held(name: &'static str, region: &Region<'_, System>, count: usize, most: (f64, f64)) -> Self {
        let change = region.change();
        let live = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
        let blocks = change.allocations as f64 - change.deallocations as f64;
        let count = count as f64;
        Row { name, bytes: Some((live / count, most.0)), allocations: (blocks / count, most.1) }
    }

    /// What was allocated for passing, reallocations included.
    fn passing(name: &'static str, region: &Region<'_, System>, count: usize, most: f64) -> Self {
        let change = region.change();
        let made = (change.allocations + change.reallocations) as f64 / count as f64;
        Row { name, bytes: None, allocations: (made, most) }
    }

    fn print(&self) {
        let Row { name, bytes, allocations } = self;
        let bytes =
            bytes.map_or_else(|| format!("{:>20}", ""), |(is, most)| format!("{is:>10.1} ≤{most:>7.0} B"));
        println!("{name:<48}{bytes}{:>10.2} ≤{:>6.1} allocations", allocations.0, allocations.1);
    }

    fn holds(&self) -> bool {
        self.bytes.is_none_or(|(is, most)| is <= most) && self.allocations.0 <= self.allocations.1
    }
}

fn upgrade_request() -> http::request::Parts {
    let request = http::Request::builder()
        .uri("/socket/websocket?vsn=2.0.0")
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13");
    request.body(()).unwrap().into_parts().0
}

fn text(message: &str) -> Vec<u8> {
    encode_masked(Opcode::Text, message.as_bytes(), [1, 2, 3, 4]).to_vec()
}

fn join(reference: usize, topic: &str) -> Vec<u8> {
    text(&format!(r#"["{reference}","{reference}","{topic}","phx_join",{{}}]"#))
}

fn endpoint() -> Endpoint {
    let channels = Channels::new().channel::<Echo>("room:*");
    Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, channels, SocketOptions::default().max_channels(1_000))
        .build()
        .unwrap()
}

async fn connect_all(endpoint: &Endpoint, rows: &mut Vec<Row>) -> Vec<Client> {
    let streams: Vec<Stream> = (0..CONNECTIONS).map(|_| Stream::new()).collect();
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let region = Region::new(ALLOCATOR);
    for stream in streams {
        clients.push(Client::connect(endpoint, stream).await);
    }
    rows.push(Row::held("idle connection", &region, CONNECTIONS, (1_480.0, 5.1)));
    clients
}

fn join_all(clients: &mut [Client], rows: &mut Vec<Row>) {
    let frame = join(1, "room:lobby");
    let region = Region::new(ALLOCATOR);
    clients.iter_mut().for_each(|client| client.send(&frame));
    rows.push(Row::held("its first joined channel", &region, CONNECTIONS, (105.0, 2.1)));
    rows.push(Row::passing("joining it", &region, CONNECTIONS, 12.6));
    let heartbeat = text(r#"[null,"2","phoenix","heartbeat",{}]"#);
    let region = Region::new(ALLOCATOR);
    clients.iter_mut().for_each(|client| client.send(&heartbeat));
    rows.push(Row::held("after a heartbeat", &region, CONNECTIONS, (0.0, 0.0)));
    rows.push(Row::passing("a heartbeat", &region, CONNECTIONS, 3.1));
    let echo = text(r#"["1","3","room:lobby","echo",{"body":"0123456789012345678901234567890123456789"}]"#);
    let region = Region::new(ALLOCATOR);
    clients.iter_mut().for_each(|client| client.send(&echo));
    rows.push(Row::held("after an echo", &region, CONNECTIONS, (0.0, 0.0)));
    rows.push(Row::passing("an echo", &region, CONNECTIONS, 3.1));
}

/// Joins more topics, the same for some connections or for each another, and leaves nobody out.
fn join_more(
    clients: &mut [Client],
    name: [&'static str; 2],
    topic: impl Fn(usize, usize) -> String,
    most: [f64; 3],
    rows: &mut Vec<Row>,
) {
    let frames: Vec<Vec<Vec<u8>>> = (0..clients.len())
        .map(|client| (0..JOINS).map(|number| join(number + 10, &topic(client, number))).collect())
        .collect();
    let region = Region::new(ALLOCATOR);
    for (client, frames) in clients.iter_mut().zip(&frames) {
        frames.iter().for_each(|frame| client.send(frame));
    }
    let joins = clients.len() * JOINS;
    rows.push(Row::held(name[0], &region, joins, (most[0], most[1])));
    rows.push(Row::passing(name[1], &region, joins, most[2]));
}

fn broadcast(endpoint: &Endpoint, clients: &mut [Client], rows: &mut Vec<Row>) {
    let region = Region::new(ALLOCATOR);
    endpoint.broadcast("room:lobby", "news", Payload::empty()).unwrap();
    clients.iter_mut().for_each(Client::poll);
    rows.push(Row::held("after a broadcast", &region, CONNECTIONS, (0.0, 0.0)));
    rows.push(Row::passing("a delivery", &region, CONNECTIONS, 1.2));
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let guard = runtime.enter();
    let endpoint = endpoint();
    let mut rows = Vec::new();
    // What a thread and an endpoint keep for all, such as the buffer that is read into.
    let mut first = runtime.block_on(Client::connect(&endpoint, Stream::new()));
    first.send(&join(1, "room:first"));
    let mut clients = runtime.block_on(connect_all(&endpoint, &mut rows));
    join_all(&mut clients, &mut rows);
    broadcast(&endpoint, &mut clients, &mut rows);
    let (shared, own) = clients.split_at_mut(CONNECTIONS / 2);
    join_more(
        shared,
        ["each further joined channel, topic shared by 500", "joining it "],
        |_, number| format!("room:shared{number}"),
        [130.0, 0.1, 11.0],
        &mut rows,
    );
    join_more(
        &mut own[..100],
        ["each further joined channel, topic of its own", "joining it  "],
        |client, number| format!("room:{client}:{number}"),
        [184.0, 1.1, 11.0],
        &mut rows,
    );
    rows.iter().for_each(Row::print);
    drop((first, clients, guard));
    assert!(rows.iter().all(Row::holds) && herd::is_bounded(), "{WHAT_TO_DO}");
}
