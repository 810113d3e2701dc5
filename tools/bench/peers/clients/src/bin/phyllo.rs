//! phyllo of crates.io, with types of the application and few places for broadcasts, of which there are none here.

use anyhow::{Context as _, bail};
use bennu_bench_clients::{Client, Echo, measure};
use phyllo::channel::{ChannelBuilder, ChannelHandler};
use phyllo::message::{Event, Payload};
use phyllo::socket::{SocketBuilder, SocketHandler};
use serde_json::Value;

struct Phyllo {
    channel: ChannelHandler<String, String, Echo, Value>,
    /// Only held.
    _socket: SocketHandler<String>,
}

impl Client for Phyllo {
    const NAME: &'static str = "phyllo";

    async fn join(url: &str, topic: String) -> anyhow::Result<Self> {
        let url = url::Url::parse(&format!("{url}/socket/websocket"))?;
        let mut socket = SocketBuilder::new(url).build::<String>().await;
        // What is sent waits for the join.
        let (channel, _) = socket.channel(ChannelBuilder::new(topic).broadcast_buffer(1)).await?;
        Ok(Phyllo { channel, _socket: socket })
    }

    async fn echo(&mut self, payload: &Echo) -> anyhow::Result<Echo> {
        let payload = Payload::Custom(serde_json::to_value(payload)?);
        let reply = self.channel.send(Event::Event("echo".to_owned()), payload).await?;
        match reply.payload.context("no payload")? {
            Payload::PushReply { response, .. } => Ok(response),
            Payload::Custom(_) => bail!("no reply"),
        }
    }
}

fn main() -> anyhow::Result<()> {
    measure::<Phyllo>()
}
