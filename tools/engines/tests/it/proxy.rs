//! A link that is cut, frozen, slow and healed.

use std::net::SocketAddr;
use std::time::Duration;

use bennu_engines::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// Says whatever it hears.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

async fn echoes(stream: &mut TcpStream, text: &[u8]) -> bool {
    let mut heard = vec![0; text.len()];
    stream.write_all(text).await.is_ok() && stream.read_exact(&mut heard).await.is_ok() && heard == text
}

#[tokio::test]
async fn a_cut_link_breaks_what_is_and_what_comes() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(echoes(&mut stream, b"one").await);

    proxy.cut();
    assert!(!echoes(&mut stream, b"two").await);
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(!echoes(&mut refused, b"three").await);

    proxy.heal();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(echoes(&mut stream, b"four").await);
    assert_eq!(proxy.accepted(), 3);
}

#[tokio::test]
async fn a_frozen_link_gives_everything_when_it_is_healed() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(echoes(&mut stream, b"one").await);

    proxy.freeze();
    stream.write_all(b"two").await.unwrap();
    let mut heard = [0; 3];
    assert!(timeout(Duration::from_millis(50), stream.read_exact(&mut heard)).await.is_err());
    proxy.heal();
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"two");
}

#[tokio::test]
async fn a_delay_is_added_in_each_direction() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(echoes(&mut stream, b"one").await);

    proxy.delay(Duration::from_millis(40));
    let asked = Instant::now();
    assert!(echoes(&mut stream, &vec![7; 200_000]).await);
    assert!(asked.elapsed() >= Duration::from_millis(80), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_dropped_proxy_is_a_link_that_is_gone() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(echoes(&mut stream, b"one").await);
    let address = proxy.address();
    drop(proxy);
    assert!(!echoes(&mut stream, b"two").await);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_url_of_an_engine_leads_through_the_proxy() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let address = proxy.address();
    for (engine, through) in [
        ("nats://127.0.0.1:4222", format!("nats://{address}")),
        ("nats://ada:p%40ss@127.0.0.1:4222?tls=true", format!("nats://ada:p%40ss@{address}?tls=true")),
        ("postgres://postgres@127.0.0.1:5432/forge", format!("postgres://postgres@{address}/forge")),
    ] {
        assert_eq!(proxy.url(engine), through);
    }
}
