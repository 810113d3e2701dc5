//! `bennu presence`: who is there, and who comes and goes.

use std::collections::HashSet;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use bennu_client::{Channel, RecvError};
use bennu_protocol::presence::{Entry, PresenceChange, PresenceList};
use clap::Args;
use futures_util::{StreamExt as _, future, pin_mut};
use jiff::Timestamp;
use serde_json::json;

use crate::exit::{Exit, failure};
use crate::print;
use crate::server::Server;
use crate::session::{self, say};
use crate::span;
use crate::tail::changes;

/// `bennu presence`.
#[derive(Debug, Args)]
#[command(after_help = "Shows who is there, and then who comes (+), goes (-) and changes (~), until Ctrl-C.")]
pub(crate) struct Presence {
    #[command(flatten)]
    server: Server,

    /// What to join
    #[arg(value_name = "TOPIC")]
    topic: String,

    /// Params of the join, a JSON object
    #[arg(long, value_name = "JSON")]
    join_params: Option<String>,

    /// Show who is there now, and end
    #[arg(long)]
    once: bool,

    /// One JSON object: with --once all presences, else one per line and change
    #[arg(long)]
    json: bool,

    /// How long the join may take, and the first presence_state
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span::parse)]
    timeout: Duration,
}

pub(crate) fn run(presence: &Presence) -> anyhow::Result<Exit> {
    let params = session::payload("--join-params", presence.join_params.as_deref())?;
    session::run(&presence.server, presence.timeout, async |session| {
        let (_, channel) = session.join(&presence.topic, params).await?;
        let mut list = PresenceList::new();
        let first = tokio::time::timeout(presence.timeout, first_state(&channel, &mut list)).await;
        first.map_err(|_| {
            failure(Exit::TimedOut, "no presence_state came: this topic may have no presence")
        })??;
        if presence.once {
            presence.show_all(&list).await?;
            return Ok(Exit::Done);
        }
        let announcing = session.announce(say);
        presence.show_all(&list).await?;
        tokio::select! {
            exit = presence.follow(&channel, list) => exit,
            () = async { announcing.await; future::pending().await } => Ok(Exit::Done),
        }
    })
}

async fn first_state(channel: &Channel, list: &mut PresenceList) -> anyhow::Result<()> {
    while !list.is_synced() {
        merge(channel, list).await?;
    }
    Ok(())
}

/// What follows from messages that were missed.
pub(crate) const MAY_BE_WRONG: &str = "who is said to be there may be wrong until the next presence_state";

/// Takes in the next message, if it is about presence.
async fn merge(channel: &Channel, list: &mut PresenceList) -> anyhow::Result<Vec<PresenceChange>> {
    let message = match channel.recv().await {
        Ok(message) => message,
        Err(RecvError::Missed { count }) => {
            say(format!("{count} messages were missed: {MAY_BE_WRONG}"));
            return Ok(Vec::new());
        }
        Err(error) => return Err(failure(Exit::ChannelClosed, error.to_string())),
    };
    Ok(match message.event.as_str() {
        "presence_state" => list.handle_state(&message.payload)?,
        "presence_diff" => list.handle_diff(&message.payload)?,
        _ => Vec::new(),
    })
}

impl Presence {
    async fn follow(&self, channel: &Channel, mut list: PresenceList) -> anyhow::Result<Exit> {
        let statuses = changes(channel.clone());
        pin_mut!(statuses);
        loop {
            tokio::select! {
                changed = merge(channel, &mut list) => {
                    for news in news(&changed?, &list) {
                        self.show(&news).await?;
                    }
                }
                Some(text) = statuses.next() => say(text),
            }
        }
    }

    async fn show_all(&self, list: &PresenceList) -> anyhow::Result<()> {
        if self.json {
            let all = serde_json::to_value(&**list.presences())?;
            let line = if self.once {
                all
            } else {
                json!({"at": Timestamp::now().to_string(), "type": "state", "presences": all})
            };
            return Ok(print::out(print::json_text(&line)?).await?);
        }
        for (key, entry) in list.presences().iter() {
            print::out(person(AnsiColor::Cyan, " ", key, entry)).await?;
        }
        let text = match list.presences().len() {
            0 => "nobody is there".to_owned(),
            1 => "1 is there".to_owned(),
            many => format!("{many} are there"),
        };
        say(text);
        Ok(())
    }

    async fn show(&self, news: &News<'_>) -> anyhow::Result<()> {
        let (kind, sign, color) = match news.kind {
            Kind::Came => ("join", "+", AnsiColor::Green),
            Kind::Changed => ("update", "~", AnsiColor::Yellow),
            Kind::Went => ("leave", "-", AnsiColor::Red),
        };
        let News { key, entry, .. } = *news;
        let line = if self.json {
            let at = Timestamp::now().to_string();
            print::json_text(&json!({"at": at, "type": kind, "key": key, "metas": entry.metas}))?
        } else {
            person(color, sign, key, entry)
        };
        Ok(print::out(line).await?)
    }
}

/// What became of one key.
struct News<'a> {
    kind: Kind,
    key: &'a str,
    /// What is known of it now; of one that went, what was.
    entry: &'a Entry,
}

enum Kind {
    Came,
    Changed,
    Went,
}

/// Each key once: an update is a join and a leave of the same key.
fn news<'a>(changes: &'a [PresenceChange], list: &'a PresenceList) -> Vec<News<'a>> {
    let mut keys = HashSet::new();
    let first_of_each = changes.iter().filter_map(|change| match change {
        PresenceChange::Joined { key, current, new } => {
            let was_there = current.as_ref().is_some_and(|entry| !entry.metas.is_empty());
            Some((key, was_there, new))
        }
        PresenceChange::Left { key, left, .. } => Some((key, true, left)),
        _ => None,
    });
    let first_of_each = first_of_each.filter(|(key, ..)| keys.insert(*key));
    let told = first_of_each.filter_map(|(key, was_there, entry)| {
        Some(match (was_there, list.presences().get(key)) {
            (false, Some(now)) => News { kind: Kind::Came, key, entry: now },
            (true, Some(now)) => News { kind: Kind::Changed, key, entry: now },
            (true, None) => News { kind: Kind::Went, key, entry },
            // It came and went at once.
            (false, None) => return None,
        })
    });
    told.collect()
}

/// A key with what is known of it, without the refs of the protocol.
pub(crate) fn person(color: AnsiColor, sign: &str, key: &str, entry: &Entry) -> String {
    let style = Style::new().fg_color(Some(color.into()));
    let metas: Vec<String> = entry
        .metas
        .iter()
        .map(|meta| {
            let mut meta = meta.clone();
            meta.retain(|name, _| name != "phx_ref" && name != "phx_ref_prev");
            // An object of JSON always has a form in JSON.
            print::json_text(&meta).unwrap_or_default()
        })
        .collect();
    format!("{style}{sign} {}{style:#}  {}", print::plain(key), metas.join(" "))
}
