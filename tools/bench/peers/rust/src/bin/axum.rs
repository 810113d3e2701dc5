//! The plain protocol of bennu-bench on axum's WebSockets, which are tungstenite's:
//!
//! ```text
//! cargo run --release --bin axum -- --port 4100
//! ```
//!
//! Tuned as far as their options go: a small buffer to read into (the default of 128 KiB is zeroed before each read), and
//! whatever waits for a connection is written at once. One task per connection, one thread.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use bennu_bench_peers::Options;
use futures_util::SinkExt as _;
use slab::Slab;
use tokio::sync::mpsc::{self, UnboundedSender};

const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 4096;

/// The connections of one path.
#[derive(Clone, Default)]
struct Hub(Arc<Mutex<Slab<UnboundedSender<Utf8Bytes>>>>);

/// What is done with a message.
#[derive(Clone, Copy)]
enum Handling {
    Echo,
    Fanout,
    Mixed,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let listener = Options::start().listen()?.tap_io(|stream| {
        stream.set_nodelay(true).expect("the client has not gone yet");
    });
    let path = |handling: Handling| {
        get(move |State(hub): State<Hub>, upgrade: WebSocketUpgrade| async move {
            let upgrade = upgrade.read_buffer_size(READ_BUFFER).write_buffer_size(WRITE_BUFFER);
            upgrade.on_upgrade(move |socket| serve(socket, hub, handling))
        })
        .with_state(Hub::default())
    };
    let app = Router::new()
        .route("/echo", path(Handling::Echo))
        .route("/fanout", path(Handling::Fanout))
        .route("/mixed", path(Handling::Mixed));
    axum::serve(listener, app).await
}

async fn serve(mut socket: WebSocket, hub: Hub, handling: Handling) {
    let (sender, mut queue) = mpsc::unbounded_channel();
    let id = hub.0.lock().expect("nothing panics").insert(sender);
    loop {
        tokio::select! {
            // What was sent to this connection goes out before a ping that came later is answered.
            biased;
            Some(first) = queue.recv() => {
                if send_all(&mut socket, first, || queue.try_recv().ok()).await.is_err() {
                    break;
                }
            }
            received = socket.recv() => {
                let Some(Ok(message)) = received else { break };
                let Message::Text(text) = message else { continue };
                let echoes = match handling {
                    Handling::Echo => true,
                    Handling::Fanout => false,
                    Handling::Mixed => text.starts_with('e'),
                };
                if !echoes {
                    hub.send(&text);
                } else if socket.send(Message::Text(text)).await.is_err() {
                    break;
                }
            }
        }
    }
    hub.0.lock().expect("nothing panics").remove(id);
}

/// Writes this message and all that wait behind it, then flushes once.
async fn send_all(
    socket: &mut WebSocket,
    first: Utf8Bytes,
    mut next: impl FnMut() -> Option<Utf8Bytes>,
) -> Result<(), axum::Error> {
    let mut message = Some(first);
    while let Some(text) = message {
        socket.feed(Message::Text(text)).await?;
        message = next();
    }
    socket.flush().await
}

impl Hub {
    fn send(&self, text: &Utf8Bytes) {
        for (_, member) in self.0.lock().expect("nothing panics").iter() {
            // One that is gone takes itself out.
            let _ = member.send(text.clone());
        }
    }
}
