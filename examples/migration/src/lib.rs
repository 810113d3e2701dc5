//! One topic of a Phoenix application, moved to a bennu node behind the same nginx.
//!
//! ```sh
//! cargo run -p migration -- --secret-key-base "$SECRET_KEY_BASE" --session-salt "$SIGNING_SALT" --host myapp.com
//! ```
//!
//! The application keeps its pages, its logins, and every topic but `notifications:*`. [`UserSocket`] accepts
//! its tokens and its sessions, [`NotificationChannel`] is the topic that moved, and [`broadcasts`] is how the application still
//! speaks there. `docs/from-phoenix.md` tells the whole move, with the configuration of nginx.

pub mod broadcasts;
mod notification_channel;
mod user_socket;

use std::net::IpAddr;

use axum::Router;
use bennu::prelude::*;
use bennu::token::{SecretKeyBase, SessionCookie};
use bennu::{EndpointBuilder, LongPollOptions};

pub use notification_channel::NotificationChannel;
pub use user_socket::{User, UserSocket};

/// What the node must know of the Phoenix application that it stands beside.
#[derive(Debug, Clone)]
pub struct Application {
    /// `secret_key_base` of its endpoint.
    pub secret_key_base: SecretKeyBase,
    /// `key` and `signing_salt` of `@session_options`.
    pub session: SessionCookie,
    /// What `Phoenix.Token.sign` is given as salt for the page's token.
    pub token_salt: String,
    /// `url: [host: …]`: whose pages may connect.
    pub host: String,
    /// The addresses of its proxies, whose word about a client's address is taken.
    pub proxies: Vec<IpAddr>,
}

/// The node's endpoint: the moved topics, below a path of their own.
#[must_use]
pub fn endpoint(application: &Application) -> EndpointBuilder {
    let socket = UserSocket::new(application);
    let channels = Channels::new().channel::<NotificationChannel>("notifications:*");
    let options =
        SocketOptions::default().session(application.session.clone()).longpoll(LongPollOptions::new());
    Endpoint::builder(PubSub::local())
        .secret_key_base(application.secret_key_base.clone())
        .host(&application.host)
        .socket("/bennu/socket", socket, channels, options)
}

/// The sockets, and the application's way in.
pub fn router(endpoint: &Endpoint) -> Router {
    broadcasts::router(endpoint).layer(bennu::axum::sockets(endpoint))
}
