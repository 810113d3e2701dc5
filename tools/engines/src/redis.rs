//! Redis.

use std::fs;
use std::ops::Deref;

use crate::port::Port;
use crate::process::{Process, Program};
use crate::program;

/// A `redis-server` that stores nothing; [`Process`] says what can be done to it.
#[derive(Debug)]
pub struct RedisServer(Process);

impl RedisServer {
    /// One that lets everyone in.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with("").await
    }

    /// One with more lines of `redis.conf`, such as `requirepass …`. `{port}` in them stands for the port, so one that
    /// speaks TLS alone has `port 0` and `tls-port {port}`.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start; what it said about its configuration is in the error.
    pub async fn start_with(configuration: &str) -> anyhow::Result<Self> {
        let path = program::find("redis-server", "redis-server")?;
        let (folder, port) = (tempfile::tempdir()?, Port::reserve()?);
        let configuration = configuration.replace("{port}", &port.number().to_string());
        let ours = format!("bind 127.0.0.1\nport {}\nsave \"\"\nappendonly no\n", port.number());
        fs::write(folder.path().join("redis.conf"), format!("{ours}{configuration}\n"))?;
        let arguments = vec!["redis.conf".to_owned()];
        let program = Program { path, arguments, user: None, ready: "Ready to accept connections" };
        Process::start(program, port, folder).await.map(RedisServer)
    }

    /// `redis://127.0.0.1:port`, without credentials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }
}

impl Deref for RedisServer {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}
