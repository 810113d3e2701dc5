//! Starts the studio, or does what its command line asks for, and stops in good order.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use sound_forge::cli::{Cli, Command};
use sound_forge::{keys, serve};
use tracing_subscriber::EnvFilter;

/// Threads that are still busy after this are left behind: their jobs have been given back.
const LEAVE_THREADS_AFTER: Duration = Duration::from_secs(1);

/// PostgreSQL notes at each start that the table of migrations is there.
const DEFAULT_LOG: &str = "info,sqlx::postgres::notice=warn";

fn main() -> ExitCode {
    let cli = Cli::parse_args();
    let filter = EnvFilter::try_from_env("SOUND_FORGE_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = cli.data.resolve()?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(options) => serve::run(&place, options.resolve(&place)?).await,
            Command::Key { command } => keys::run(&place, command).await,
        }
    });
    runtime.shutdown_timeout(LEAVE_THREADS_AFTER);
    result
}
