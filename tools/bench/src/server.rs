//! The server's process: started, pinned, measured, stopped.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::proc::{self, Usage};

/// How long a server may take until its port answers, and until it has ended.
const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(10);

/// The process that is measured, if any is.
#[derive(Debug)]
pub(crate) struct Server {
    pid: Option<u32>,
    /// Count its children, and theirs, too.
    tree: bool,
    child: Option<Child>,
}

impl Server {
    /// One that runs already; without a pid it is not measured.
    pub(crate) fn running(pid: Option<u32>, tree: bool) -> Self {
        Self { pid, tree, child: None }
    }

    /// Starts `command` on the given cores and waits until all `addresses` answer.
    pub(crate) fn spawn(
        command: &str,
        cpus: Option<&CpuSet>,
        addresses: &[SocketAddr],
        tree: bool,
    ) -> anyhow::Result<Self> {
        for address in addresses {
            ensure!(TcpStream::connect(address).is_err(), "{address} is taken already");
        }
        // A process has the cores of the one that starts it, from its first thread on.
        let own = sched_getaffinity(None)?;
        if let Some(cpus) = cpus {
            sched_setaffinity(None, cpus).context("--server-cpu")?;
        }
        let child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| command.to_owned());
        sched_setaffinity(None, &own)?;
        let child = child?;
        let mut server = Self { pid: Some(child.id()), tree, child: Some(child) };
        for address in addresses {
            server.wait_until_it_answers(*address).with_context(|| command.to_owned())?;
        }
        Ok(server)
    }

    fn wait_until_it_answers(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose()) {
                bail!("it ended with {}", status?);
            }
            ensure!(Instant::now() < deadline, "{address} does not answer after {START:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What the process used since it started, if it is known.
    pub(crate) fn usage(&self) -> anyhow::Result<Option<Usage>> {
        self.pid.map(|pid| proc::usage(pid, self.tree)).transpose()
    }

    /// Its resident memory in bytes, if it is known.
    pub(crate) fn resident(&self) -> anyhow::Result<Option<u64>> {
        self.pid.map(|pid| proc::resident(pid, self.tree)).transpose()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _gone_already = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _gone_already = child.kill();
        let _status_does_not_matter = child.wait();
    }
}

/// Cores from text as in taskset: `0`, `0,2`, `1-3`.
pub(crate) fn cpus(text: &str) -> anyhow::Result<CpuSet> {
    let mut set = CpuSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let parse = |number: &str| number.trim().parse::<usize>().with_context(|| format!("core {number:?}"));
        let (first, last) = (parse(first)?, parse(last)?);
        ensure!(first <= last && last < CpuSet::MAX_CPU, "cores {part:?}");
        (first..=last).for_each(|cpu| set.set(cpu));
    }
    Ok(set)
}

/// Pins this process.
pub(crate) fn pin_client(cpus: &CpuSet) -> anyhow::Result<()> {
    sched_setaffinity(None, cpus).context("--client-cpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_listed_as_for_taskset() {
        for (text, expected) in
            [("0", &[0][..]), ("0,2", &[0, 2]), ("1-3", &[1, 2, 3]), ("0, 2-3", &[0, 2, 3])]
        {
            let set = cpus(text).unwrap();
            let listed: Vec<usize> = (0..8).filter(|cpu| set.is_set(*cpu)).collect();
            assert_eq!(listed, expected, "{text}");
        }
        for wrong in ["", "a", "3-1", "-1", "99999"] {
            assert!(cpus(wrong).is_err(), "{wrong:?}");
        }
    }
}
