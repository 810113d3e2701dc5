//! One of the further client processes: does what the first one says on standard input.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use mio::Waker;

use crate::bench::Bench;
use crate::client::Workload;
use crate::crowd::DONE;
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::options::Common;
use crate::phase::stray;
use crate::protocol::{Purpose, Received};
use crate::sends::Sends;
use crate::topics::Topics;

const A_DAY: Duration = Duration::from_secs(86_400);

/// What a member is given when it starts.
#[derive(Clone, Debug, Args)]
pub(crate) struct Membership {
    #[arg(long)]
    process: usize,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    senders: usize,
    #[arg(long)]
    own_topics: bool,
    #[arg(long)]
    mixed: bool,
    #[command(flatten)]
    common: Common,
}

impl Membership {
    /// Does what it is told until its input ends.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let purpose = if self.mixed { Purpose::Mixed } else { Purpose::Fanout };
        let topics = if self.own_topics { Topics::Own { process: self.process } } else { Topics::Shared };
        let mut bench = Bench::start(purpose, topics, &self.common)?;
        let ledger = Ledger::new(self.connections, self.senders, bench.size());
        let waker = Arc::new(bench.client.waker()?);
        let commands = listen(Arc::clone(&waker));
        let mut waiting = Waiting { commands, ledger, told: None, _waker: waker };
        loop {
            let outcome = self.obey(&mut bench, &mut waiting);
            let mut out = std::io::stdout();
            match outcome {
                Ok(true) => writeln!(out, "{DONE}")?,
                Ok(false) => return Ok(()),
                // The first process tells people, so one line must do.
                Err(error) => return Ok(writeln!(out, "{error:#}")?),
            }
            out.flush()?;
        }
    }

    /// Waits for a command and follows it; false at the end of all.
    fn obey(&self, bench: &mut Bench, waiting: &mut Waiting) -> anyhow::Result<bool> {
        bench.client.run(waiting)?;
        let Some(Told::Command(command)) = waiting.told.take() else { return Ok(false) };
        let links = 0..self.connections;
        match command.split_once(' ').unwrap_or((&command, "")) {
            ("open", _) => {
                bench.open(self.connections)?;
            }
            ("join", _) => bench.join(links, 1)?,
            ("beat", _) => bench.beat(links)?,
            ("echo", size) => bench.echo_once(links, size.parse().context("a size")?)?,
            ("ping", _) => bench.silence(links)?,
            ("until", messages) => {
                let messages: u64 = messages.parse().context("a number of messages")?;
                let deliveries = messages * self.connections as u64;
                bench.client.run(&mut Arriving { ledger: &mut waiting.ledger, deliveries })?;
            }
            ("close", _) => bench.client.close_all(),
            (other, _) => bail!("{other:?} is no command"),
        }
        Ok(true)
    }
}

/// Reads commands on a thread of its own, so that the connections are served meanwhile.
fn listen(waker: Arc<Waker>) -> Receiver<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
            // Nobody to wake means that the process ends.
            let _ends = waker.wake();
        }
        drop(tell);
        let _ends = waker.wake();
    });
    told
}

/// Notes deliveries until there is a command.
#[derive(Debug)]
struct Waiting {
    commands: Receiver<String>,
    ledger: Ledger,
    told: Option<Told>,
    /// Closed with the thread of the commands alone, it would take its last call along.
    _waker: Arc<Waker>,
}

#[derive(Debug)]
enum Told {
    Command(String),
    /// There will be no more.
    Over,
}

fn note(ledger: &mut Ledger, link: usize, received: &Received<'_>) -> Result<(), Fault> {
    match received {
        Received::Shout { topic, payload } => ledger.receive(link, *topic, payload).map(drop),
        Received::Alive => Ok(()),
        other => Err(stray(link, other)),
    }
}

impl Workload for Waiting {
    fn receive(&mut self, link: usize, received: Received<'_>, _: &mut Sends) -> Result<(), Fault> {
        note(&mut self.ledger, link, &received)
    }

    fn tick(&mut self, now: Instant, _: &mut Sends) -> Option<Instant> {
        self.told = match self.commands.try_recv() {
            Ok(command) => Some(Told::Command(command)),
            Err(TryRecvError::Disconnected) => Some(Told::Over),
            Err(TryRecvError::Empty) => None,
        };
        // However long that takes.
        Some(now + A_DAY)
    }

    fn is_done(&self) -> bool {
        self.told.is_some()
    }

    fn missing(&self) -> String {
        "a command".to_owned()
    }
}

/// Notes deliveries until all have come.
#[derive(Debug)]
struct Arriving<'a> {
    ledger: &'a mut Ledger,
    deliveries: u64,
}

impl Workload for Arriving<'_> {
    fn receive(&mut self, link: usize, received: Received<'_>, _: &mut Sends) -> Result<(), Fault> {
        note(self.ledger, link, &received)
    }

    fn is_done(&self) -> bool {
        self.ledger.deliveries() >= self.deliveries
    }

    fn missing(&self) -> String {
        format!("{} deliveries", self.deliveries - self.ledger.deliveries())
    }
}
