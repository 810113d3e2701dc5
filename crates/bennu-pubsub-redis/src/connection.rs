//! The two connections to a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bennu_pubsub::Link;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, PushKind, RedisError, Value};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::adapter::Redis;
use crate::failure::Failure;

/// Subjects are channels of Redis, whose parts its users separate so.
pub(crate) const SEPARATOR: char = ':';

/// What a server is taken to carry in a second at the least, when an answer to much is awaited.
const SLOWEST: f64 = 256.0 * 1024.0;

/// Both connections. One more would buy nothing; with one less, what arrives would wait behind what is published, and the
/// server would count it against the limits of a subscriber's buffer.
pub(crate) struct Connections {
    pub(crate) publisher: MultiplexedConnection,
    pub(crate) subscriber: MultiplexedConnection,
    /// How many messages have arrived, which tells a server that is busy from one that is gone.
    pub(crate) arrived: Arc<AtomicU64>,
    /// The tasks that read and write; each ends when its connection does, and with this.
    tasks: JoinSet<()>,
}

impl Connections {
    /// Connects twice.
    pub(crate) async fn open(redis: &Redis, link: &Link) -> Result<Self, Failure> {
        let arrived = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        let receiver = receiver(link.clone(), Arc::clone(&arrived));
        let connected = async {
            let subscriber = connect(redis, config().set_push_sender(receiver), &mut tasks).await?;
            let publisher = connect(redis, config(), &mut tasks).await?;
            Ok::<_, Failure>((publisher, subscriber))
        };
        let connected = timeout(redis.timeout, connected).await;
        let (publisher, subscriber) = connected.map_err(|_| Failure::Silent(redis.timeout))??;
        Ok(Self { publisher, subscriber, arrived, tasks })
    }

    /// Returns when one of them has ended.
    pub(crate) async fn ended(&mut self) {
        self.tasks.join_next().await;
    }
}

/// Sends many commands, and awaits all answers, of which none matters unless it is an error.
pub(crate) async fn send(
    connection: &mut MultiplexedConnection,
    commands: &Pipeline,
    bytes: usize,
    redis: &Redis,
) -> Result<(), Failure> {
    let patience = redis.timeout + Duration::from_secs_f64(bytes as f64 / SLOWEST);
    let answered = timeout(patience, commands.exec_async(connection)).await;
    Ok(answered.map_err(|_| Failure::Silent(patience))??)
}

/// Asks for a sign of life.
pub(crate) async fn ping(connection: &mut MultiplexedConnection, redis: &Redis) -> Result<(), Failure> {
    let answered = timeout(redis.timeout, Cmd::new().arg("PING").exec_async(connection)).await;
    Ok(answered.map_err(|_| Failure::Silent(redis.timeout))??)
}

/// The library's own timeouts are off: what may be awaited for how long depends on how much it is.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None)
}

async fn connect(
    redis: &Redis,
    config: AsyncConnectionConfig,
    tasks: &mut JoinSet<()>,
) -> Result<MultiplexedConnection, Failure> {
    let refused = |error| Failure::Connect { address: redis.address(), error };
    let stream = TcpStream::connect((&*redis.host, redis.port)).await.map_err(refused)?;
    stream.set_nodelay(true).map_err(refused)?;
    let Some(tls) = &redis.tls_config else {
        return greet(redis, stream, config, tasks).await;
    };
    let insecure = |error| Failure::Tls { address: redis.address(), error };
    let name =
        ServerName::try_from(redis.host.clone()).map_err(|error| insecure(std::io::Error::other(error)))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(insecure)?;
    greet(redis, stream, config, tasks).await
}

async fn greet<S>(
    redis: &Redis,
    stream: S,
    config: AsyncConnectionConfig,
    tasks: &mut JoinSet<()>,
) -> Result<MultiplexedConnection, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (connection, driver) =
        MultiplexedConnection::new_with_config(&redis.greeting(), stream, config).await?;
    tasks.spawn(driver);
    Ok(connection)
}

/// Takes what arrives, on the task that reads the connection: nothing waits in between, so a subscriber that is slow is one of
/// the PubSub's, which knows what to do about it, and a flood ends in the server's buffer and not in our memory.
fn receiver(
    link: Link,
    arrived: Arc<AtomicU64>,
) -> impl Fn(PushInfo) -> Result<(), RedisError> + Send + Sync + 'static {
    move |push| {
        arrived.fetch_add(1, Ordering::Relaxed);
        if !matches!(push.kind, PushKind::Message | PushKind::SMessage) {
            return Ok(());
        }
        let mut parts = push.data.into_iter();
        if let (Some(Value::BulkString(channel)), Some(Value::BulkString(packet))) =
            (parts.next(), parts.next())
        {
            let subject =
                std::str::from_utf8(&channel).ok().and_then(|name| link.subject_of(name, SEPARATOR));
            if let Some(subject) = subject {
                link.received(&subject, packet.into());
            }
        }
        Ok(())
    }
}
