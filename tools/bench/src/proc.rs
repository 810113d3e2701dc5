//! What the kernel counts, from `/proc`.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;

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
    for pid in processes(pid, tree)? {
        usage.cpu += cpu(pid)?;
        let (user, system) = ticks(pid)?;
        usage.user += user;
        usage.system += system;
    }
    Ok(usage)
}

/// Resident bytes of a process, or of all that it started too.
pub(crate) fn resident(pid: u32, tree: bool) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for pid in processes(pid, tree)? {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        bytes += rss_of_rollup(&text).with_context(|| path)?;
    }
    Ok(bytes)
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
        for task in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
            let Ok(text) = fs::read_to_string(task?.path().join("children")) else { continue };
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
