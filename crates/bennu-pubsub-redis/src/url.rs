//! The settings of a URL.

use std::path::Path;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::adapter::Redis;
use crate::tls::CertificateError;

const PORT: u16 = 6379;

/// Why a URL names no Redis. None of them repeats the URL, since it may have a password in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is no URL.
    #[error("not a URL: {0}")]
    Malformed(String),
    /// It is the URL of something else.
    #[error("the scheme is {0}, and Redis has redis or, with TLS, rediss")]
    Scheme(String),
    /// It names no host.
    #[error("no host is named, as in redis://127.0.0.1:6379")]
    NoHost,
    /// The path is no number of a database. Pub/sub has no databases, so a number is taken and ignored.
    #[error("the path may be the number of a database, and nothing else")]
    Path,
    /// User or password are not UTF-8 once percent signs are decoded.
    #[error("user and password must be UTF-8, with %XX for what a URL cannot hold")]
    Credentials,
    /// A parameter that is none of ours, which may be a misspelt one.
    #[error("{0:?} is no parameter: there are sharded, max_packet, timeout_ms, ca, cert and key")]
    UnknownParameter(String),
    /// A parameter with a value that it cannot have.
    #[error("the parameter {name} must be {expected}")]
    Parameter {
        /// Which one.
        name: &'static str,
        /// What it can be.
        expected: &'static str,
    },
    /// Certificates cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// What the query says.
#[derive(Default)]
struct Query {
    sharded: Option<bool>,
    max_packet: Option<usize>,
    timeout: Option<Duration>,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

pub(crate) fn parse(text: &str) -> Result<Redis, UrlError> {
    let url = Url::parse(text).map_err(|error| UrlError::Malformed(error.to_string()))?;
    let tls = match url.scheme() {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        other => return Err(UrlError::Scheme(other.to_owned())),
    };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(UrlError::NoHost)?;
    let database = url.path().trim_matches('/');
    if !database.is_empty() && database.parse::<u32>().is_err() {
        return Err(UrlError::Path);
    }
    let query = query(&url)?;

    // An IPv6 address has brackets in a URL, and nowhere else.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut redis = Redis::new(host, url.port().unwrap_or(PORT));
    if tls {
        redis = with_tls(redis, &query)?;
    } else if query.ca.is_some() || query.cert.is_some() || query.key.is_some() {
        return Err(UrlError::Parameter { name: "ca, cert or key", expected: "with TLS: rediss://…" });
    }
    if let Some(password) = url.password() {
        redis = redis.credentials(decoded(url.username())?, decoded(password)?);
    } else if !url.username().is_empty() {
        return Err(UrlError::Credentials);
    }
    redis = redis.sharded(query.sharded.unwrap_or_default());
    if let Some(max_packet) = query.max_packet {
        redis = redis.max_packet(max_packet);
    }
    if let Some(timeout) = query.timeout {
        redis = redis.timeout(timeout);
    }
    Ok(redis)
}

fn with_tls(redis: Redis, query: &Query) -> Result<Redis, UrlError> {
    let redis = match &query.ca {
        Some(ca) => redis.tls_with_ca(Path::new(ca))?,
        None => redis.tls()?,
    };
    match (&query.cert, &query.key) {
        (Some(cert), Some(key)) => Ok(redis.client_certificate(Path::new(cert), Path::new(key))?),
        (None, None) => Ok(redis),
        (Some(_), None) | (None, Some(_)) => {
            Err(UrlError::Parameter { name: "cert", expected: "given together with key" })
        }
    }
}

fn query(url: &Url) -> Result<Query, UrlError> {
    let mut query = Query::default();
    for (name, value) in url.query_pairs() {
        let parameter = |name, expected| UrlError::Parameter { name, expected };
        match &*name {
            "sharded" => {
                let sharded = value.parse().map_err(|_| parameter("sharded", "true or false"))?;
                query.sharded = Some(sharded);
            }
            "max_packet" => {
                let bytes = value.parse().ok().filter(|bytes| *bytes >= Redis::LEAST_PACKET);
                query.max_packet = Some(bytes.ok_or(parameter("max_packet", "bytes, 1024 or more"))?);
            }
            "timeout_ms" => {
                let milliseconds = value.parse().ok().filter(|milliseconds| *milliseconds > 0);
                let milliseconds = milliseconds.ok_or(parameter("timeout_ms", "milliseconds, 1 or more"))?;
                query.timeout = Some(Duration::from_millis(milliseconds));
            }
            "ca" => query.ca = Some(value.into_owned()),
            "cert" => query.cert = Some(value.into_owned()),
            "key" => query.key = Some(value.into_owned()),
            other => return Err(UrlError::UnknownParameter(other.to_owned())),
        }
    }
    Ok(query)
}

fn decoded(part: &str) -> Result<String, UrlError> {
    percent_decode_str(part).decode_utf8().map(Into::into).map_err(|_| UrlError::Credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_name_a_redis() {
        for (url, address) in [
            ("redis://cache", "cache:6379"),
            ("redis://cache:7000/3?sharded=true", "cache:7000"),
            ("valkey://127.0.0.1", "127.0.0.1:6379"),
            ("redis://user:p%40ss@[::1]:7000", "[::1]:7000"),
            ("redis://:secret@cache?max_packet=65536&timeout_ms=250", "cache:6379"),
        ] {
            assert_eq!(parse(url).unwrap().address(), address, "{url}");
        }
    }

    #[test]
    fn urls_that_do_not_are_refused_with_the_reason() {
        for (url, reason) in [
            ("cache:6379", "the scheme is cache"),
            ("127.0.0.1", "not a URL"),
            ("nats://cache", "the scheme is nats"),
            ("redis://", "no host"),
            ("redis://cache:99999", "not a URL: invalid port"),
            ("redis://cache/events", "the path may be"),
            ("redis://user@cache", "user and password"),
            ("redis://:%ff@cache", "user and password"),
            ("redis://cache?shardde=true", "\"shardde\" is no parameter"),
            ("redis://cache?sharded=yes", "sharded must be true or false"),
            ("redis://cache?max_packet=10", "max_packet must be bytes"),
            ("redis://cache?timeout_ms=0", "timeout_ms must be milliseconds"),
            ("redis://cache?ca=/ca.pem", "with TLS"),
            ("rediss://cache?ca=/no/such/ca.pem", "/no/such/ca.pem cannot be used"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }

    #[test]
    fn no_password_is_in_debug_output_or_an_error() {
        let redis = parse("redis://user:hunter2@cache").unwrap();
        assert!(!format!("{redis:?}").contains("hunter2"), "{redis:?}");
        let error = parse("redis://user:hunter2@cache/x").unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}
