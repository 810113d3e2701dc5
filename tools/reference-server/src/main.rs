//! Serves one of the fixed applications of the reference contract.
//!
//! ```text
//! cargo run --release -p reference-server -- APP --listen 127.0.0.1:4100
//! ```

mod admin;
mod bench;
mod checklist;
mod clients;
mod options;
mod prometheus;
mod tls;
mod transcripts;

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use bennu::axum::Server;
use bennu::prelude::*;
use clap::Parser as _;
use tokio::net::TcpListener;

use crate::options::{App, Options};

/// How long the last messages to other nodes may take.
const FLUSH: Duration = Duration::from_secs(3);

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let tls = options.tls()?;
    let recorder = prometheus::install()?;
    let pubsub = options.pubsub()?;
    let presence = options.presence(&pubsub)?;
    let presence = match options.app {
        // A diff for each change, as Phoenix sent them when the transcripts were made.
        App::Transcripts => presence.diff_window(Duration::ZERO).build(),
        App::Checklist | App::Clients | App::Bench => presence.build(),
    };
    let endpoint = match options.app {
        App::Checklist => checklist::endpoint(pubsub, presence.clone(), &options)?,
        App::Clients => clients::endpoint(pubsub, presence.clone(), &options)?,
        App::Bench => bench::endpoint(pubsub, presence.clone(), &options)?,
        App::Transcripts => transcripts::endpoint(pubsub, presence.clone(), &options)?,
    };
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", options.listen))?;
    let stop = bennu::axum::stop_signal()?;
    announce(listener.local_addr()?)?;
    let metrics = prometheus::routes(recorder.clone(), endpoint.clone());
    let app = routes(options.app, &endpoint).merge(metrics).layer(bennu::axum::sockets(&endpoint));
    let server = Server::new(listener, app).shutdown(stop).drain(&endpoint, options.drain());
    let server = match tls {
        Some(config) => server.tls(config),
        None => server,
    };
    tokio::select! {
        served = server.run() => served?,
        () = prometheus::upkeep(recorder) => {}
    }
    // The connections are closed: other nodes hear of it, and of all that was broadcast, before this one is gone.
    let told = tokio::time::timeout(FLUSH, presence.shut_down()).await;
    if told.is_err() {
        tracing::warn!("what other nodes had to hear did not go out in time");
    }
    Ok(())
}

/// What is served beside the sockets.
fn routes(app: App, endpoint: &Endpoint) -> Router {
    let admin = admin::routes(endpoint.clone())
        .route("/health", bennu::axum::health(endpoint))
        .route("/health/ready", bennu::axum::readiness(endpoint));
    match app {
        App::Transcripts => {
            transcripts::with_headers_of_plug(admin.merge(transcripts::routes(endpoint.clone())))
        }
        App::Checklist | App::Clients | App::Bench => admin,
    }
}

/// The one line on standard output that tells that connections are accepted.
fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "listening on {address}")?;
    out.flush()
}
