//! The command line.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::config::{DataOptions, ServeOptions};
use crate::ids::KeyId;

/// A self-hosted studio for DJs and producers: bring in a track, watch it become audio, stems and
/// musical facts in real time.
///
/// Without a command, the studio is served. Every option is also an environment variable and a key
/// of the config file; the option wins, then the variable, then the file. SOUND_FORGE_LOG sets what
/// is logged to standard error [default: info].
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Where things are.
    #[command(flatten)]
    pub data: DataOptions,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the studio; this is what happens without a command
    Serve(Box<ServeOptions>),
    /// Make, list and revoke API keys
    Key {
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

impl Cli {
    /// Reads the program's arguments; prints help or what is wrong, and ends, when it has to.
    pub fn parse_args() -> Self {
        Self::parse_from(with_default_command(std::env::args_os().collect()))
    }
}

/// Options alone are options of `serve`.
fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let asks_for_something = |argument: &OsString| {
        argument.to_str().is_some_and(|text| {
            matches!(text, "serve" | "key" | "help" | "--help" | "-h" | "--version" | "-V")
        })
    };
    if !arguments.iter().skip(1).any(asks_for_something) {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let arguments = std::iter::once("sound-forge").chain(arguments.iter().copied());
        Cli::try_parse_from(with_default_command(arguments.map(OsString::from).collect()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_command() {
        for arguments in [&[][..], &["--data", "d"], &["--listen", "127.0.0.1:0"], &["serve"]] {
            assert!(matches!(parse(arguments).unwrap().command, Command::Serve(_)), "{arguments:?}");
        }
        let cli = parse(&["key", "list", "--data", "d"]).unwrap();
        assert!(matches!(cli.command, Command::Key { command: KeyCommand::List }));
        assert_eq!(cli.data.data, Some("d".into()));
        assert!(parse(&["key", "revoke", "nonsense"]).is_err());
    }

    #[test]
    fn help_tells_every_default() {
        let mut command = Cli::command();
        let serve = command.find_subcommand_mut("serve").unwrap().render_long_help().to_string();
        for option in [
            "listen",
            "origin",
            "import-dir",
            "allow-private-urls",
            "max-upload",
            "download-command",
            "retry-delay",
            "pubsub",
            "node",
            "no-workers",
            "lease",
        ] {
            let after = serve.split_once(&format!("--{option}")).unwrap().1;
            let until = after.split_once("\n      --").map_or(after, |(own, _)| own);
            assert!(until.contains("[default: "), "{option}: {until}");
        }
    }
}
