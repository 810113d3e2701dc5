//! The Socket.IO protocol of bennu-bench on socketioxide:
//!
//! ```text
//! cargo run --release --bin socketioxide -- --port 4100
//! ```
//!
//! Tuned as far as its options go: a small buffer to read into, and queues that drop nothing. One thread.

use std::io;

use axum::Router;
use axum::serve::ListenerExt as _;
use bennu_bench_peers::Options;
use serde_json::Value;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::{SocketIo, TransportType};

const READ_BUFFER: usize = 1024;

/// Packets that may wait for one client. The default, 128, drops what comes in bursts.
const QUEUE: usize = 1 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let (layer, io) = SocketIo::builder()
        .transports([TransportType::Websocket])
        .ws_read_buffer_size(READ_BUFFER)
        .max_buffer_size(QUEUE)
        .build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("join", async |socket: SocketRef, Data(topic): Data<String>, ack: AckSender| {
            socket.join(topic);
            report(ack.send("ok"));
        });
        socket.on("echo", async |Data(payload): Data<Value>, ack: AckSender| {
            report(ack.send(&payload));
        });
        socket.on("shout", async |socket: SocketRef, Data((topic, payload)): Data<(String, Value)>| {
            report(socket.within(topic.clone()).emit("shout", &(topic, payload)).await);
        });
    });
    let listener = Options::start().listen()?.tap_io(|stream| {
        stream.set_nodelay(true).expect("the client has not gone yet");
    });
    axum::serve(listener, Router::new().layer(layer)).await
}

/// What could not be sent was for a client that left; anything else is worth a word.
fn report<E: std::fmt::Display>(sent: Result<(), E>) {
    if let Err(error) = sent {
        eprintln!("{error}");
    }
}
