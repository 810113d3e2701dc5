//! What must not be seen by others: where it is read from.
//!
//! Arguments are in the list of processes, which everyone on the machine can read. So there is a file and an
//! environment variable beside each option.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::Context as _;
use clap::Args;

use bennu_token::SecretKeyBase;

use crate::exit::{Exit, failure};

/// The environment's name of the secret.
const SECRET: &str = "BENNU_SECRET";

/// The secret that keys are derived from.
#[derive(Args)]
pub(crate) struct SecretSource {
    /// The server's secret_key_base. Others on this machine can see it: better --secret-file or the variable BENNU_SECRET
    #[arg(long, value_name = "TEXT", conflicts_with = "secret_file")]
    secret: Option<String>,

    /// File with the server's secret_key_base; `-` is standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretSource(..)")
    }
}

impl SecretSource {
    /// The option counts, else the file, else the environment.
    ///
    /// # Errors
    ///
    /// When there is none, the file cannot be read, or it is too short.
    pub(crate) fn read(&self) -> anyhow::Result<SecretKeyBase> {
        let text = match (&self.secret, &self.secret_file) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) => file(path)?,
            (None, None) => env::var(SECRET).map_err(|_| {
                failure(
                    Exit::Usage,
                    "the secret is missing: put the server's secret_key_base into BENNU_SECRET, or name a file with --secret-file",
                )
            })?,
        };
        SecretKeyBase::new(text).map_err(|error| failure(Exit::Usage, error.to_string()))
    }
}

/// What a file says, without the line's end; `-` is standard input.
pub(crate) fn file(path: &Path) -> anyhow::Result<String> {
    let text = if path == Path::new("-") {
        io::read_to_string(io::stdin().lock()).context("cannot read standard input")?
    } else {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
