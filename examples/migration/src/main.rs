//! The program; see the library for how to start it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use bennu::DrainOptions;
use bennu::axum::{Server, stop_signal};
use bennu::token::{SecretKeyBase, SessionCookie};
use clap::Parser;
use migration::{Application, endpoint, router};

/// The topics of a Phoenix application that have moved.
#[derive(Parser)]
struct Options {
    /// The application's own.
    #[arg(long, env = "SECRET_KEY_BASE", hide_env_values = true)]
    secret_key_base: String,
    /// `key` of `@session_options` in the application's endpoint.
    #[arg(long, default_value = "_my_app_key")]
    session_key: String,
    /// `signing_salt` of `@session_options`.
    #[arg(long)]
    session_salt: String,
    /// What the page's token is signed for.
    #[arg(long, default_value = "user socket")]
    token_salt: String,
    /// Whose pages may connect.
    #[arg(long)]
    host: String,
    /// The address from which nginx asks.
    #[arg(long, value_name = "ADDRESS", default_values_t = [IpAddr::V4(Ipv4Addr::LOCALHOST)])]
    proxy: Vec<IpAddr>,
    /// Where to listen: for nginx and the application, not for the world.
    #[arg(long, default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what whoever starts it wants to know")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt::init();
    let options = Options::parse();
    let application = Application {
        secret_key_base: SecretKeyBase::new(options.secret_key_base)?,
        session: SessionCookie::new(options.session_key, options.session_salt),
        token_salt: options.token_salt,
        host: options.host,
        proxies: options.proxy,
    };
    let endpoint = endpoint(&application).build()?;
    let listener = tokio::net::TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("{} is not free", options.listen))?;
    println!("moved topics at http://{}/bennu/socket", listener.local_addr()?);
    let server = Server::new(listener, router(&endpoint)).shutdown(stop_signal()?);
    Ok(server.drain(&endpoint, DrainOptions::default()).run().await?)
}
