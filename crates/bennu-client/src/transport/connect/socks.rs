//! SOCKS proxies, version 5 (RFC 1928), with a user and password if they want one (RFC 1929).

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const VERSION: u8 = 5;
const CONNECT: u8 = 1;

/// Ways to say who one is.
const NOBODY: u8 = 0;
const PASSWORD: u8 = 2;

/// Kinds of addresses.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Has the proxy connect to a host. A name is for the proxy to resolve.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
    port: u16,
    credentials: Option<(&str, &str)>,
) -> Result<(), String> {
    let broken = |error: std::io::Error| error.to_string();
    let offered: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, NOBODY, PASSWORD],
        None => &[VERSION, 1, NOBODY],
    };
    stream.write_all(offered).await.map_err(broken)?;
    match (answer::<S, 2>(stream).await?, credentials) {
        ([VERSION, NOBODY], _) => {}
        ([VERSION, PASSWORD], Some((user, password))) => log_in(stream, user, password).await?,
        ([VERSION, _], _) => return Err("it wants another kind of credentials".to_owned()),
        _ => return Err("it does not speak SOCKS 5".to_owned()),
    }
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => {
            request.push(NAME);
            request.extend(with_length(host)?);
        }
    }
    request.extend(port.to_be_bytes());
    stream.write_all(&request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    read_reply(stream).await
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    user: &str,
    password: &str,
) -> Result<(), String> {
    let request = [vec![1], with_length(user)?, with_length(password)?].concat();
    stream.write_all(&request).await.map_err(|error| error.to_string())?;
    match answer(stream).await? {
        [_, 0] => Ok(()),
        [_, _] => Err("it refused the user and password".to_owned()),
    }
}

async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), String> {
    let [version, reply, _, kind] = answer(stream).await?;
    if version != VERSION {
        return Err("it does not speak SOCKS 5".to_owned());
    }
    if reply != 0 {
        let reasons = [
            "it failed",
            "its rules forbid it",
            "the network is not reachable from it",
            "the host is not reachable from it",
            "the host refused its connection",
            "its time to live ran out",
            "it cannot connect",
            "it does not know such addresses",
        ];
        return Err(reasons.get(usize::from(reply) - 1).map_or(reasons[0], |reason| reason).to_owned());
    }
    // The address that it connects from, which is of no use.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => answer::<S, 1>(stream).await?[0].into(),
        _ => return Err("it answers with an address of another kind".to_owned()),
    };
    let mut rest = [0; 255 + 2];
    let read = stream.read_exact(&mut rest[..length + 2]).await;
    read.map(|_| ()).map_err(|error| error.to_string())
}

async fn answer<S: AsyncRead + Unpin, const LENGTH: usize>(stream: &mut S) -> Result<[u8; LENGTH], String> {
    let mut answer = [0; LENGTH];
    stream.read_exact(&mut answer).await.map_err(|error| error.to_string())?;
    Ok(answer)
}

fn with_length(text: &str) -> Result<Vec<u8>, String> {
    let length =
        u8::try_from(text.len()).map_err(|_| "a name or password is longer than 255 bytes".to_owned())?;
    Ok([&[length], text.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent to a proxy that answers with these bytes, and what comes of it.
    async fn exchange(
        host: &str,
        credentials: Option<(&str, &str)>,
        answers: &[u8],
    ) -> (Vec<u8>, Result<(), String>) {
        let (mut client, mut proxy) = tokio::io::duplex(1_000);
        proxy.write_all(answers).await.unwrap();
        proxy.shutdown().await.unwrap();
        let outcome = connect(&mut client, host, 0x0102, credentials).await;
        drop(client);
        let mut sent = Vec::new();
        proxy.read_to_end(&mut sent).await.unwrap();
        (sent, outcome)
    }

    #[tokio::test]
    async fn conversations_as_the_standards_have_them() {
        let from_v4 = [5, 0, 0, 1, 1, 2, 3, 4, 0, 80];
        let credentials = Some(("me", "pw"));
        for (name, host, credentials, answers, expected) in [
            (
                "a name",
                "h.x",
                None,
                [&[5, 0][..], &from_v4].concat(),
                b"\x05\x01\x00\x05\x01\x00\x03\x03h.x\x01\x02".to_vec(),
            ),
            (
                "an address",
                "1.2.3.4",
                None,
                [&[5, 0][..], &from_v4].concat(),
                b"\x05\x01\x00\x05\x01\x00\x01\x01\x02\x03\x04\x01\x02".to_vec(),
            ),
            (
                "an address of IPv6, and an answer by name",
                "::1",
                None,
                b"\x05\x00\x05\x00\x00\x03\x01x\x00\x00".to_vec(),
                [&b"\x05\x01\x00\x05\x01\x00\x04"[..], &[0; 15], b"\x01\x01\x02"].concat(),
            ),
            (
                "a password",
                "h",
                credentials,
                [&[5, 2, 1, 0][..], &from_v4].concat(),
                b"\x05\x02\x00\x02\x01\x02me\x02pw\x05\x01\x00\x03\x01h\x01\x02".to_vec(),
            ),
            (
                "a password that is not asked for",
                "h",
                credentials,
                [&[5, 0][..], &from_v4].concat(),
                b"\x05\x02\x00\x02\x05\x01\x00\x03\x01h\x01\x02".to_vec(),
            ),
        ] {
            assert_eq!(exchange(host, credentials, &answers).await, (expected, Ok(())), "{name}");
        }
    }

    #[tokio::test]
    async fn refusals_say_why() {
        let credentials = Some(("me", "pw"));
        for (credentials, answers, expected) in [
            (None, &b"\x05\xff"[..], "it wants another kind of credentials"),
            (None, b"\x05\x02", "it wants another kind of credentials"),
            (None, b"HTTP/1.1 400", "it does not speak SOCKS 5"),
            (credentials, b"\x05\x02\x01\x01", "it refused the user and password"),
            (None, b"\x05\x00\x05\x05\x00\x01", "the host refused its connection"),
            (None, b"\x05\x00\x05\xff\x00\x01", "it failed"),
            (None, b"\x05\x00\x05\x00\x00\x07", "it answers with an address of another kind"),
            (None, b"\x05", "early eof"),
        ] {
            assert_eq!(exchange("h", credentials, answers).await.1, Err(expected.to_owned()));
        }
        let (_, outcome) = exchange(&"h".repeat(256), None, b"\x05\x00").await;
        assert_eq!(outcome, Err("a name or password is longer than 255 bytes".to_owned()));
    }
}
