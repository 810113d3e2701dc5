//! A server as a child process.

use std::fmt;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::port::Port;

/// How long a server may take to be ready; machines that run tests can be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look whether it is.
const GLANCE: Duration = Duration::from_millis(10);

/// Kills a process when standard input ends, which it does however the process that holds the other end is ended.
const KILL_WHEN_STDIN_ENDS: &str = r#"while read -r line; do :; done; kill -KILL "$0""#;

/// A user of the system: its id, and that of its group.
pub(crate) type User = (u32, u32);

/// How a server is started.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Whom it runs as; whoever runs the tests when there is none.
    pub(crate) user: Option<User>,
    /// What it writes when it accepts connections.
    pub(crate) ready: &'static str,
}

/// A server of any kind: where it listens, and what can be done to it.
pub struct Process {
    program: Program,
    port: Port,
    folder: TempDir,
    running: Mutex<Option<Running>>,
}

struct Running {
    server: Child,
    /// Ends the server when this process is gone.
    guard: Child,
}

impl Process {
    pub(crate) async fn start(program: Program, port: Port, folder: TempDir) -> anyhow::Result<Self> {
        let process = Process { program, port, folder, running: Mutex::default() };
        process.restart().await?;
        Ok(process)
    }

    /// Where it listens, also while it is down.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Kills it with SIGKILL, and waits until it is gone; nothing happens if it is down.
    pub fn kill(&self) {
        if let Some(running) = self.running.lock().take() {
            running.end();
        }
    }

    /// Starts it again on the same port, with what it had stored, after killing it if it runs. Returns when it accepts
    /// connections.
    ///
    /// # Errors
    ///
    /// It ends by itself, or is not ready within a minute; what it wrote is in the error.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.kill();
        *self.running.lock() = Some(self.spawn()?);
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready().await {
            let ended = self.running.lock().as_mut().map(|running| running.server.try_wait());
            let name = self.program.path.display();
            match ended {
                Some(Ok(None)) => {}
                Some(Ok(Some(status))) => bail!("{name} ended with {status}: {}", self.log()),
                Some(Err(error)) => return Err(error.into()),
                None => bail!("{name} was killed before it was ready"),
            }
            if Instant::now() > deadline {
                bail!("{name} is not ready: {}", self.log());
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    }

    /// Stops it with SIGSTOP: its connections stay, the kernel accepts new ones for it, and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on with SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// What it has written since it was started last.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log_path(&self) -> PathBuf {
        self.folder().join("log")
    }

    async fn is_ready(&self) -> bool {
        self.log().contains(self.program.ready) && TcpStream::connect(self.address()).await.is_ok()
    }

    fn spawn(&self) -> anyhow::Result<Running> {
        let log = File::create(self.log_path())?;
        let mut command = Command::new(&self.program.path);
        command.args(&self.program.arguments).current_dir(self.folder()).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        run_as(&mut command, self.program.user);
        let server =
            command.spawn().with_context(|| format!("cannot run {}", self.program.path.display()))?;
        let mut guard = Command::new("sh");
        guard.args(["-c", KILL_WHEN_STDIN_ENDS, &server.id().to_string()]).stdin(Stdio::piped());
        let guard = guard.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot run sh")?;
        Ok(Running { server, guard })
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.lock();
        let Some(running) = running.as_ref() else { return };
        let server = Pid::from_child(&running.server);
        // One that ended in the meantime needs no signal.
        let _ = kill_process(server, signal);
        // Until it stands still it starts processes, which would go on.
        let deadline = Instant::now() + PATIENCE;
        while signal == Signal::STOP && is_going(server) && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
        for process in children(server) {
            let _ = kill_process(process, signal);
        }
    }
}

impl Running {
    fn end(mut self) {
        // The guard first: a moment later the server's id may be another's.
        for child in [&mut self.guard, &mut self.server] {
            let children = children(Pid::from_child(child));
            // A child that has ended by itself cannot be killed, and is still to be waited for.
            let _ = child.kill();
            let _ = child.wait();
            children.into_iter().for_each(end_process);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("program", &self.program.path)
            .field("address", &self.address())
            .finish()
    }
}

pub(crate) fn run_as(command: &mut Command, user: Option<User>) {
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
}

/// Kills a process that is not our child, and waits until it is gone.
fn end_process(process: Pid) {
    let deadline = Instant::now() + PATIENCE;
    while kill_process(process, Signal::KILL).is_ok() && !is_zombie(process) && Instant::now() < deadline {
        std::thread::sleep(GLANCE);
    }
}

/// One that has ended and that nobody has waited for yet.
fn is_zombie(process: Pid) -> bool {
    test_kill_process(process).is_ok() && stat(process).is_some_and(|(_, state)| state == 'Z')
}

/// One that a signal has not stopped yet.
fn is_going(process: Pid) -> bool {
    stat(process).is_some_and(|(_, state)| !matches!(state, 'T' | 't' | 'Z'))
}

/// The processes that `parent` has started, as PostgreSQL does for each connection.
fn children(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let processes = ids.filter_map(Pid::from_raw);
    processes
        .filter(|process| stat(*process).is_some_and(|(of, _)| of == parent.as_raw_nonzero().get()))
        .collect()
}

/// The parent and the state of a process, from `/proc/…/stat`: its id, its name in parentheses, state, parent.
fn stat(process: Pid) -> Option<(i32, char)> {
    let text = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    let mut fields = text.rsplit(") ").next()?.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}
