//! `bennu repl`: join, push and listen, line by line.

mod command;
mod input;
mod terminal;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bennu_client::{Channel, Message};
use bennu_protocol::Payload;
use bennu_protocol::presence::PresenceList;
use clap::Args;
use futures_util::stream::SelectAll;
use futures_util::{StreamExt as _, stream::BoxStream};

use self::command::{Command, HELP};
use self::input::{Input, Lines, Output};
use crate::exit::{Exit, failure};
use crate::presence::{MAY_BE_WRONG, person};
use crate::print;
use crate::server::Server;
use crate::session::{self, Session, not_pushed};
use crate::span;
use crate::tail::{Happening, happenings};

/// `bennu repl`.
#[derive(Debug, Args)]
#[command(
    after_help = "`help` lists the commands. Lines may also come from a pipe: then the program ends with the \
    number of the first command that failed."
)]
pub(crate) struct Repl {
    #[command(flatten)]
    server: Server,

    /// Keep the history of lines in this file; they may hold secrets. It is forgotten by default
    #[arg(long, value_name = "FILE", env = "BENNU_HISTORY")]
    history: Option<PathBuf>,

    /// How long each join, push and ping may take
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span::parse)]
    timeout: Duration,
}

pub(crate) fn run(repl: &Repl) -> anyhow::Result<Exit> {
    let (lines, output) = Lines::open(repl.history.clone())?;
    session::run(&repl.server, repl.timeout, async |session| {
        let output = Rc::new(output);
        let told = Rc::clone(&output);
        let announcing = session.announce(move |text| told.note(&text));
        let talk = Talk {
            session,
            output,
            happening: RefCell::default(),
            presences: RefCell::default(),
            heard: RefCell::default(),
            failed: Cell::new(None),
        };
        let announcing = async {
            announcing.await;
            std::future::pending().await
        };
        tokio::select! {
            ended = talk.go_on(lines) => ended,
            () = announcing => Ok(Exit::Done),
        }
    })
}

/// What goes on between the user and the server.
struct Talk<'a> {
    session: &'a Session,
    output: Rc<Output>,
    happening: RefCell<SelectAll<BoxStream<'static, Happening>>>,
    /// Who is there, by topic.
    presences: RefCell<HashMap<String, PresenceList>>,
    /// The events that came since the last command other than `wait` began.
    heard: RefCell<Vec<String>>,
    /// How the first command failed that did.
    failed: Cell<Option<Exit>>,
}

