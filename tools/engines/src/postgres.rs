//! PostgreSQL.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::port::Port;
use crate::process::{Process, Program, User, run_as};
use crate::program;

/// The name of Debian's package with the server and its tools.
const PACKAGE: &str = "postgresql-15";

/// A PostgreSQL server with databases of its own; [`Process`] says what can be done to it.
///
/// It does not wait for the disk: what it has committed outlives its own death, and not the machine's. Run by root, it runs
/// as the user `postgres`, as it refuses to be root.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    createdb: PathBuf,
}

impl Postgres {
    /// One with an empty database `postgres`, whose user `postgres` needs no password.
    ///
    /// # Errors
    ///
    /// It is not installed, cannot make its files, or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let path = program::find("postgres", PACKAGE)?;
        let initdb = program::find("initdb", PACKAGE)?;
        let createdb = program::find("createdb", PACKAGE)?;
        let (folder, port) = (tempfile::tempdir()?, Port::reserve()?);
        let user = user()?;
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group))?;
        }
        let mut initdb = Command::new(initdb);
        let files = [
            "--pgdata=data",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ];
        run_as(initdb.args(files).current_dir(folder.path()), user);
        // Half a second of work for nobody else's thread.
        tokio::task::spawn_blocking(move || run(&mut initdb)).await??;
        let number = port.number();
        let settings = [
            format!("port={number}"),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "fsync=off".to_owned(),
            "max_connections=200".to_owned(),
        ];
        let mut arguments = vec!["-D".to_owned(), "data".to_owned()];
        arguments.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let program = Program { path, arguments, user, ready: "ready to accept connections" };
        let process = Process::start(program, port, folder).await?;
        Ok(Postgres { process, createdb })
    }

    /// `postgres://postgres@127.0.0.1:port/postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// Makes an empty database, so that several tests can share a server, and returns its URL.
    ///
    /// # Errors
    ///
    /// There is one of this name, or the server is down.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<String> {
        let mut createdb = Command::new(&self.createdb);
        createdb.args(["--host=127.0.0.1", "--username=postgres", "--no-password"]);
        createdb.arg(format!("--port={}", self.address().port())).args(["--", name]);
        tokio::task::spawn_blocking(move || run(&mut createdb)).await??;
        Ok(self.database_url(name))
    }

    fn database_url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address())
    }
}

impl Deref for Postgres {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// Runs a program to its end.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Whom the server runs as, when it cannot be whoever runs the tests.
fn user() -> anyhow::Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let user =
        users.lines().find_map(|line| line.strip_prefix("postgres:")).context("there is no user postgres")?;
    let mut ids = user.split(':').skip(1).map(str::parse);
    match (ids.next(), ids.next()) {
        (Some(Ok(user)), Some(Ok(group))) => Ok(Some((user, group))),
        _ => anyhow::bail!("/etc/passwd does not say who the user postgres is"),
    }
}
