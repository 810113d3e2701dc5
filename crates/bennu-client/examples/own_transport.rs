//! A transport of one's own: a server inside of the program, which echoes everything.
//!
//! ```sh
//! cargo run -p bennu-client --example own_transport
//! ```

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bennu_client::transport::{Connection, ConnectionEvent, OpenRequest, Opening, Transport};
use bennu_client::{Message, Socket, SocketConfig};
use bennu_protocol::client::ConnectionEnd;
use bennu_protocol::{Event, Frame, Serializer, Status};
use serde_json::{Value, json};

/// Opens connections to nowhere.
#[derive(Debug)]
pub(crate) struct Echo;

/// What the server has said, and who waits for more.
#[derive(Default)]
struct Echoes {
    said: VecDeque<ConnectionEvent>,
    waiting: Option<Waker>,
}

impl Transport for Echo {
    fn open(&self, _: OpenRequest) -> Opening {
        Box::pin(async { Ok(Box::new(Echoes::default()) as Box<dyn Connection>) })
    }
}

impl Echoes {
    fn say(&mut self, event: ConnectionEvent) {
        self.said.push_back(event);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

impl Connection for Echoes {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn send(&mut self, frame: Frame) {
        let answer = Message::decode_client(Serializer::V2, frame).map(|mut message| {
            (message.event, message.status) = (Event::Reply, Some(Status::Ok));
            message.encode(Serializer::V2)
        });
        match answer {
            Ok(Ok(answer)) => self.say(ConnectionEvent::Frame(answer)),
            Ok(Err(error)) => self.say(ConnectionEvent::Error(error.to_string())),
            Err(error) => self.say(ConnectionEvent::Error(error.to_string())),
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEvent> {
        match self.said.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                self.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.say(ConnectionEvent::Closed(ConnectionEnd::clean(code, reason)));
    }
}

/// What the server echoes, to the join and to a push.
pub(crate) async fn echoes() -> Result<(Value, Value), Box<dyn std::error::Error>> {
    let socket = Socket::start(SocketConfig::new("ws://nowhere/socket").transport(Echo))?;
    let (joined, room) = socket.join("room:1", json!({"user": "ada"})).await?;
    let reply = room.push("new_msg", json!({"body": "hello"})).await?;
    socket.stop();
    socket.ended().await;
    Ok((joined.parse()?, reply.parse()?))
}

#[allow(dead_code, reason = "the test of this example has a main of its own")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (joined, reply) = runtime.block_on(echoes())?;
    tracing_subscriber::fmt().init();
    tracing::info!(%joined, %reply, "the echo");
    Ok(())
}
