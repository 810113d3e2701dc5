//! bennu-client, with its defaults.

use bennu_bench_clients::{Client, Echo, measure};
use bennu_client::{Channel, Socket, SocketConfig};

struct Bennu(Channel);

impl Client for Bennu {
    const NAME: &'static str = "bennu-client";

    async fn join(url: &str, topic: String) -> anyhow::Result<Self> {
        let socket = Socket::start(SocketConfig::new(format!("{url}/socket")))?;
        let channel = socket.channel_join(topic, serde_json::json!({}))?;
        channel.joined().await?;
        Ok(Bennu(channel))
    }

    async fn echo(&mut self, payload: &Echo) -> anyhow::Result<Echo> {
        Ok(self.0.push("echo", payload).await?.parse()?)
    }
}

fn main() -> anyhow::Result<()> {
    measure::<Bennu>()
}
