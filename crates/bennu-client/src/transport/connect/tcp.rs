//! TCP to whichever address of a host answers first (RFC 8305).

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::ConnectError;

/// How long an attempt has before the next one begins beside it (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to a name or address.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let unresolved = |reason: String| ConnectError::Resolve { host: host.to_owned(), reason };
    let addresses =
        tokio::net::lookup_host((host, port)).await.map_err(|error| unresolved(error.to_string()))?;
    let addresses = in_turn(addresses);
    if addresses.is_empty() {
        return Err(unresolved("it has no address".to_owned()));
    }
    let stream = first(addresses).await.map_err(|error| {
        let reason = error.to_string();
        ConnectError::Connect { host: host.to_owned(), port, reason }
    })?;
    // A stream that cannot be told so is only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// The addresses with their families in turn, the resolver's first choice first.
fn in_turn(addresses: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut addresses = addresses.peekable();
    let prefers_v6 = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut others): (VecDeque<_>, VecDeque<_>) =
        addresses.partition(|address| address.is_ipv6() == prefers_v6);
    let mut ordered = VecDeque::with_capacity(preferred.len() + others.len());
    while !preferred.is_empty() || !others.is_empty() {
        ordered.extend(preferred.pop_front());
        ordered.extend(others.pop_front());
    }
    ordered
}

/// The first stream that opens. If none does, the error of the last attempt that failed.
async fn first(mut addresses: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = FuturesUnordered::new();
    loop {
        attempts.extend(addresses.pop_front().map(TcpStream::connect));
        let ended = tokio::select! {
            ended = attempts.next() => ended,
            () = sleep(HEAD_START), if !addresses.is_empty() => continue,
        };
        match ended {
            Some(Err(error)) if addresses.is_empty() && attempts.is_empty() => return Err(error),
            Some(Err(_)) => {}
            Some(Ok(stream)) => return Ok(stream),
            None => return Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn families_take_turns() {
        let list = |texts: &[&str]| -> VecDeque<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        for (resolved, ordered) in [
            (&["1.1.1.1:1"][..], &["1.1.1.1:1"][..]),
            (&["[::1]:1", "[::2]:1", "1.1.1.1:1"], &["[::1]:1", "1.1.1.1:1", "[::2]:1"]),
            (&["1.1.1.1:1", "1.1.1.2:1", "[::1]:1"], &["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"]),
            (&[], &[]),
        ] {
            assert_eq!(in_turn(list(resolved).into_iter()), list(ordered));
        }
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let stream = first([closed, open].into()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let error = first([closed, closed].into()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
