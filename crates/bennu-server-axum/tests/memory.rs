//! What connections and channels keep on a shard while they are idle, and what they allocate while they work,
//! counted by the allocator: the same on every machine. The bounds are the regression gate.
//!
//! The clients are sockets of the same process, which allocate nothing while something is counted. The same
//! for connections that a task polls is `tests/memory.rs` of `bennu-server`.

// Helpers of tests may unwrap as tests do; the figures are for people.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use bennu_protocol::Payload;
use bennu_protocol::websocket::{Opcode, encode_masked};
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, Context, Endpoint, Handled, HandlerResult, JoinRefusal, JoinRequest,
    Joined, SocketOptions,
};
use bennu_server_axum::{Server, sockets};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many connections a figure is the mean of.
const CONNECTIONS: usize = 1_000;

/// How many joins of one connection, after its first, a figure is the mean of.
const JOINS: usize = 100;

/// How many messages of one connection a figure is the mean of.
const MESSAGES: usize = 10;

const WHAT_TO_DO: &str = "\
a connection or a channel keeps or allocates more than it may: see the rows marked with `!` above.
If that is a mistake, find the allocation: `git bisect` with this test, or a heap profiler on it.
If it is worth it, raise the bound in this file, to the figure and a small margin, and say why in that commit.";

/// A channel without state: what it costs is ours.
struct Echo;

impl Channel for Echo {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Echo))
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, _: &mut Context<()>) -> HandlerResult {
        Handled::reply(payload)
    }
}

/// A connection's other end.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(UPGRADE).unwrap();
        let mut head = [0; 1024];
        let mut len = 0;
        while !head[..len].ends_with(b"\r\n\r\n") {
            len += stream.read(&mut head[len..]).unwrap();
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head[..len]));
        Client(stream)
    }

    /// Sends a message and reads its reply.
    fn ask(&mut self, frame: &[u8]) {
        self.0.write_all(frame).unwrap();
        self.receive(b"\"status\":\"ok\"");
    }

    /// Reads one message, which must hold `part`.
    fn receive(&mut self, part: &[u8]) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let mut bytes = [0; 125];
        let message = &mut bytes[..usize::from(head[1])];
        self.0.read_exact(message).unwrap();
        let holds = message.windows(part.len()).any(|window| window == part);
        assert!(head[0] == 0x81 && holds, "{}", String::from_utf8_lossy(message));
    }
}

const UPGRADE: &[u8] =
    b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// The server, the figures, and those that are above their bounds.
struct Gate {
    address: SocketAddr,
    endpoint: Endpoint,
    /// Connections with which to wait for the server.
    http: TcpStream,
    watch: Client,
    broken: usize,
}

impl Gate {
    fn start() -> Self {
        let channels = Channels::new().channel::<Echo>("room:*");
        let options = SocketOptions::default().max_channels(1_000);
        let endpoint = Endpoint::builder(PubSub::local())
            .socket("/socket", AllowAnonymous, channels, options)
            .shards(1)
            .build()
            .unwrap();
        let address = serve(&endpoint);
        let http = TcpStream::connect(address).unwrap();
        Gate { address, endpoint, http, watch: Client::connect(address), broken: 0 }
    }

    /// Counts what `work` leaves behind and what it allocates for passing, by the number of times it does
    /// something; `most` is bytes, live blocks, and allocations.
    fn count(&mut self, name: &str, times: usize, most: [f64; 3], work: impl FnOnce(&Endpoint)) {
        self.settle();
        let region = Region::new(ALLOCATOR);
        work(&self.endpoint);
        self.report(name, times, most, &region);
    }

    /// Prints what was counted since the region began, and notes whether it is too much.
    fn report(&mut self, name: &str, times: usize, most: [f64; 3], region: &Region<'_, System>) {
        self.settle();
        let change = region.change();
        let mean = |more: usize, less: usize| (more as f64 - less as f64) / times as f64;
        let figures = [
            mean(change.bytes_allocated, change.bytes_deallocated),
            mean(change.allocations, change.deallocations),
            mean(change.allocations + change.reallocations, 0),
        ];
        let holds = figures.iter().zip(&most).all(|(figure, most)| figure <= most);
        self.broken += usize::from(!holds);
        print!("{} {name:<48}", if holds { ' ' } else { '!' });
        print!("{:>9.1} ≤{:>6.1} B{:>8.2} ≤{:>4.2} blocks", figures[0], most[0], figures[1], most[1]);
        println!("{:>8.2} ≤{:>5.2} allocations", figures[2], most[2]);
    }

