//! `bennu doctor`: examines a deployment from outside, as a browser or another client meets it.

mod heartbeat;
mod http;
mod idle;
mod link;
mod longpoll;
mod origin;
mod reach;
mod report;
mod target;
mod upgrade;
mod version;

use std::time::Duration;

use clap::Args;

use self::report::Report;
use self::target::Target;
use crate::exit::Exit;
use crate::server::Server;
use crate::span;

/// `bennu doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Each check says ok, warn, fail or skip, and what to do about it. Ends with 1 when one has failed.\n\
    The connection is direct: proxies of the environment are not used."
)]
pub(crate) struct Doctor {
    #[command(flatten)]
    server: Server,

    /// How long an answer may take: 5s, 500ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span::parse)]
    timeout: Duration,

    /// Be silent until the server or a proxy closes the connection, this long at most: 90s when no time is given
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "90s", value_parser = span::parse)]
    idle: Option<Duration>,

    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(doctor: &Doctor) -> anyhow::Result<Exit> {
    let target = Target::new(doctor.server.access()?, doctor.timeout)?;
    let mut report = Report::new(doctor.server.shown(), doctor.json);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let examined = runtime.block_on(examine(&target, doctor.idle, &mut report));
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    examined?;
    report.end()
}

/// All checks, in the order in which a connection meets what they look at. The first that nothing works without ends it.
async fn examine(target: &Target, idle: Option<Duration>, report: &mut Report) -> anyhow::Result<()> {
    let Some(addresses) = reach::name(target, report).await? else { return Ok(()) };
    let Some(distance) = reach::tcp(target, &addresses, report).await? else { return Ok(()) };
    if !reach::tls(target, report).await? {
        return Ok(());
    }
    let Some(answer) = reach::http(target, report).await? else { return Ok(()) };
    reach::clock(&answer, report)?;
    let opened = upgrade::check(target, report).await?;
    if opened {
        version::check(target, report).await?;
        origin::check(target, report).await?;
        upgrade::compression(target, report).await?;
        heartbeat::check(target, report).await?;
        idle::check(target, idle, report).await?;
    }
    longpoll::check(target, distance, report).await
}
