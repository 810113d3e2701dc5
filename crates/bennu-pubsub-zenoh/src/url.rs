//! The settings of a URL.

use std::time::Duration;

use url::form_urlencoded;

use crate::adapter::Zenoh;

/// Why a URL names no nodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is the URL of something else.
    #[error("not a URL of zenoh, which is as zenoh://127.0.0.1:7447")]
    Scheme,
    /// An address is not a host and a port.
    #[error("{0:?} is no address: it must be host:port")]
    Address(String),
    /// It names no other node, nor a way to find one.
    #[error("no node is named: give the address of one, listen=host:port, or discovery=multicast")]
    Alone,
    /// A parameter that is none of ours, which may be a misspelt one.
    #[error(
        "{0:?} is no parameter: there are listen, discovery, gossip, max_packet, timeout_ms, ca, cert and key"
    )]
    UnknownParameter(String),
    /// A parameter with a value that it cannot have.
    #[error("the parameter {name} must be {expected}")]
    Parameter {
        /// Which one.
        name: &'static str,
        /// What it can be.
        expected: &'static str,
    },
}

pub(crate) fn parse(text: &str) -> Result<Zenoh, UrlError> {
    let rest = text.strip_prefix("zenoh://").ok_or(UrlError::Scheme)?;
    let (addresses, query) = rest.split_once('?').unwrap_or((rest, ""));
    let addresses: Vec<&str> =
        addresses.trim_end_matches('/').split(',').filter(|address| !address.is_empty()).collect();
    for each in &addresses {
        address(each)?;
    }
    let zenoh = query_of(Zenoh::new(addresses), query)?;
    if zenoh.addresses.is_empty() && zenoh.listen.is_none() && zenoh.discovery.is_none() {
        return Err(UrlError::Alone);
    }
    Ok(zenoh)
}

fn query_of(mut zenoh: Zenoh, query: &str) -> Result<Zenoh, UrlError> {
    let parameter = |name, expected| UrlError::Parameter { name, expected };
    let (mut ca, mut cert, mut key) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        zenoh = match &*name {
            "listen" => zenoh.listen(address(&value)?),
            "discovery" if value == "multicast" => zenoh.discover(),
            "discovery" => {
                let address = value.parse().map_err(|_| parameter("discovery", "multicast or ip:port"))?;
                zenoh.discover_at(address)
            }
            "gossip" => zenoh.gossip(value.parse().map_err(|_| parameter("gossip", "true or false"))?),
            "max_packet" => {
                let bytes = value.parse().ok().filter(|bytes| *bytes >= Zenoh::LEAST_PACKET);
                zenoh.max_packet(bytes.ok_or(parameter("max_packet", "bytes, 1024 or more"))?)
            }
            "timeout_ms" => {
                let milliseconds = value.parse().ok().filter(|milliseconds| *milliseconds >= 100);
                let milliseconds =
                    milliseconds.ok_or(parameter("timeout_ms", "milliseconds, 100 or more"))?;
                zenoh.timeout(Duration::from_millis(milliseconds))
            }
            "ca" => {
                ca = Some(value.into_owned());
                zenoh
            }
            "cert" => {
                cert = Some(value.into_owned());
                zenoh
            }
            "key" => {
                key = Some(value.into_owned());
                zenoh
            }
            other => return Err(UrlError::UnknownParameter(other.to_owned())),
        };
    }
    match (ca, cert, key) {
        (Some(ca), Some(cert), Some(key)) => Ok(zenoh.tls(ca, cert, key)),
        (None, None, None) => Ok(zenoh),
        _ => Err(parameter("ca", "given together with cert and key")),
    }
}

/// Checks an address and gives it back.
fn address(text: &str) -> Result<&str, UrlError> {
    let wrong = || UrlError::Address(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    port.parse::<u16>().map_err(|_| wrong())?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let is_ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fits = match is_ipv6 {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(is_host),
    };
    if fits { Ok(text) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_name_nodes() {
        for (url, addresses) in [
            ("zenoh://127.0.0.1:7447", vec!["127.0.0.1:7447"]),
            ("zenoh://a.internal:7447,[::1]:7448/", vec!["a.internal:7447", "[::1]:7448"]),
            ("zenoh://?discovery=multicast", vec![]),
            ("zenoh://?listen=0.0.0.0:7447&timeout_ms=500&max_packet=4096", vec![]),
        ] {
            assert_eq!(parse(url).unwrap().addresses, addresses, "{url}");
        }
        let tls = parse("zenoh://a:1?ca=/ca.pem&cert=/cert.pem&key=/key%20.pem").unwrap().tls.unwrap();
        assert_eq!(tls.key.to_str(), Some("/key .pem"));
        let own = parse("zenoh://?discovery=224.0.0.9:7000").unwrap();
        assert_eq!(own.discovery, Some(([224, 0, 0, 9], 7_000).into()));
    }

    #[test]
    fn urls_that_do_not_are_refused_with_the_reason() {
        for (url, reason) in [
            ("tcp/127.0.0.1:7447", "not a URL of zenoh"),
            ("zenoh://", "no node is named"),
            ("zenoh://127.0.0.1", "\"127.0.0.1\" is no address"),
            ("zenoh://127.0.0.1:99999", "is no address"),
            ("zenoh://user@host:7447", "is no address"),
            ("zenoh://a:1#metadata", "is no address"),
            ("zenoh://a:1?listen=7447", "\"7447\" is no address"),
            ("zenoh://a:1?discovery=mdns", "discovery must be multicast or ip:port"),
            ("zenoh://a:1?gossip=no", "gossip must be true or false"),
            ("zenoh://a:1?mode=client", "\"mode\" is no parameter"),
            ("zenoh://a:1?timeout_ms=1", "timeout_ms must be milliseconds"),
            ("zenoh://a:1?ca=/ca.pem", "ca must be given together with cert and key"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}
