//! Rooms for members only: the Phoenix Channels tutorial as a running program.
//!
//! ```sh
//! cargo run -p rooms -- --dev      # then open http://127.0.0.1:4002 twice
//! ```
//!
//! `--dev` prints an administrator's token, for what an administrator may do:
//!
//! ```sh
//! curl -X POST http://127.0.0.1:4002/admin/rooms/1/announcements -H "authorization: Bearer $TOKEN" \
//!     -H "content-type: application/json" -d '{"body": "Back at noon"}'
//! curl -X POST http://127.0.0.1:4002/admin/users/2/disconnect -H "authorization: Bearer $TOKEN"
//! ```
//!
//! Read it in this order: [`UserSocket`] decides who connects, [`RoomChannel`] is a room and
//! [`NotificationChannel`] what concerns one user; [`Chat`] is what they talk about, [`digest`] a task that broadcasts by
//! itself, and [`web`] the page and the actions of an administrator.
//!
//! Everything is in memory and ends with the process, and anyone may log in as any of the sample
//! users: this is an example of sockets, not of accounts.

pub mod chat;
pub mod digest;
mod notification_channel;
mod room_channel;
mod user_socket;
pub mod web;

use std::time::Duration;

use bennu::prelude::*;
use bennu::token::SecretKeyBase;
use bennu::{Compression, History};

pub use chat::Chat;
pub use notification_channel::NotificationChannel;
pub use room_channel::RoomChannel;
pub use user_socket::{CurrentUser, UserSocket, socket_id};

/// The folder with the page's npm packages, which the build fetched: for tests with the official client.
pub const PACKAGES: &str = env!("PACKAGES");

/// Whose pages may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Those of the site alone.
    Site,
    /// Those of this machine as well, for development.
    SiteAndLocal,
}

/// The socket's options: those of the tutorial.
///
/// # Panics
///
/// Never: the origins are constants.
#[must_use]
pub fn socket_options(pages: Pages) -> SocketOptions {
    let site = ["//myapp.com", "//www.myapp.com"];
    let local: &[&str] = match pages {
        Pages::Site => &[],
        Pages::SiteAndLocal => &["//localhost", "//127.0.0.1"],
    };
    let origins = CheckOrigin::list(site.into_iter().chain(local.iter().copied()));
    // Long polling is off unless it is asked for.
    SocketOptions::default()
        .timeout(Duration::from_secs(45))
        .compression(Compression::default())
        .check_origin(origins.expect("the origins have hosts"))
        .origin_hint("on your own machine, run with --dev")
}

/// The endpoint with the socket and its channels.
///
/// # Errors
///
/// None in practice: the patterns are constants.
///
/// # Panics
///
/// Outside of a tokio runtime, in which presence runs a task.
pub fn endpoint(chat: &Chat, secret: SecretKeyBase, pages: Pages) -> Result<Endpoint, bennu::BuildError> {
    let pubsub = PubSub::local();
    let names = chat.clone();
    let presence = Presence::builder(pubsub.clone())
        .fetch(move |_, presences| {
            let presences = names.with_names(presences);
            async { presences }
        })
        .build();
    let socket = UserSocket { chat: chat.clone(), presence };
    // For those who come back: what was said, and not who typed and who came and went.
    let history = History::last(100).events(["message:new"]);
    let channels = Channels::new()
        .channel::<RoomChannel>("room:*")
        .history(history)
        .channel::<NotificationChannel>("notifications:*");
    Endpoint::builder(pubsub)
        .secret_key_base(secret)
        .socket("/socket", socket, channels, socket_options(pages))
        .build()
}
