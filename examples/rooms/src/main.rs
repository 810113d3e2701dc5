//! The program: `cargo run -p rooms -- --dev`, then open <http://127.0.0.1:4002> twice.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bennu::token::SecretKeyBase;
use clap::Parser;
use rooms::web::{Site, router};
use rooms::{Chat, Pages, digest, endpoint};

/// Rooms for members only.
#[derive(Parser)]
struct Options {
    /// Lets pages of this machine connect, makes up a secret, and prints an administrator's token.
    #[arg(long)]
    dev: bool,
    /// What tokens are signed with: 64 random characters, kept over restarts.
    #[arg(long, env = "SECRET_KEY_BASE", hide_env_values = true)]
    secret_key_base: Option<String>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:4002")]
    listen: SocketAddr,
    /// Seconds between two digests in a room.
    #[arg(long, default_value_t = 3_600)]
    digest: u64,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what whoever starts it wants to know")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt::init();
    let options = Options::parse();
    let secret = match options.secret_key_base {
        Some(secret) => SecretKeyBase::new(secret)?,
        None if options.dev => SecretKeyBase::random(),
        None => anyhow::bail!("--secret-key-base or SECRET_KEY_BASE is needed, or --dev"),
    };
    let chat = Chat::sample();
    let pages = if options.dev { Pages::SiteAndLocal } else { Pages::Site };
    let endpoint = endpoint(&chat, secret, pages)?;
    let site = Site { chat: chat.clone(), endpoint: endpoint.clone() };
    let listener = tokio::net::TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("{} is not free", options.listen))?;
    println!("rooms at http://{}", listener.local_addr()?);
    if options.dev {
        println!("administrator's token: {}", site.admin_token());
    }
    tokio::select! {
        served = bennu::axum::serve(listener, router(site)) => Ok(served?),
        () = digest::run(endpoint, chat, Duration::from_secs(options.digest)) => Ok(()),
    }
}
