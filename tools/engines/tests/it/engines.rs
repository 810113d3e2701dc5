//! Real servers: started, killed, restarted, paused.

use std::net::SocketAddr;
use std::time::Duration;

use bennu_engines::{NatsServer, Postgres, RedisServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the server says first, or answers to `request`.
async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn nats_is_killed_and_restarted_on_its_port() {
    let nats = NatsServer::start().await.unwrap();
    assert_eq!(nats.url(), format!("nats://{}", nats.address()));
    assert!(ask(nats.address(), b"").await.starts_with("INFO {"));

    nats.kill();
    assert!(TcpStream::connect(nats.address()).await.is_err());
    nats.restart().await.unwrap();
    assert!(ask(nats.address(), b"").await.starts_with("INFO {"));
}

#[tokio::test]
async fn redis_forgets_nothing_while_it_is_paused() {
    let redis = RedisServer::start().await.unwrap();
    assert_eq!(ask(redis.address(), b"SET a 1\r\n").await, "+OK\r\n");

    redis.pause();
    let address = redis.address();
    let answer = tokio::spawn(async move { ask(address, b"GET a\r\n").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!answer.is_finished());
    redis.resume();
    assert_eq!(answer.await.unwrap(), "$1\r\n1\r\n");
}

#[tokio::test]
async fn a_configuration_is_the_servers_own() {
    let redis = RedisServer::start_with("requirepass secret").await.unwrap();
    assert!(ask(redis.address(), b"PING\r\n").await.starts_with("-NOAUTH"));

    let error = NatsServer::start_with("no such thing").await.unwrap_err();
    assert!(error.to_string().contains("Parse error on line 2"), "{error}");
}

/// Opens a session as PostgreSQL's protocol has it: after the nine bytes that let the user in come the settings of the
/// database, or an error.
async fn enter(address: SocketAddr, database: &str) -> (TcpStream, bool) {
    let parameters = format!("user\0postgres\0database\0{database}\0\0");
    let length = u32::try_from(8 + parameters.len()).unwrap();
    let startup = [&length.to_be_bytes()[..], &196_608_u32.to_be_bytes(), parameters.as_bytes()].concat();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&startup).await.unwrap();
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(matches!(answer, [b'R', .., b'S' | b'E']), "{answer:?}");
    (stream, answer[9] == b'S')
}

#[tokio::test]
async fn postgres_keeps_its_databases_when_it_is_killed() {
    let postgres = Postgres::start().await.unwrap();
    let url = postgres.create_database("forge").await.unwrap();
    assert_eq!(url, format!("postgres://postgres@{}/forge", postgres.address()));
    assert!(postgres.create_database("forge").await.unwrap_err().to_string().contains("already exists"));

    // Its process for this connection dies with it.
    let (mut open, entered) = enter(postgres.address(), "forge").await;
    assert!(entered);
    postgres.kill();
    while let Ok(1..) = open.read(&mut [0; 512]).await {}

    postgres.restart().await.unwrap();
    assert!(enter(postgres.address(), "forge").await.1);
    assert!(!enter(postgres.address(), "other").await.1);
}
