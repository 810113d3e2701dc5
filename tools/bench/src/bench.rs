//! One run: the server, the connections, and what modes do with them.

use std::net::TcpListener;
use std::ops::Range;

use crate::client::Client;
use crate::figures::{Figures, Window};
use crate::mode::Load;
use crate::options::Common;
use crate::phase;
use crate::server::{self, Server};
use crate::target::{Target, Url};
use crate::tls::Trust;

/// What a run works with.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) common: Common,
    // Before the server, so that its connections are closed when it is told to end.
    pub(crate) client: Client,
    pub(crate) server: Server,
}

impl Bench {
    /// Starts the server if one is to be started; no connection is open yet.
    pub(crate) fn start(load: &dyn Load, common: &Common) -> anyhow::Result<Self> {
        let port = match &common.spawn {
            Some(command) if command.contains("{port}") => free_port()?.to_string(),
            Some(_) | None => "{port}".to_owned(),
        };
        let mut url = Url::parse(&common.url.replace("{port}", &port))?;
        url.tls |= common.tls;
        let trust = common.ca.clone().map_or(Trust::Anyone, Trust::File);
        anyhow::ensure!(
            !url.tls || common.ca.is_some() || common.insecure,
            "with TLS, say --ca FILE or --insecure"
        );
        let target = Target::new(&url, common.protocol, load.purpose(), &trust, common.sources)?;
        let server = match &common.spawn {
            Some(command) => {
                let cpus = common.server_cpu.as_deref().map(server::cpus).transpose()?;
                Server::spawn(&command.replace("{port}", &port), cpus.as_ref(), target.address, common.tree)?
            }
            None => Server::running(common.pid, common.tree),
        };
        let client = Client::new(target, load.topics(), common.patience())?;
        Ok(Self { common: common.clone(), client, server })
    }

    /// Bytes of a payload.
    pub(crate) fn size(&self) -> usize {
        self.common.size()
    }

    /// Opens connections that join the first `joins` topics of their lists.
    pub(crate) fn open_and_join(&mut self, connections: usize, joins: usize) -> anyhow::Result<Range<usize>> {
        let (links, _) = phase::open(&mut self.client, connections, self.common.concurrency())?;
        if self.common.protocol.has_topics() {
            self.join(links.clone(), joins)?;
        } else {
            anyhow::ensure!(joins == 1, "without topics there is one subscription to each connection");
        }
        Ok(links)
    }

    /// Joins the next `joins` topics of each connection's list.
    pub(crate) fn join(&mut self, links: Range<usize>, joins: usize) -> anyhow::Result<()> {
        for _ in 0..joins {
            phase::join(&mut self.client, links.clone(), self.common.concurrency())?;
        }
        Ok(())
    }

    /// One echo of `size` bytes on each connection.
    pub(crate) fn echo_once(&mut self, links: Range<usize>, size: usize) -> anyhow::Result<()> {
        Ok(phase::echo(&mut self.client, links, self.common.concurrency(), size)?)
    }

    /// Makes sure that nothing more comes.
    pub(crate) fn silence(&mut self, links: Range<usize>) -> anyhow::Result<()> {
        Ok(phase::silence(&mut self.client, links, self.common.concurrency())?)
    }

    /// Begins to watch the processes.
    pub(crate) fn window(&self) -> anyhow::Result<Window> {
        Window::open(&self.server)
    }

    /// Adds the server's memory, if its process is known.
    pub(crate) fn put_resident(&self, figures: &mut Figures, name: &str) -> anyhow::Result<()> {
        if let Some(bytes) = self.server.resident()? {
            figures.put(name, bytes as f64);
        }
        Ok(())
    }
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
