//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::document::Document;
use crate::member::Membership;
use crate::mode::Mode;
use crate::protocol::Protocol;
use crate::suite::Suite;

/// A load generator for servers of Phoenix Channels, plain WebSocket and Socket.IO.
///
/// Every delivery is verified. Exit status: 0 done, 1 something on this side failed, 2 wrong use, 3 the server lost,
/// repeated, reordered or changed a message, or ended a connection.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct Options {
    /// Compare two files of runs: medians, and how many times A is B.
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"])]
    pub(crate) compare: Option<Vec<PathBuf>>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Mode(Mode),
    /// Write the tables and plots of the documents from files of runs.
    Report(Document),
    /// Run a file of cases on several servers, in turn.
    Suite(Suite),
    /// Be one of the further client processes of `--processes`.
    #[command(hide = true)]
    Member(Membership),
}

/// What all modes have in common.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Where the server is: ws:// or wss://, host and port, and the mount if it is not the protocol's usual one.
    #[arg(long, default_value = "ws://127.0.0.1:4100")]
    pub(crate) url: String,

    /// Further nodes of the same server: connections go to all in turn, the first to `--url`.
    #[arg(long, value_name = "URL")]
    pub(crate) also: Vec<String>,

    /// Seconds to wait for nodes to find each other, once all answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, requires = "also")]
    pub(crate) meet: f64,

    /// What the server speaks.
    #[arg(long, value_enum, default_value_t = Protocol::Phoenix)]
    pub(crate) protocol: Protocol,

    /// Speak TLS, as wss:// does.
    #[arg(long)]
    pub(crate) tls: bool,

    /// PEM file with the certificate to trust.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,

    /// Trust any certificate.
    #[arg(long)]
    pub(crate) insecure: bool,

    /// The server's name in reports.
    #[arg(long, default_value = "server")]
    pub(crate) name: String,

    /// Measure the process with this number.
    #[arg(long, conflicts_with = "spawn")]
    pub(crate) pid: Option<u32>,

    /// Start the server anew for each run; `{port}` here and in the URLs is a free port, and so are `{port2}` to `{port9}`.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) spawn: Option<String>,

    /// Measure the processes that the server started, too.
    #[arg(long)]
    pub(crate) tree: bool,

    /// Cores of a server that is spawned, as for taskset.
    #[arg(long, value_name = "LIST", requires = "spawn")]
    pub(crate) server_cpu: Option<String>,

    /// Cores of the client, as for taskset.
    #[arg(long, value_name = "LIST")]
    pub(crate) client_cpu: Option<String>,

    /// Append a line of JSON for each run.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// How often to run; medians are shown when more than once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,

    /// The number of the first run in reports.
    #[arg(long, default_value_t = 1)]
    pub(crate) first_run: u32,

    /// The commit in reports, if it is not that of the current folder.
    #[arg(long)]
    pub(crate) commit: Option<String>,

    /// Bytes of a payload.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(26..=60_000))]
    pub(crate) size: u32,

    /// From how many addresses of 127.0.0.0/8 to connect; each has 28,000 ports.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=250))]
    pub(crate) sources: u8,

    /// The client's kernel acknowledges every second segment and no earlier, as for connections that go both ways. Else it
    /// may do so when a message is read, on the client's core, or when the next arrives, on the server's, by their sizes.
    #[arg(long)]
    pub(crate) delayed_acks: bool,

    /// How many connections are opened, or join, at a time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) concurrency: u32,

    /// Seconds without any sign after which what is due counts as lost.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    patience: f64,
}

impl Common {
    pub(crate) fn patience(&self) -> Duration {
        seconds(self.patience)
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency as usize
    }

    pub(crate) fn size(&self) -> usize {
        self.size as usize
    }
}

/// A time from the command line; below zero counts as none.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
