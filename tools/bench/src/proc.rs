//! What the kernel counts, from `/proc`.

use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::Context as _;
use rustix::io::Errno;

/// What a process had used at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) at: Instant,
    /// Time on a core, in nanoseconds resolution, of all threads that live.
    pub(crate) cpu: Duration,
    /// The same by where it was spent, in ticks of the kernel's clock (10 ms).
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// The part of user space, 0 to 1, if the window was long enough to tell.
    pub(crate) user_share: Option<f64>,
}

impl Usage {
    /// What was used from `self` to `later`.
    pub(crate) fn until(&self, later: &Usage) -> Spent {
        let user = later.user.saturating_sub(self.user);
        let system = later.system.saturating_sub(self.system);
        let ticked = user + system;
        let user_share =
            (ticked >= Duration::from_millis(200)).then(|| user.as_secs_f64() / ticked.as_secs_f64());
        Spent {
            wall: later.at.saturating_duration_since(self.at),
            cpu: later.cpu.saturating_sub(self.cpu),
            user_share,
        }
    }
}

/// What a process, or all that it started too, has used.
pub(crate) fn usage(pid: u32, tree: bool) -> anyhow::Result<Usage> {
    let mut usage =
        Usage { at: Instant::now(), cpu: Duration::ZERO, user: Duration::ZERO, system: Duration::ZERO };
    for (cpu, (user, system)) in of_each(pid, tree, |pid| Ok((cpu(pid)?, ticks(pid)?)))? {
        usage.cpu += cpu;
        usage.user += user;
        usage.system += system;
    }
    Ok(usage)
}

/// Resident bytes of a process, or of all that it started too.
pub(crate) fn resident(pid: u32, tree: bool) -> anyhow::Result<u64> {
    let each = of_each(pid, tree, |pid| {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        rss_of_rollup(&text).with_context(|| path)
    })?;
    Ok(each.into_iter().sum())
}

/// What is known of a process and, for a tree, of all below it that have not ended since they were listed.
fn of_each<T>(root: u32, tree: bool, what: impl Fn(u32) -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
    let known = processes(root, tree)?.into_iter().map(|pid| (pid, what(pid)));
    known
        .filter(|(pid, known)| *pid == root || !known.as_ref().is_err_and(has_ended))
        .map(|(_, known)| known)
        .collect()
}

/// Whether a process was not found, or was while it ended.
fn has_ended(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| {
        error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
    })
}

fn rss_of_rollup(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The sum over the threads of what the scheduler counted for each.
fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let mut nanoseconds = 0;
    let path = format!("/proc/{pid}/task");
    for task in fs::read_dir(&path).with_context(|| path.clone())? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += first_number(&text).with_context(|| path.clone())?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn ticks(pid: u32) -> anyhow::Result<(Duration, Duration)> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let (user, system) = ticks_of_stat(&text).with_context(|| path)?;
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    let time = |ticks: u64| Duration::from_secs_f64(ticks as f64 / per_second);
    Ok((time(user), time(system)))
}

/// Fields 14 and 15; the second is a name in brackets that may hold anything.
fn ticks_of_stat(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// A process and, for a tree, all below it.
fn processes(pid: u32, tree: bool) -> anyhow::Result<Vec<u32>> {
    let mut all = vec![pid];
    if !tree {
        return Ok(all);
    }
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        let tasks = format!("/proc/{pid}/task");
        let tasks = match fs::read_dir(&tasks) {
            // One that was listed may have ended.
            Err(_) if next > 1 => continue,
            found => found.with_context(|| tasks.clone())?,
        };
        for task in tasks {
            let Ok(text) = task.and_then(|task| fs::read_to_string(task.path().join("children"))) else {
                continue;
            };
            all.extend(text.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_read() {
        let rollup = "00400000-7ffd r--p 00000000 00:00 0 [rollup]\nRss:                1232 kB\nPss: 5 kB\n";
        assert_eq!(rss_of_rollup(rollup), Some(1232 * 1024));
        let stat = "42 (a ) name) S 1 42 42 0 -1 4194560 117 0 0 0 25 75 0 0 20 0 1 0 100 0 0";
        assert_eq!(ticks_of_stat(stat), Some((25, 75)));
        assert_eq!(first_number("123456 789 3\n"), Some(123_456));
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let pid = std::process::id();
        assert!(resident(pid, true).unwrap() > 100_000);
        let before = usage(pid, false).unwrap();
        let spin = Instant::now();
        while usage(pid, false).unwrap().cpu == before.cpu {
            assert!(spin.elapsed() < Duration::from_secs(20), "time does not pass");
        }
    }

    #[test]
    fn a_process_of_the_tree_may_end_while_it_is_measured() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let stat = format!("/proc/{}/stat", child.id());
        // It has no memory any more, and is listed until it is waited for.
        while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        let pid = std::process::id();
        assert!(resident(child.id(), true).is_err());
        assert!(resident(pid, true).is_ok() && usage(pid, true).is_ok());
        child.wait().unwrap();
        assert!(usage(child.id(), true).is_err(), "the first of the tree must be there");
    }

    #[test]
    fn short_windows_do_not_tell_user_from_system() {
        let at = Instant::now();
        let usage = |user, system| Usage {
            at,
            cpu: Duration::from_millis(user + system),
            user: Duration::from_millis(user),
            system: Duration::from_millis(system),
        };
        assert_eq!(usage(0, 0).until(&usage(50, 150)).user_share, Some(0.25));
        assert_eq!(usage(0, 0).until(&usage(50, 50)).user_share, None);
    }
}
