//! NATS.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::{fs, io};

use crate::port::Port;
use crate::process::{Process, Program};
use crate::program;

/// A `nats-server`; [`Process`] says what can be done to it.
#[derive(Debug)]
pub struct NatsServer(Process);

impl NatsServer {
    /// One that lets everyone in.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with("").await
    }

    /// One with `configuration` in its own format beside the address to listen on, such as
    /// `authorization { user: "ada", password: "…" }`. `{port}` in it stands for the port.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start; what it said about its configuration is in the error.
    pub async fn start_with(configuration: &str) -> anyhow::Result<Self> {
        let path = program::find("nats-server", "nats-server")?;
        let (folder, port) = (tempfile::tempdir()?, Port::reserve()?);
        let configuration = configuration.replace("{port}", &port.number().to_string());
        fs::write(
            folder.path().join("nats.conf"),
            format!("listen: \"{}\"\n{configuration}\n", port.address()),
        )?;
        let arguments = vec!["--config".to_owned(), "nats.conf".to_owned()];
        let program = Program { path, arguments, user: None, ready: "Server is ready" };
        Process::start(program, port, folder).await.map(NatsServer)
    }

    /// Restarts it with another configuration.
    ///
    /// # Errors
    ///
    /// As [`start_with`](Self::start_with).
    pub async fn restart_with(&self, configuration: &str) -> anyhow::Result<()> {
        write(self.folder(), self.address(), configuration)?;
        self.restart().await
    }

    /// `nats://127.0.0.1:port`, without credentials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }
}

fn write(folder: &Path, address: SocketAddr, configuration: &str) -> io::Result<()> {
    let configuration = configuration.replace("{port}", &address.port().to_string());
    fs::write(folder.join("nats.conf"), format!("listen: \"{address}\"\n{configuration}\n"))
}

impl Deref for NatsServer {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}
