//! `bennu push`: pushes one event, and prints the reply.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bennu_client::{Channel, PushError};
use bennu_protocol::{Payload, Status};
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::exit::{Exit, failure};
use crate::print::{self, Content};
use crate::secret;
use crate::server::Server;
use crate::session::{self, not_pushed};
use crate::span;

/// `bennu push`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 for a reply that says ok, 5 for another one, 6 when none comes in time, \
    7 when the connection ended before it came.\n\n\
    Example: bennu push wss://example.com/socket room:lobby message:new '{\"body\": \"hello\"}'"
)]
pub(crate) struct Push {
    #[command(flatten)]
    server: Server,

    /// What to join
    #[arg(value_name = "TOPIC")]
    topic: String,

    /// What to push
    #[arg(value_name = "EVENT")]
    event: String,

    /// What it carries, as JSON; `-` reads it from standard input
    #[arg(value_name = "PAYLOAD", default_value = "{}")]
    payload: String,

    /// Push the bytes of this file instead; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "payload")]
    binary: Option<PathBuf>,

    /// Params of the join, a JSON object
    #[arg(long, value_name = "JSON")]
    join_params: Option<String>,

    /// Wait for no reply, only until it is sent
    #[arg(long)]
    no_reply: bool,

    /// Print status and response as one JSON object
    #[arg(long)]
    json: bool,

    /// How long each step may take: the join, and the reply
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span::parse)]
    timeout: Duration,
}

pub(crate) fn run(push: &Push) -> anyhow::Result<Exit> {
    let params = session::payload("--join-params", push.join_params.as_deref())?;
    let payload = push.payload()?;
    session::run(&push.server, push.timeout, async |session| {
        let (_, channel) = session.join(&push.topic, params).await?;
        if push.no_reply { push.send(&channel, payload).await } else { push.ask(&channel, payload).await }
    })
}

impl Push {
    fn payload(&self) -> anyhow::Result<Payload> {
        if let Some(path) = &self.binary {
            return Ok(Payload::binary(bytes(path)?));
        }
        let text = match &*self.payload {
            "-" => secret::file(Path::new("-"))?,
            text => text.to_owned(),
        };
        json(&text).map_err(|error| failure(Exit::Usage, format!("the payload is no JSON: {error}")))
    }

    async fn send(&self, channel: &Channel, payload: Payload) -> anyhow::Result<Exit> {
        let sent = match channel.push_async(&self.event, payload) {
            Ok(sending) => sending.await,
            Err(error) => Err(error),
        };
        sent.map(|()| Exit::Done).map_err(|error| failed(&error))
    }

    async fn ask(&self, channel: &Channel, payload: Payload) -> anyhow::Result<Exit> {
        match channel.push(&self.event, payload).await {
            Ok(response) => {
                self.print(&Status::Ok, &response).await?;
                Ok(Exit::Done)
            }
            Err(PushError::Refused { status, response }) => {
                self.print(&status, &response).await?;
                Err(failure(
                    Exit::ErrorReply,
                    format!("the server replied {}", print::plain(status.as_str())),
                ))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    async fn print(&self, status: &Status, response: &Payload) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            status: &'a str,
            #[serde(flatten)]
            content: Content,
        }
        let line = match self.json {
            true => print::json_text(&Line { status: status.as_str(), content: Content::of(response) })?,
            false => print::payload(response),
        };
        Ok(print::out(line).await?)
    }
}

fn failed(error: &PushError) -> anyhow::Error {
    let (exit, text) = not_pushed(error);
    failure(exit, text)
}

/// The text as it stands: no number loses digits, no key its place.
pub(crate) fn json(text: &str) -> Result<Payload, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Payload::json(raw).map_err(|error| error.to_string())
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(bytes)
}
