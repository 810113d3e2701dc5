//! One connection to one server.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ReconnectToServer, ServerAddr};
use tokio::sync::mpsc;

use crate::nats::{Identity, Nats};

/// Commands that wait inside of the client library: a batch of ours, and a few changes of interest. What does not fit waits in
/// the link's queue, which is bounded in bytes and knows what it drops.
const COMMANDS: usize = 64;

/// Packets that wait for one subscription inside of the client library, which drops the newest when there are more. They are
/// taken by a task that never waits for anything else, so this many come together only in one read of the socket.
const PACKETS: usize = 16 * 1024;

/// What the connection wants to say at once; of repeated complaints one is enough.
const NEWS: usize = 16;

/// What happens to a connection.
#[derive(Debug, PartialEq)]
pub(crate) enum News {
    /// It cannot be used any more.
    Ended(String),
    /// The library has dropped packets that nobody took in time.
    Slow,
}

/// A connection and the news of it. It is not made again: whoever holds it makes another one.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) news: mpsc::Receiver<News>,
}

impl Nats {
    /// Connects to one server. Its answers come to subjects behind `inbox`.
    ///
    /// # Errors
    ///
    /// What an operator is to read; it has no secrets.
    pub(crate) async fn connect(&self, server: &str, inbox: &str) -> Result<Connection, String> {
        let address: ServerAddr = server.parse().map_err(|_| "it is not an address".to_owned())?;
        let (told, news) = mpsc::channel(NEWS);
        let options = self.options().await?.custom_inbox_prefix(inbox).event_callback(move |event| {
            if let Some(news) = News::of(event) {
                // When it is full there is enough to do.
                let _ = told.try_send(news);
            }
            std::future::ready(())
        });
        let client = options.connect(address).await.map_err(|error| error.to_string())?;
        // The library would connect again by itself, with what it has half written thrown away and its reasons kept to
        // itself. The only server that it may try is one that nobody can be, and once.
        let nowhere: ServerAddr =
            "127.0.0.1:0".parse().map_err(|_| "nowhere is not an address".to_owned())?;
        client.set_server_pool(&[nowhere][..]).await.map_err(|error| error.to_string())?;
        Ok(Connection { client, news })
    }

    async fn options(&self) -> Result<ConnectOptions, String> {
        let options = ConnectOptions::new()
            .name("bennu")
            .no_echo()
            .connection_timeout(self.ping_interval * 3)
            .ping_interval(self.ping_interval)
            .client_capacity(COMMANDS)
            .subscription_capacity(PACKETS)
            .ignore_discovered_servers()
            .max_reconnects(1)
            // This is asked for the first connection, too; the other way of choosing logs an error when it gives up.
            .reconnect_to_server_callback(|servers, _| {
                let first = servers.into_iter().next();
                std::future::ready(
                    first.map(|server| ReconnectToServer { addr: server.addr, delay: Some(Duration::ZERO) }),
                )
            });
        let options = match &self.tls {
            Some(tls) => {
                let options = options.require_tls(true).tls_client_config(tls.config().await?);
                if tls.first { options.tls_first() } else { options }
            }
            None => options,
        };
        self.identity.options(options).await
    }
}

impl Identity {
    async fn options(&self, options: ConnectOptions) -> Result<ConnectOptions, String> {
        Ok(match self {
            Identity::Nobody => options,
            Identity::User(user, password) => options.user_and_password(user.clone(), password.clone()),
            Identity::Token(token) => options.token(token.clone()),
            Identity::Credentials(path) => {
                let text = read(path).await?;
                options
                    .credentials(&text)
                    .map_err(|_| format!("{} is not a credentials file", path.display()))?
            }
            Identity::Nkey(path) => options.nkey(read(path).await?.trim().to_owned()),
        })
    }
}

async fn read(path: &std::path::Path) -> Result<String, String> {
    tokio::fs::read_to_string(path).await.map_err(|error| format!("cannot read {}: {error}", path.display()))
}

impl News {
    fn of(event: Event) -> Option<Self> {
        match event {
            Event::Disconnected => Some(News::Ended("the connection was lost".to_owned())),
            // Such as a subscription that we may not have: a node that hears half of the others is worse than one that says so.
            Event::ServerError(error) => Some(News::Ended(error.to_string())),
            Event::SlowConsumer(_) => Some(News::Slow),
            Event::Closed => Some(News::Ended("the connection was closed".to_owned())),
            // The server closes our connection when it has moved the others.
            Event::LameDuckMode | Event::Connected | Event::Draining | Event::ClientError(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bennu_engines::{NatsServer, Proxy};

    use super::*;

    #[tokio::test]
    async fn a_connection_ends_once_and_is_not_made_again() {
        let server = NatsServer::start().await.unwrap();
        let proxy = Proxy::start(server.address()).await.unwrap();
        let nats = Nats::from_url(&proxy.url(&server.url())).unwrap();
        let mut connection = nats.connect(&nats.servers[0], "inbox").await.unwrap();
        connection.client.flush().await.unwrap();

        proxy.cut();
        let news = connection.news.recv().await;
        assert_eq!(news, Some(News::Ended("the connection was lost".to_owned())));
        proxy.heal();
        // The library gives up, and says nothing more.
        assert_eq!(connection.news.recv().await, None);
        assert_eq!(proxy.accepted(), 1);
        assert!(connection.client.flush().await.is_err());
    }

    #[tokio::test]
    async fn a_server_that_is_silent_is_given_up() {
        let server = NatsServer::start().await.unwrap();
        let proxy = Proxy::start(server.address()).await.unwrap();
        let nats =
            Nats::from_url(&proxy.url(&server.url())).unwrap().ping_interval(Duration::from_millis(50));
        let mut connection = nats.connect(&nats.servers[0], "inbox").await.unwrap();

        proxy.freeze();
        assert_eq!(connection.news.recv().await, Some(News::Ended("the connection was lost".to_owned())));
        let error = nats.connect(&nats.servers[0], "inbox").await.err();
        assert_eq!(error.as_deref(), Some("timed out"));
    }

    #[tokio::test]
    async fn the_server_sends_nobody_what_he_published_himself() {
        use futures_util::StreamExt as _;

        let server = NatsServer::start().await.unwrap();
        let nats = Nats::from_url(&server.url()).unwrap();
        let (one, two) = (
            nats.connect(&nats.servers[0], "one").await.unwrap(),
            nats.connect(&nats.servers[0], "two").await.unwrap(),
        );
        let mut heard = one.client.subscribe("subject").await.unwrap();
        for (connection, payload) in [(&one, "own"), (&two, "other")] {
            connection.client.publish("subject", payload.into()).await.unwrap();
            // The answer, that nobody has this subject, comes behind.
            connection.client.request("nobody", "".into()).await.unwrap_err();
        }
        assert_eq!(heard.next().await.unwrap().payload, "other");
    }
}
