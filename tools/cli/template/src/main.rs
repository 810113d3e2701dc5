//! Serves `starter` until it is told to stop.

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();

    let endpoint = starter::endpoint()?;
    let app = Router::new()
        .route("/", get(|| async { "starter: clients connect to /socket\n" }))
        .route("/health/ready", bennu::axum::readiness(&endpoint))
        .layer(bennu::axum::sockets(&endpoint));

    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:4000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    tracing::info!("clients connect to ws://{}/socket", listener.local_addr()?);
    bennu::axum::serve(listener, app).await?;
    Ok(())
}