    /// Waits until nobody else is connected.
    fn wait_for_watch(&mut self) {
        while self.endpoint.connection_count() > 1 {
            self.settle();
        }
    }

    /// Waits until the server has put away what it was doing: what serves HTTP and what serves sockets are a
    /// thread each, and do what comes first first.
    fn settle(&mut self) {
        self.http.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let (mut answer, mut len) = ([0; 512], 0);
        while !answer[..len].ends_with(b"\r\n\r\n") {
            len += self.http.read(&mut answer[len..]).unwrap();
        }
        for _ in 0..2 {
            self.watch.ask(&text(r#"[null,"2","phoenix","heartbeat",{}]"#));
        }
    }
}

/// Serves on a thread of its own, for as long as the process lives.
fn serve(endpoint: &Endpoint) -> SocketAddr {
    let app = Router::new().layer(sockets(endpoint));
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            Server::new(listener, app).run().await.unwrap();
        });
    });
    told.recv().unwrap()
}

fn text(message: &str) -> Vec<u8> {
    encode_masked(Opcode::Text, message.as_bytes(), [1, 2, 3, 4]).to_vec()
}

fn join(reference: usize, topic: &str) -> Vec<u8> {
    text(&format!(r#"["{reference}","{reference}","{topic}","phx_join",{{}}]"#))
}

fn ask_all(clients: &mut [Client], frame: &[u8], times: usize) {
    for client in clients {
        (0..times).for_each(|_| client.ask(frame));
    }
}

/// Joins more topics, the same for all of these connections or another for each.
fn join_more(
    gate: &mut Gate,
    name: &str,
    clients: &mut [Client],
    most: [f64; 3],
    topic: impl Fn(usize, usize) -> String,
) {
    let frames: Vec<Vec<Vec<u8>>> = (0..clients.len())
        .map(|client| (0..JOINS).map(|number| join(number + 10, &topic(client, number))).collect())
        .collect();
    gate.count(name, clients.len() * JOINS, most, |_| {
        for (client, frames) in clients.iter_mut().zip(&frames) {
            frames.iter().for_each(|frame| client.ask(frame));
        }
    });
}

fn main() {
    rlimit::increase_nofile_limit(3 * CONNECTIONS as u64).unwrap();
    let mut gate = Gate::start();
    let address = gate.address;
    let mut clients = Vec::with_capacity(CONNECTIONS);
    // What is kept for all, once somebody needs it.
    let mut first = Client::connect(address);
    first.ask(&join(1, "room:first"));

    let whole = Region::new(ALLOCATOR);
    gate.count("idle connection", CONNECTIONS, [900.0, 3.05, 51.5], |_| {
        clients.extend((0..CONNECTIONS).map(|_| Client::connect(address)));
    });
    let frame = join(1, "room:lobby");
    gate.count("its first joined channel", CONNECTIONS, [110.0, 2.05, 12.6], |_| {
        ask_all(&mut clients, &frame, 1);
    });
    let messages = CONNECTIONS * MESSAGES;
    let frame = text(r#"[null,"2","phoenix","heartbeat",{}]"#);
    gate.count("heartbeat", messages, [1.0, 0.01, 3.1], |_| ask_all(&mut clients, &frame, MESSAGES));
    let frame = text(r#"["1","3","room:lobby","echo",{"body":"0123456789"}]"#);
    gate.count("echo", messages, [1.0, 0.01, 3.1], |_| ask_all(&mut clients, &frame, MESSAGES));
    gate.count("delivery of a broadcast", messages, [1.0, 0.01, 0.05], |endpoint| {
        for _ in 0..MESSAGES {
            endpoint.broadcast("room:lobby", "news", Payload::empty()).unwrap();
            clients.iter_mut().for_each(|client| client.receive(b"\"news\""));
        }
    });
    let (shared, own) = clients.split_at_mut(CONNECTIONS / 2);
    let name = "each further joined channel, topic shared by 500";
    join_more(&mut gate, name, shared, [114.0, 0.1, 11.2], |_, number| format!("room:shared{number}"));
    let name = "each further joined channel, topic of its own";
    join_more(&mut gate, name, &mut own[..100], [258.0, 1.1, 12.3], |client, number| {
        format!("room:{client}:{number}")
    });
    drop((first, clients));
    gate.wait_for_watch();
    // The shard's table of connections keeps room for as many as there were, until nobody is left. In about one run of twelve some
    // 130 KB more stay; what they are is not known yet.
    gate.report("left behind when it has gone", CONNECTIONS, [890.0, 0.05, 1_450.0], &whole);
    assert!(gate.broken == 0, "{WHAT_TO_DO}");
}
