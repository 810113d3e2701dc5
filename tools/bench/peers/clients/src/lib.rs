//! One load for all clients: so many sockets in this process, each with a channel of its own, and echoes on them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde::{Deserialize, Serialize};

/// Sockets that connect at the same time.
const CONNECTING: usize = 64;

/// A client that is measured: one socket with one joined channel.
pub trait Client: Sized {
    /// Its name in the results.
    const NAME: &'static str;

    /// Connects a socket of its own, and joins the topic.
    fn join(url: &str, topic: String) -> impl Future<Output = anyhow::Result<Self>>;

    /// Pushes `echo`, and gives what the server replied.
    fn echo(&mut self, payload: &Echo) -> impl Future<Output = anyhow::Result<Echo>>;
}

/// What is echoed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Any text.
    pub t: String,
}

#[derive(Parser)]
struct Options {
    /// Such as `ws://127.0.0.1:4000`.
    #[arg(long)]
    url: String,
    /// How many sockets.
    #[arg(long, default_value_t = 10_000)]
    sockets: usize,
    /// How many of them have an echo under way, all the time.
    #[arg(long, default_value_t = 100)]
    echoing: usize,
    /// How long echoes are counted.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

/// What one run found, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Result {
    /// Which client.
    pub client: String,
    /// How many sockets there were.
    pub sockets: usize,
    /// Resident bytes for each of them, connected, joined and after one echo.
    pub bytes_per_socket: f64,
    /// Microseconds of CPU time, user's and system's, for each echo.
    pub cpu_per_echo: f64,
    /// Echoes in a second of the clock.
    pub echoes_per_second: f64,
}

/// Measures a client, and prints the result.
pub fn measure<C: Client>() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(run::<C>(&options))?;
    println!("{}", serde_json::to_string(&result)?);
    Ok(())
}

async fn run<C: Client>(options: &Options) -> anyhow::Result<Result> {
    let payload = Echo { t: "x".repeat(64) };
    // What the first one needs for all is not counted.
    let first = connect::<C>(&options.url, "room:first".to_owned(), &payload).await?;
    let before = resident()?;
    let joins = stream::iter(0..options.sockets)
        .map(|number| connect::<C>(&options.url, format!("room:{number}"), &payload))
        .buffer_unordered(CONNECTING);
    let joined: Vec<anyhow::Result<C>> = joins.collect().await;
    let mut clients = joined.into_iter().collect::<anyhow::Result<Vec<C>>>()?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bytes = resident()?.saturating_sub(before);
    let echoing = options.echoing.min(clients.len());
    let (start, cpu) = (Instant::now(), cpu_time()?);
    let until = start + Duration::from_secs_f64(options.seconds);
    let loops = clients.iter_mut().take(echoing).map(|client| echo_until(client, &payload, until));
    let counts = futures_util::future::try_join_all(loops).await?;
    let (took, cpu) = (start.elapsed(), cpu_time()? - cpu);
    let echoes = counts.iter().sum::<u64>() as f64;
    drop(first);
    let result = Result {
        client: C::NAME.to_owned(),
        sockets: options.sockets,
        bytes_per_socket: bytes as f64 / options.sockets as f64,
        cpu_per_echo: cpu.as_secs_f64() * 1e6 / echoes,
        echoes_per_second: echoes / took.as_secs_f64(),
    };
    // Ten thousand goodbyes are no part of this.
    std::mem::forget(clients);
    Ok(result)
}

async fn connect<C: Client>(url: &str, topic: String, payload: &Echo) -> anyhow::Result<C> {
    let mut client = C::join(url, topic).await?;
    check(&mut client, payload).await?;
    Ok(client)
}

async fn echo_until<C: Client>(client: &mut C, payload: &Echo, until: Instant) -> anyhow::Result<u64> {
    let mut count = 0;
    while Instant::now() < until {
        check(client, payload).await?;
        count += 1;
    }
    Ok(count)
}

async fn check<C: Client>(client: &mut C, payload: &Echo) -> anyhow::Result<()> {
    let reply = client.echo(payload).await?;
    ensure!(reply == *payload, "{} has another echo", C::NAME);
    Ok(())
}

/// Resident bytes of this process.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

/// CPU time of this process, which has one thread that works: nanoseconds, from the scheduler.
fn cpu_time() -> anyhow::Result<Duration> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let schedstat = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += schedstat.split(' ').next().context("no schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
