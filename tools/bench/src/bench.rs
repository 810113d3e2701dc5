//! One run: the server, the connections, and what modes do with them.

use std::net::TcpListener;
use std::ops::Range;

use crate::client::Client;
use crate::crowd::{Call, Crowd, share};
use crate::figures::{Figures, Window};
use crate::options::{Common, seconds};
use crate::phase;
use crate::protocol::Purpose;
use crate::publishing::Publishing;
use crate::server::{self, Server};
use crate::target::{Target, Url};
use crate::tls::Trust;
use crate::topics::Topics;

/// What a run works with.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) common: Common,
    // Before the server, so that its connections are closed when it is told to end.
    pub(crate) client: Client,
    pub(crate) server: Server,
    /// Further client processes; they do what this one does.
    pub(crate) crowd: Crowd,
    url: String,
}

impl Bench {
    /// Starts the server if one is to be started; no connection is open yet.
    pub(crate) fn start(purpose: Purpose, topics: Topics, common: &Common) -> anyhow::Result<Self> {
        let ports = Ports::of(common)?;
        let text = ports.fill(&common.url);
        let urls = std::iter::once(text.clone()).chain(common.also.iter().map(|url| ports.fill(url)));
        let mut urls = urls.map(|url| Url::parse(&url)).collect::<anyhow::Result<Vec<_>>>()?;
        urls.iter_mut().for_each(|url| url.tls |= common.tls);
        let trust = common.ca.clone().map_or(Trust::Anyone, Trust::File);
        anyhow::ensure!(
            !urls.iter().any(|url| url.tls) || common.ca.is_some() || common.insecure,
            "with TLS, say --ca FILE or --insecure"
        );
        let target =
            Target::new(&urls, common.protocol, purpose, &trust, (common.sources, common.delayed_acks))?;
        let server = match &common.spawn {
            Some(command) => {
                let cpus = common.server_cpu.as_deref().map(server::cpus).transpose()?;
                Server::spawn(&ports.fill(command), cpus.as_ref(), target.addresses(), common.tree)?
            }
            None => Server::running(common.pid, common.tree),
        };
        std::thread::sleep(seconds(common.meet));
        let client = Client::new(target, topics, common.patience())?;
        Ok(Self { common: common.clone(), client, server, crowd: Crowd::default(), url: text })
    }

    /// Bytes of a payload.
    pub(crate) fn size(&self) -> usize {
        self.common.size()
    }

    /// Shares connections with further processes; how many are ours.
    pub(crate) fn gather(&mut self, connections: usize, processes: u32, call: Call) -> anyhow::Result<usize> {
        let processes = processes as usize;
        anyhow::ensure!(
            processes == 1 || self.common.also.is_empty(),
            "one client process for several nodes"
        );
        let own = share(connections, processes, 0);
        let call = Call { connections: connections - own, processes: processes - 1, ..call };
        self.crowd = Crowd::gather(call, &self.url, &self.common)?;
        Ok(own)
    }

    /// Opens connections that join the first `joins` topics of their lists.
    pub(crate) fn open_and_join(&mut self, connections: usize, joins: usize) -> anyhow::Result<Range<usize>> {
        let links = self.open(connections)?;
        if self.common.protocol.has_topics() {
            self.join(links.clone(), joins)?;
        } else {
            anyhow::ensure!(joins == 1, "without topics there is one subscription to each connection");
        }
        Ok(links)
    }

    /// Opens connections; their numbers.
    pub(crate) fn open(&mut self, connections: usize) -> anyhow::Result<Range<usize>> {
        self.crowd.tell("open")?;
        let (links, _) = phase::open(&mut self.client, connections, self.common.concurrency())?;
        self.crowd.wait()?;
        Ok(links)
    }

    /// Joins the next `joins` topics of each connection's list.
    pub(crate) fn join(&mut self, links: Range<usize>, joins: usize) -> anyhow::Result<()> {
        for _ in 0..joins {
            self.crowd.tell("join")?;
            phase::join(&mut self.client, links.clone(), self.common.concurrency())?;
            self.crowd.wait()?;
        }
        Ok(())
    }

    /// One heartbeat on each connection.
    pub(crate) fn beat(&mut self, links: Range<usize>) -> anyhow::Result<()> {
        self.crowd.tell("beat")?;
        phase::beat(&mut self.client, links, self.common.concurrency())?;
        self.crowd.wait()
    }

    /// One echo of `size` bytes on each connection.
    pub(crate) fn echo_once(&mut self, links: Range<usize>, size: usize) -> anyhow::Result<()> {
        self.crowd.tell(&format!("echo {size}"))?;
        phase::echo(&mut self.client, links, self.common.concurrency(), size)?;
        self.crowd.wait()
    }

    /// Publishes to our own subscribers; those of the other processes have all of it when this is over, too.
    pub(crate) fn publish(&mut self, work: &mut Publishing) -> anyhow::Result<()> {
        self.client.run(work)?;
        self.crowd.tell(&format!("until {}", work.messages()))?;
        self.crowd.wait()
    }

    /// Makes sure that nothing more comes.
    pub(crate) fn silence(&mut self, links: Range<usize>) -> anyhow::Result<()> {
        self.crowd.tell("ping")?;
        phase::silence(&mut self.client, links, self.common.concurrency())?;
        self.crowd.wait()
    }

    /// Ends all connections.
    pub(crate) fn close(&mut self) -> anyhow::Result<()> {
        self.crowd.tell("close")?;
        self.client.close_all();
        self.crowd.wait()
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

/// What stands for `{port}`, `{port2}` and so on up to `{port9}`.
struct Ports(Vec<u16>);

impl Ports {
    /// Free ones, for a server that is started; else nothing stands for a port.
    fn of(common: &Common) -> anyhow::Result<Self> {
        let count = if common.spawn.is_some() { 9 } else { 0 };
        // All are held until the last is found, or one might be found twice.
        let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0"));
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port()));
        ports.collect::<anyhow::Result<_>>().map(Ports)
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().enumerate().fold(text.to_owned(), |text, (index, port)| {
            let name = if index == 0 { "{port}".to_owned() } else { format!("{{port{}}}", index + 1) };
            text.replace(&name, &port.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_a_port_of_its_own() {
        let ports = Ports(vec![10, 20, 30]);
        assert_eq!(ports.fill("a {port} {port2} {port3} {port}"), "a 10 20 30 10");
        assert_eq!(Ports(Vec::new()).fill("a {port}"), "a {port}");
    }
}
