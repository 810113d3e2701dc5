//! `bennu tail`: prints events as they come.

use std::time::Duration;

use bennu_client::{Channel, ChannelStatus, JoinError, Message, RecvError};
use clap::Args;
use futures_util::stream::{FuturesUnordered, select_all};
use futures_util::{Stream, StreamExt as _, future, stream};
use jiff::Timestamp;

use crate::exit::{Exit, failure};
use crate::print;
use crate::server::Server;
use crate::session::{self, not_joined, say};
use crate::span;

/// `bennu tail`.
#[derive(Debug, Args)]
#[command(
    after_help = "Goes on through lost connections, and says so on standard error. Ctrl-C leaves the topics and closes.\n\n\
    Example: bennu tail wss://example.com/socket room:lobby --json | jq .payload"
)]
pub(crate) struct Tail {
    #[command(flatten)]
    server: Server,

    /// What to join
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,

    /// Params of the joins, a JSON object
    #[arg(long, value_name = "JSON")]
    join_params: Option<String>,

    /// Print events of this name alone; can be given several times
    #[arg(short, long = "event", value_name = "EVENT")]
    events: Vec<String>,

    /// End after so many events
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,

    /// One JSON object per line: at, topic, event, and payload or binary with length
    #[arg(long)]
    json: bool,

    /// Say when each came, in UTC
    #[arg(short, long, conflicts_with = "json")]
    time: bool,

    /// How long each join may take
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span::parse)]
    timeout: Duration,
}

/// What happens on a channel.
pub(crate) enum Happening {
    Message(Message),
    Missed(u64),
    /// Something about the channel itself, for people.
    Status(String),
}

pub(crate) fn run(tail: &Tail) -> anyhow::Result<Exit> {
    let params = session::payload("--join-params", tail.join_params.as_deref())?;
    session::run(&tail.server, tail.timeout, async |session| {
        let joins: FuturesUnordered<_> =
            tail.topics.iter().map(|topic| session.join(topic, params.clone())).collect();
        let announcing = session.announce(say);
        let channels: Vec<_> = joins.collect().await;
        let mut streams = Vec::new();
        for joined in channels {
            let (_, channel) = joined?;
            say(format!("joined {}", print::plain(channel.topic().as_str())));
            streams.push(happenings(channel));
        }
        let printing = tail.print(select_all(streams));
        tokio::select! {
            exit = printing => exit,
            () = async { announcing.await; future::pending().await } => Ok(Exit::Done),
        }
    })
}

impl Tail {
    async fn print(&self, mut happenings: impl Stream<Item = Happening> + Unpin) -> anyhow::Result<Exit> {
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            match happenings.next().await {
                Some(Happening::Message(message)) if self.wants(&message) => {
                    print::out(self.line(&message)).await?;
                    left -= 1;
                }
                Some(Happening::Message(_)) => {}
                Some(Happening::Missed(count)) => {
                    say(format!("{count} messages were missed: they came faster than they are printed"))
                }
                Some(Happening::Status(text)) => say(text),
                None => return Err(failure(Exit::ChannelClosed, "all topics were closed by the server")),
            }
        }
        Ok(Exit::Done)
    }

    fn wants(&self, message: &Message) -> bool {
        self.events.is_empty() || self.events.iter().any(|event| event == message.event.as_str())
    }

    fn line(&self, message: &Message) -> String {
        if self.json {
            return print::json(message);
        }
        let time = if self.time { format!("{:.3}  ", Timestamp::now()) } else { String::new() };
        format!("{time}{}", print::line(message))
    }
}

/// All that happens on a channel, until it ends.
pub(crate) fn happenings(channel: Channel) -> stream::BoxStream<'static, Happening> {
    let messages = stream::unfold(channel.clone(), |channel| async move {
        let next = match channel.recv().await {
            Ok(message) => Happening::Message(message),
            Err(RecvError::Missed { count }) => Happening::Missed(count),
            Err(_) => return None,
        };
        Some((next, channel))
    });
    let topic = print::plain(channel.topic().as_str()).into_owned();
    let statuses = changes(channel).map(move |text| Happening::Status(format!("{topic}: {text}")));
    stream::select(messages, statuses).boxed()
}

/// How a channel that is joined stops being so, and is joined again; ends with the channel.
pub(crate) fn changes(channel: Channel) -> impl Stream<Item = String> + Send + 'static {
    stream::unfold(Standing::Joined, move |standing| {
        let channel = channel.clone();
        async move {
            match standing {
                Standing::Joined => {
                    let mut statuses = channel.statuses();
                    while statuses.next().await? == ChannelStatus::Joined {}
                    match channel.status() {
                        ChannelStatus::Left | ChannelStatus::Leaving => end(&channel).await,
                        _ => Some(("not joined any more; it is joined again".to_owned(), Standing::Lost)),
                    }
                }
                Standing::Lost => match channel.joined().await {
                    Ok(_) => Some(("joined again".to_owned(), Standing::Joined)),
                    Err(JoinError::Ended(_) | JoinError::SocketEnded(_)) => end(&channel).await,
                    Err(error) => Some((format!("{}; trying again", not_joined(&error)), Standing::Lost)),
                },
                Standing::Ended => None,
            }
        }
    })
}

async fn end(channel: &Channel) -> Option<(String, Standing)> {
    Some((channel.ended().await.to_string(), Standing::Ended))
}

enum Standing {
    Joined,
    Lost,
    Ended,
}
