//! An application, a node beside it, and nginx in front of both.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bennu::prelude::*;
use bennu::token::{SecretKeyBase, SessionCookie};
use bennu::{Endpoint, EndpointBuilder, LongPollOptions};
use migration::Application;
use rooms::{Chat, NotificationChannel, RoomChannel};
use tokio::net::TcpListener;

use crate::nginx::Nginx;

pub(crate) const ADA: u64 = 1;

/// What both are behind.
pub(crate) struct Site {
    pub(crate) nginx: Nginx,
    pub(crate) phoenix: Endpoint,
    pub(crate) bennu: Endpoint,
    /// Where the node listens, beside nginx.
    pub(crate) bennu_address: SocketAddr,
}

impl Site {
    /// Starts all three.
    pub(crate) async fn start(application: &Application) -> Self {
        Self::start_at(application, SystemTime::now).await
    }

    /// The same, at a time of day.
    pub(crate) async fn start_at(application: &Application, now: fn() -> SystemTime) -> Self {
        let phoenix = stand_in(application).clock(now).build().unwrap();
        let bennu = migration::endpoint(application).clock(now).build().unwrap();
        let phoenix_address = serve(axum::Router::new().layer(bennu::axum::sockets(&phoenix))).await;
        let bennu_address = serve(migration::router(&bennu)).await;
        let start = move || Nginx::start(phoenix_address, bennu_address);
        let nginx = tokio::task::spawn_blocking(start).await.unwrap();
        Site { nginx, phoenix, bennu, bennu_address }
    }

    /// What the application's page is given for a user.
    pub(crate) fn token(&self, user: u64) -> String {
        self.phoenix.tokens().sign("user socket", &user).unwrap()
    }
}

/// An application as the fixtures know it: the secret is that of Phoenix's own token, and of Plug's cookie.
pub(crate) fn application() -> Application {
    Application {
        secret_key_base: SecretKeyBase::new("abcdefgh".repeat(8)).unwrap(),
        session: SessionCookie::new("_my_app_key", "signing"),
        token_salt: "user socket".to_owned(),
        host: "myapp.com".to_owned(),
        proxies: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
    }
}

/// In the first hour of 1970, when the token of the fixtures was signed.
pub(crate) fn then() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(60)
}

/// In place of the Phoenix application: the tutorial's socket at `/socket`, with its own topics.
fn stand_in(application: &Application) -> EndpointBuilder {
    let pubsub = PubSub::local();
    let socket = rooms::UserSocket { chat: Chat::sample(), presence: Presence::new(pubsub.clone()) };
    let channels =
        Channels::new().channel::<RoomChannel>("room:*").channel::<NotificationChannel>("notifications:*");
    Endpoint::builder(pubsub)
        .secret_key_base(application.secret_key_base.clone())
        .host(&application.host)
        .socket("/socket", socket, channels, SocketOptions::default().longpoll(LongPollOptions::new()))
}

async fn serve(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // It ends with the test's runtime.
    tokio::spawn(async move { bennu::axum::serve(listener, router).await });
    address
}
