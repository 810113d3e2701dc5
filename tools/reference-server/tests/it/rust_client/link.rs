//! A bad link between a client and a server: a TCP proxy that delays, cuts, refuses and swallows as a test tells it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// It listens until it is dropped.
pub(crate) struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
    /// How many connections it has taken.
    accepted: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

/// What the link does to bytes and connections now.
#[derive(Debug, Clone, Copy)]
struct State {
    target: SocketAddr,
    /// What each piece waits before it goes on.
    delay: Duration,
    mode: Mode,
    /// Connections of an earlier number are gone.
    cuts: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    /// New connections are closed at once.
    Refuse,
    /// Bytes vanish, both ways, and nobody is told.
    HalfOpen,
}

impl Link {
    /// A good link, on a free port.
    pub(crate) async fn to(target: SocketAddr) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, watched) =
            watch::channel(State { target, delay: Duration::ZERO, mode: Mode::Pass, cuts: 0 });
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(client, watched.clone()));
            }
        });
        Link { address, state, accepted, accepting: accepting.abort_handle() }
    }

    /// The URL of a socket behind the link.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// How many connections it has taken.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Where new connections lead.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.state.send_modify(|state| state.target = target);
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Resets all connections.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Resets all connections, and refuses new ones until it is healed.
    pub(crate) fn refuse(&self) {
        self.state.send_modify(|state| {
            state.mode = Mode::Refuse;
            state.cuts += 1;
        });
    }

    /// Lets connections stand, old and new, and swallows what they carry until it is healed; what was swallowed stays lost.
    pub(crate) fn half_open(&self) {
        self.state.send_modify(|state| state.mode = Mode::HalfOpen);
    }

    /// Connections whose bytes were swallowed are cut, for their streams have holes; new ones are carried.
    pub(crate) fn heal(&self) {
        self.state.send_modify(|state| {
            state.cuts += u64::from(state.mode == Mode::HalfOpen);
            state.mode = Mode::Pass;
            state.delay = Duration::ZERO;
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn carry(mut client: TcpStream, state: watch::Receiver<State>) {
    let State { target, mode, cuts, .. } = *state.borrow();
    // There may be no server at the moment.
    let (Mode::Pass | Mode::HalfOpen, Ok(mut server)) = (mode, TcpStream::connect(target).await) else {
        return client.set_zero_linger().unwrap();
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let is_cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        // When one way ends, so does the other.
        tokio::select! {
            () = carry_one_way(from_client, to_server, state.clone()) => false,
            () = carry_one_way(from_server, to_client, state.clone()) => false,
            () = cut(state.clone(), cuts) => true,
        }
    };
    if is_cut {
        // A reset is what both sides see of a link that breaks.
        client.set_zero_linger().unwrap();
        server.set_zero_linger().unwrap();
    }
}

async fn cut(mut state: watch::Receiver<State>, cuts: u64) {
    // When the link is dropped, everything on it is cut too.
    let _ = state.wait_for(|state| state.cuts > cuts).await;
}

async fn carry_one_way(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, state: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let State { delay, mode, .. } = *state.borrow();
        if mode == Mode::HalfOpen {
            continue;
        }
        tokio::time::sleep(delay).await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
