//! phoenix_channels_client of crates.io.

use std::sync::Arc;

use anyhow::bail;
use bennu_bench_clients::{Client, Echo, measure};
use phoenix_channels_client::{Channel, Client as Socket, Config, Payload};

struct Peer {
    channel: Arc<Channel>,
    /// Only held.
    _socket: Socket,
}

impl Client for Peer {
    const NAME: &'static str = "phoenix_channels_client";

    async fn join(url: &str, topic: String) -> anyhow::Result<Self> {
        let config = Config::new(format!("{url}/socket/websocket").as_str())?;
        let mut socket = Socket::new(config)?;
        socket.connect().await?;
        let channel = socket.join(&topic, None).await?;
        Ok(Peer { channel, _socket: socket })
    }

    async fn echo(&mut self, payload: &Echo) -> anyhow::Result<Echo> {
        match self.channel.send("echo", serde_json::to_value(payload)?).await? {
            Payload::Value(value) => Ok(serde_json::from_value(value)?),
            Payload::Binary(_) => bail!("it is bytes"),
        }
    }
}

fn main() -> anyhow::Result<()> {
    measure::<Peer>()
}