impl Talk<'_> {
    async fn go_on(&self, mut lines: Lines) -> anyhow::Result<Exit> {
        self.output.note("`help` lists the commands, Ctrl-D ends");
        loop {
            lines.complete_topics(self.session.topics());
            let line = match self.meanwhile(lines.next()).await {
                Input::Line(line) => line,
                Input::Interrupted => continue,
                Input::End => break,
                Input::Failed(error) => return Err(anyhow!("no line can be read: {error}")),
            };
            match command::parse(&line) {
                Ok(None) => {}
                Ok(Some(Command::Quit)) => break,
                Ok(Some(command)) => {
                    if let Err(error) = self.meanwhile(self.execute(command)).await {
                        self.complain(&error);
                    }
                }
                Err(what) => self.complain(&failure(Exit::Usage, what)),
            }
        }
        self.output.flush().await;
        // At a terminal people have seen what failed.
        Ok(self.failed.get().filter(|_| !self.output.is_terminal()).unwrap_or(Exit::Done))
    }

    /// Shows what comes from the server until a future is done.
    async fn meanwhile<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            let happens = std::future::poll_fn(|cx| {
                let mut happening = self.happening.borrow_mut();
                // Without channels there is nothing to wait for, and the stream says that it has ended.
                match happening.poll_next_unpin(cx) {
                    std::task::Poll::Ready(Some(it)) => std::task::Poll::Ready(it),
                    _ => std::task::Poll::Pending,
                }
            });
            tokio::select! {
                biased;
                done = &mut future => return done,
                it = happens => self.show(it).await,
            }
        }
    }

    async fn show(&self, it: Happening) {
        match it {
            Happening::Message(message) => self.show_message(&message).await,
            Happening::Missed(count) => {
                self.output.note(&format!("{count} messages were missed: {MAY_BE_WRONG}"));
            }
            Happening::Status(text) => self.output.note(&text),
        }
    }

    async fn show_message(&self, message: &Message) {
        let topic = message.topic.as_str();
        if let Err(error) = self.merge(message) {
            self.output.note(&format!("{}: {error}", print::plain(topic)));
        }
        self.output.line(&print::line(message)).await;
        self.heard.borrow_mut().push(message.event.as_str().to_owned());
    }

    /// Takes in who comes and goes.
    fn merge(&self, message: &Message) -> anyhow::Result<()> {
        let mut presences = self.presences.borrow_mut();
        let list = presences.entry(message.topic.as_str().to_owned()).or_default();
        match message.event.as_str() {
            "presence_state" => drop(list.handle_state(&message.payload)?),
            "presence_diff" => drop(list.handle_diff(&message.payload)?),
            _ => {}
        }
        Ok(())
    }

    fn complain(&self, error: &anyhow::Error) {
        self.output.complain(&format!("{error:#}"));
        if self.failed.get().is_none() {
            self.failed.set(Some(crate::exit::of(error)));
        }
    }

    async fn execute(&self, command: Command) -> anyhow::Result<()> {
        if !matches!(command, Command::Wait { .. }) {
            self.heard.borrow_mut().clear();
        }
        match command {
            Command::Join { topic, params } => self.join(&topic, params).await,
            Command::Leave { topic } => self.leave(&topic).await,
            Command::Push { topic, event, payload } => self.push(&topic, &event, payload).await,
            Command::Send { topic, event, payload } => self.send(&topic, &event, payload).await,
            Command::Presence { topic } => self.presence(&topic).await,
            Command::Wait { event, time } => self.wait(&event, time.unwrap_or(self.session.timeout)).await,
            Command::Topics => {
                for topic in self.session.topics() {
                    let status =
                        self.session.channel(&topic).map_or("left", |channel| channel.status().as_str());
                    self.output.line(&format!("{}  {status}", print::plain(&topic))).await;
                }
                Ok(())
            }
            Command::Ping => {
                let took = self.session.socket.ping().await.map_err(|error| failed(&error))?;
                self.output.line(&format!("answered in {}", span::describe_finely(took))).await;
                Ok(())
            }
            Command::Help => {
                self.output.line(HELP).await;
                Ok(())
            }
            // It ends the loop that reads lines.
            Command::Quit => Ok(()),
        }
    }

    async fn join(&self, topic: &str, params: Payload) -> anyhow::Result<()> {
        let (response, channel) = self.session.join(topic, params).await?;
        self.happening.borrow_mut().push(happenings(channel));
        self.output.line(&format!("joined {}: {}", print::plain(topic), print::payload(&response))).await;
        Ok(())
    }

    async fn leave(&self, topic: &str) -> anyhow::Result<()> {
        let channel = self.channel(topic)?;
        self.session.forget(topic);
        self.presences.borrow_mut().remove(topic);
        channel.leave().await.map_err(|error| failed(&error))?;
        self.output.line(&format!("left {}", print::plain(topic))).await;
        Ok(())
    }

    async fn push(&self, topic: &str, event: &str, payload: Payload) -> anyhow::Result<()> {
        let response = self.channel(topic)?.push(event, payload).await.map_err(|error| failed(&error))?;
        self.output.line(&format!("ok: {}", print::payload(&response))).await;
        Ok(())
    }

    async fn send(&self, topic: &str, event: &str, payload: Payload) -> anyhow::Result<()> {
        let sending = self.channel(topic)?.push_async(event, payload).map_err(|error| failed(&error))?;
        sending.await.map_err(|error| failed(&error))?;
        self.output.line("sent").await;
        Ok(())
    }

    async fn presence(&self, topic: &str) -> anyhow::Result<()> {
        self.channel(topic)?;
        let synced = |list: &PresenceList| list.is_synced().then(|| Arc::clone(list.presences()));
        let list = self.presences.borrow().get(topic).and_then(synced);
        let list = list.ok_or_else(|| {
            failure(Exit::Failed, "no presence_state has come: this topic may have no presence")
        })?;
        for (key, entry) in list.iter() {
            self.output.line(&person(anstyle::AnsiColor::Cyan, " ", key, entry)).await;
        }
        self.output.line(&format!("{} there", list.len())).await;
        Ok(())
    }

    /// An event that came while the last command ran counts too: a broadcast may be faster than the reply.
    async fn wait(&self, event: &str, time: Duration) -> anyhow::Result<()> {
        let heard = || self.heard.borrow().iter().any(|heard| heard == event);
        let came = async {
            // `meanwhile` polls this whenever it has shown something.
            std::future::poll_fn(
                |_| if heard() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending },
            )
            .await;
        };
        let waited = tokio::time::timeout(time, came).await;
        self.heard.borrow_mut().clear();
        let what = || {
            failure(
                Exit::TimedOut,
                format!("no {} came within {}", print::plain(event), span::describe(time)),
            )
        };
        waited.map_err(|_| what())
    }

    fn channel(&self, topic: &str) -> anyhow::Result<Channel> {
        let channel = self.session.channel(topic);
        channel.ok_or_else(|| {
            failure(Exit::Usage, format!("{} is not joined: join it first", print::plain(topic)))
        })
    }
}

fn failed(error: &bennu_client::PushError) -> anyhow::Error {
    let (exit, text) = not_pushed(error);
    failure(exit, text)
}
