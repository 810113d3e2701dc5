//! Further client processes, for more connections than one process may hold.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use clap::ValueEnum as _;

use crate::fault::Fault;
use crate::options::Common;

/// What a member says when it has done what it was told.
pub(crate) const DONE: &str = "done";

/// The other processes of a run; none is a crowd, too.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the connections of the members are like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Call {
    /// Of all members together.
    pub(crate) connections: usize,
    pub(crate) processes: usize,
    /// Each joins topics of its own.
    pub(crate) own_topics: bool,
    /// Plain text frames go to `/mixed` instead of `/fanout`.
    pub(crate) mixed: bool,
    /// How many connections of the first process publish.
    pub(crate) senders: usize,
}

impl Crowd {
    /// Starts the members, which connect when they are told.
    pub(crate) fn gather(call: Call, url: &str, common: &Common) -> anyhow::Result<Self> {
        let mut crowd = Self::default();
        for number in 0..call.processes {
            let share = share(call.connections, call.processes, number);
            crowd.members.push(Member::start(number + 1, share, call, url, common)?);
        }
        Ok(crowd)
    }

    /// Tells all members to do something.
    pub(crate) fn tell(&mut self, command: &str) -> anyhow::Result<()> {
        for member in &mut self.members {
            // One that is gone has said why, which `wait` finds.
            let _gone = writeln!(member.commands, "{command}");
        }
        Ok(())
    }

    /// Waits until all members have done what they were told.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            let mut answer = String::new();
            member.answers.read_line(&mut answer)?;
            if answer.trim_end() != DONE {
                return Err(Fault::Crowd(answer.trim_end().to_owned()).into());
            }
        }
        Ok(())
    }
}

impl Member {
    fn start(
        number: usize,
        connections: usize,
        call: Call,
        url: &str,
        common: &Common,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program")?;
        let mut command = Command::new(program);
        command.arg("member").args(["--url", url]);
        let protocol = common.protocol.to_possible_value().context("a protocol with a name")?;
        command.args(["--protocol", protocol.get_name()]);
        for (name, value) in [
            ("--process", number as u64),
            ("--connections", connections as u64),
            ("--senders", call.senders as u64),
            ("--size", u64::from(common.size)),
            ("--sources", u64::from(common.sources)),
            ("--concurrency", u64::from(common.concurrency)),
        ] {
            command.args([name, &value.to_string()]);
        }
        command.args(["--patience", &common.patience().as_secs_f64().to_string()]);
        let flags = [
            ("--tls", common.tls),
            ("--insecure", common.insecure),
            ("--delayed-acks", common.delayed_acks),
            ("--own-topics", call.own_topics),
            ("--mixed", call.mixed),
        ];
        command.args(flags.iter().filter(|(_, given)| *given).map(|(name, _)| name));
        if let Some(path) = &common.ca {
            command.arg("--ca").arg(path);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("a client process")?;
        let commands = child.stdin.take().context("standard input is a pipe")?;
        let answers = BufReader::new(child.stdout.take().context("standard output is a pipe")?);
        Ok(Self { child, commands, answers })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for Member { mut child, commands, .. } in self.members.drain(..) {
            // The end of its input is the end of a member.
            drop(commands);
            let _status_does_not_matter = child.wait();
        }
    }
}

/// The part of `whole` that number `index` of `count` has: they differ by one at most.
pub(crate) fn share(whole: usize, count: usize, index: usize) -> usize {
    whole / count + usize::from(index < whole % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_the_whole() {
        for (whole, count, shares) in [(10, 3, vec![4, 3, 3]), (2, 3, vec![1, 1, 0]), (9, 1, vec![9])] {
            let all: Vec<usize> = (0..count).map(|index| share(whole, count, index)).collect();
            assert_eq!(all, shares);
        }
    }
}
