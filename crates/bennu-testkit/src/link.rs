//! The connection itself: a WebSocket of the server over a stream in memory.

use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::Serializer;
use bennu_protocol::websocket::{Decoder, Item, Limits, Opcode, Role, encode_masked};
use bennu_server::Upgrade;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::arrivals::{Arrival, Arrivals};
use crate::wire::decode;

/// Bytes in flight each way.
const BUFFER: usize = 64 * 1024;

/// Masks are for proxies on the way; there are none.
const MASK: [u8; 4] = [0; 4];

/// RFC 6455's normal closure.
const NORMAL: u16 = 1000;

/// A client's end of a connection. Dropping it cuts the connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// Unbounded: a test queues what it likes, and the writer's stream is bounded.
    frames: mpsc::UnboundedSender<(Opcode, Vec<u8>)>,
    tasks: [JoinHandle<()>; 2],
    /// Turns true when the server's side has ended, its channels' `terminate` included.
    ended: watch::Receiver<bool>,
}

impl Link {
    /// Lets the server's side run, and notes what it sends.
    pub(crate) fn open(
        upgrade: Upgrade,
        serializer: Serializer,
        heartbeat: Option<Duration>,
        arrivals: Arc<Arrivals>,
    ) -> Self {
        let (client, server) = tokio::io::duplex(BUFFER);
        let (end, ended) = watch::channel(false);
        tokio::spawn(async move {
            upgrade.run(server).await;
            end.send_replace(true);
        });
        let (reading, writing) = tokio::io::split(client);
        let (frames, queue) = mpsc::unbounded_channel();
        let tasks = [
            tokio::spawn(read(reading, serializer, arrivals, frames.downgrade())),
            tokio::spawn(write(writing, queue, heartbeat.map(|period| (period, serializer)))),
        ];
        Link { frames, tasks, ended }
    }

    /// Sends a frame; once the connection has ended, nothing happens.
    pub(crate) fn send(&self, opcode: Opcode, payload: Vec<u8>) {
        // The log of arrivals tells of the end.
        let _ = self.frames.send((opcode, payload));
    }

    /// Says goodbye as a browser does.
    pub(crate) fn close(&self) {
        self.send(Opcode::Close, NORMAL.to_be_bytes().to_vec());
    }

    /// Ends the stream without a word.
    pub(crate) fn cut(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    /// Waits until the server's side has ended.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the server's side is gone, too.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn read(
    mut stream: ReadHalf<DuplexStream>,
    serializer: Serializer,
    arrivals: Arc<Arrivals>,
    answers: mpsc::WeakUnboundedSender<(Opcode, Vec<u8>)>,
) {
    // Where a test offers it by a header, messages come compressed.
    let limits = Limits::default();
    let mut decoder = Decoder::new(Role::Client, limits).inflating(limits.max_frame_size);
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let mut unread = &mut buffer[..count];
        loop {
            let item = match decoder.decode(&mut unread) {
                Ok(Some(item)) => item,
                Ok(None) => break,
                Err(violation) => return arrivals.push(Arrival::Unreadable(violation.to_string())),
            };
            if let Item::Close(frame) = &item {
                let code = frame.as_ref().map(|frame| frame.code);
                arrivals.push(Arrival::Closed { code });
                if let Some(answers) = answers.upgrade() {
                    let _ = answers.send((Opcode::Close, code.unwrap_or(NORMAL).to_be_bytes().to_vec()));
                }
                return;
            }
            let arrival = decode(serializer, &item).filter(|arrival| !is_heartbeat(arrival));
            arrival.into_iter().for_each(|arrival| arrivals.push(arrival));
        }
    }
    arrivals.push(Arrival::Closed { code: None });
}

async fn write(
    mut stream: WriteHalf<DuplexStream>,
    mut frames: mpsc::UnboundedReceiver<(Opcode, Vec<u8>)>,
    heartbeat: Option<(Duration, Serializer)>,
) {
    loop {
        let next = match heartbeat {
            None => frames.recv().await,
            Some((period, serializer)) => match tokio::time::timeout(period, frames.recv()).await {
                Ok(next) => next,
                Err(_) => Some((Opcode::Text, heartbeat_message(serializer))),
            },
        };
        let Some((opcode, payload)) = next else { return };
        let sent = stream.write_all(&encode_masked(opcode, &payload, MASK)).await;
        if sent.is_err() || opcode == Opcode::Close {
            return;
        }
    }
}

/// The ref of heartbeats, which no message of a test has.
const HEARTBEAT: &str = "heartbeat";

fn heartbeat_message(serializer: Serializer) -> Vec<u8> {
    let payload = bennu_protocol::Payload::empty();
    let (topic, event) = ("phoenix", "heartbeat");
    let heartbeat =
        crate::wire::Outgoing { join_ref: None, reference: HEARTBEAT, topic, event, payload: &payload };
    heartbeat.encode(serializer).1
}

fn is_heartbeat(arrival: &Arrival) -> bool {
    matches!(arrival, Arrival::Reply { reference, .. } if reference == HEARTBEAT)
}
