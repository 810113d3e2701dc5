//! The link between a node and its engine, to be cut.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Bytes that are read at once, and how many such pieces wait in each direction before the sender feels it.
const PIECE: usize = 16 * 1024;
const PIECES: usize = 16;

/// A TCP proxy on a free port, through which a node reaches its engine. Dropping it cuts the link for good.
///
/// It starts healed. [`cut`](Self::cut) is what a connection reset or a dead engine looks like, [`freeze`](Self::freeze)
/// what a lost cable or a stalled engine does.
pub struct Proxy {
    address: SocketAddr,
    link: watch::Sender<Link>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq)]
struct Link {
    state: State,
    delay: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Whole,
    Frozen,
    Cut,
}

impl Proxy {
    /// A proxy in front of `engine`, which need not be up yet.
    ///
    /// # Errors
    ///
    /// No port can be listened on.
    pub async fn start(engine: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (link, seen) = watch::channel(Link { state: State::Whole, delay: Duration::ZERO });
        let accepted = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(accept(listener, engine, seen, accepted.clone()));
        Ok(Proxy { address, link, accepted, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `url` of the engine with the proxy's address in place of the engine's; the rest stays.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        let authority = url.find("://").map_or(0, |scheme| scheme + 3);
        let end = url[authority..].find(['/', '?']).map_or(url.len(), |length| authority + length);
        let host = url[authority..end].rfind('@').map_or(authority, |at| authority + at + 1);
        format!("{}{}{}", &url[..host], self.address, &url[end..])
    }

    /// Breaks all connections, and every new one as soon as it is accepted.
    pub fn cut(&self) {
        self.link.send_modify(|link| link.state = State::Cut);
    }

    /// Lets nothing through from now on: connections stay, new ones are accepted, and all are silent. What is sent meanwhile
    /// arrives after [`heal`](Self::heal).
    pub fn freeze(&self) {
        self.link.send_modify(|link| link.state = State::Frozen);
    }

    /// The link is whole again; what was cut has to connect again.
    pub fn heal(&self) {
        self.link.send_modify(|link| link.state = State::Whole);
    }

    /// How much longer than it would everything takes from now on, in each direction; the throughput stays. Default none.
    pub fn delay(&self, delay: Duration) {
        self.link.send_modify(|link| link.delay = delay);
    }

    /// How many connections have been accepted, those that were broken at once included.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn accept(
    listener: TcpListener,
    engine: SocketAddr,
    link: watch::Receiver<Link>,
    accepted: Arc<AtomicUsize>,
) {
    while let Ok((node, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(carry(node, engine, link.clone()));
    }
}

/// Carries both directions until either end closes or the link is cut.
async fn carry(node: TcpStream, engine: SocketAddr, mut link: watch::Receiver<Link>) {
    let reset = |node: &TcpStream| node.set_zero_linger();
    let mut cut = link.clone();
    let connecting = async {
        until(&mut link, |link| link.state == State::Whole).await;
        TcpStream::connect(engine).await
    };
    let engine = tokio::select! {
        () = until(&mut cut, |link| link.state == State::Cut) => None,
        connected = connecting => connected.ok(),
    };
    // A reset is what a peer sees of an engine that died; that it cannot be asked for is no reason to keep the connection.
    let Some(engine) = engine else { return drop(reset(&node)) };
    // Nagle's delay is not the one that a test asked for.
    let _ = (node.set_nodelay(true), engine.set_nodelay(true), reset(&node), reset(&engine));
    let (from_node, to_node) = node.into_split();
    let (from_engine, to_engine) = engine.into_split();
    tokio::select! {
        () = until(&mut cut, |link| link.state == State::Cut) => {}
        () = direction(from_node, to_engine, link.clone()) => {}
        () = direction(from_engine, to_node, link.clone()) => {}
    }
}

/// Carries one direction until it ends.
async fn direction(from: OwnedReadHalf, to: OwnedWriteHalf, link: watch::Receiver<Link>) {
    let (pieces, waiting) = mpsc::channel(PIECES);
    tokio::join!(take(from, pieces, link.clone()), give(to, waiting, link));
}

async fn take(
    mut from: OwnedReadHalf,
    pieces: mpsc::Sender<(Instant, Vec<u8>)>,
    link: watch::Receiver<Link>,
) {
    let mut buffer = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let due = Instant::now() + link.borrow().delay;
        if pieces.send((due, buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn give(
    mut to: OwnedWriteHalf,
    mut waiting: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut link: watch::Receiver<Link>,
) {
    while let Some((due, piece)) = waiting.recv().await {
        tokio::time::sleep_until(due).await;
        until(&mut link, |link| link.state == State::Whole).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}

/// Waits for a state of the link; for ever when the proxy is gone without reaching it.
async fn until(link: &mut watch::Receiver<Link>, is: impl FnMut(&Link) -> bool) {
    if link.wait_for(is).await.is_err() {
        std::future::pending().await
    }
}
