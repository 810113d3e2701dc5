//! The lobby in a terminal: `cargo run --example chat -- ann`; a line that is typed is said.

use std::io::Write as _;

use anyhow::Context as _;
use bennu_client::{Socket, SocketConfig};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[derive(Deserialize)]
struct Said {
    from: String,
    body: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).context("who are you? cargo run --example chat -- ann")?;
    let server = std::env::var("SERVER").unwrap_or_else(|_| "ws://127.0.0.1:4000/socket".to_owned());
    // It connects again and joins again by itself when the connection is lost.
    let socket = Socket::start(SocketConfig::new(server).param("name", name))?;
    let (_, room) = socket.join("room:lobby", json!({})).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(body) = line? else { break };
                room.push("message:new", json!({ "body": body })).await?;
            }
            message = room.recv() => {
                let message = message?;
                if message.event.as_str() == "message:new" {
                    let Said { from, body } = message.payload.parse()?;
                    writeln!(std::io::stdout(), "{from}: {body}")?;
                }
            }
        }
    }
    // The server hears that we leave.
    room.leave().await?;
    Ok(())
}
