//! The command line.

use clap::{Parser, Subcommand};

use crate::config::{DataOptions, ServeOptions};
use crate::ids::KeyId;

/// A self-hosted studio for DJs and producers: bring in a track, watch it become audio, stems and
/// musical facts in real time.
///
/// Every option is also an environment variable and a key of the config file; the option wins,
/// then the variable, then the file.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Where things are.
    #[command(flatten)]
    pub data: DataOptions,

    /// How to serve.
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the studio (this is what happens without a command)
    Serve {
        /// Where things are.
        #[command(flatten)]
        data: DataOptions,
        /// How to serve.
        #[command(flatten)]
        options: ServeOptions,
    },
    /// Make, list and revoke API keys
    Key {
        /// Where things are.
        #[command(flatten)]
        data: DataOptions,
        /// What to do with keys.
        #[command(subcommand)]
        command: KeyCommand,
    },
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it, alone, on standard output: it is shown this once
    Create {
        /// What to call it in lists
        #[arg(long, default_value = "command line")]
        name: String,
    },
    /// List all keys, the newest first
    List,
    /// Revoke a key; its open sockets close within two seconds
    Revoke {
        /// The key's id, as `key list` shows it
        id: KeyId,
    },
}
