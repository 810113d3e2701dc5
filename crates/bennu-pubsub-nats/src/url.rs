//! The address of an engine as one line of text.

use std::io;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::nats::Nats;

/// The port of a server whose URL has none.
const DEFAULT_PORT: u16 = 4222;

/// Why a URL cannot be one of NATS. None of it is repeated, as any part may hold a password by mistake.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It begins with something else.
    #[error("the URL begins neither with nats:// nor with tls://")]
    Scheme,
    /// A server has no name, or one with characters that names do not have.
    #[error(
        "a server of the URL has no valid name: nats://[user:password@]host[:port][,host[:port]...][?option=value&...]"
    )]
    Host,
    /// What follows a server's name is not a port.
    #[error(
        "a port of the URL is not a number from 1 to 65535; do the user and the password need percent-encoding?"
    )]
    Port,
    /// There is more behind the servers than options.
    #[error("the URL has a path, which NATS has not; do the user and the password need percent-encoding?")]
    Path,
    /// A percent sign is followed by something else than two hexadecimal digits, or what these say is not UTF-8.
    #[error("the URL is not percent-encoded UTF-8")]
    Encoding,
    /// An option is none of those that there are.
    #[error("the URL has an unknown option; there are tls, tls_first, ca, cert, key, creds and nkey")]
    UnknownOption,
    /// An option is there without a value, or with one that it cannot have.
    #[error("the option {0} of the URL is to be {1}")]
    OptionValue(&'static str, &'static str),
    /// A client's certificate is of use with its key alone.
    #[error("the URL has one of the options cert and key without the other")]
    HalfOfACertificate,
    /// There is more than one of a user, a credentials file and an nkey.
    #[error("the URL says in two ways who we are")]
    TwoIdentities,
    /// A file that an option names cannot be read.
    #[error("the file of the option {option} cannot be read")]
    File {
        /// The option.
        option: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Reads all of a URL.
pub(crate) fn parse(url: &str) -> Result<Nats, UrlError> {
    let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
    let secure = match scheme {
        "nats" => false,
        "tls" => true,
        _ => return Err(UrlError::Scheme),
    };
    let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('/') && !rest.contains("://") {
        return Err(UrlError::Path);
    }
    let (identity, servers) =
        rest.rsplit_once('@').map_or((None, rest), |(user, servers)| (Some(user), servers));
    // Each server may have the scheme again, but one identity is that of all.
    if identity.is_some_and(|identity| identity.contains('@')) {
        return Err(UrlError::Encoding);
    }
    let servers = servers.split(',').map(|server| self::server(server, scheme)).collect::<Result<_, _>>()?;
    let mut nats = Nats::of(servers);
    if secure {
        nats = nats.require_tls();
    }
    if let Some(identity) = identity {
        nats = match identity.split_once(':') {
            Some((user, password)) => nats.user_and_password(decoded(user)?, decoded(password)?),
            None => nats.token(decoded(identity)?),
        };
    }
    self::options(nats, options, identity.is_some())
}

/// A server as `host:port`; each may have the scheme again.
fn server(text: &str, scheme: &str) -> Result<String, UrlError> {
    let text = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).unwrap_or(text);
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address are inside of its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| UrlError::Port)?),
        _ => (text, DEFAULT_PORT),
    };
    let name = host.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    let valid = match name {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        }
    };
    if port == 0 {
        return Err(UrlError::Port);
    }
    if valid { Ok(format!("{host}:{port}")) } else { Err(UrlError::Host) }
}

fn options(mut nats: Nats, options: &str, mut identified: bool) -> Result<Nats, UrlError> {
    let (mut certificate, mut key) = (None, None);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = decoded(value)?;
        match name {
            "tls" => nats = if switch("tls", &value)? { nats.require_tls() } else { nats },
            "tls_first" => nats = if switch("tls_first", &value)? { nats.tls_first() } else { nats },
            "ca" => nats = nats.certificate_authorities(file("ca", &value)?),
            "cert" => certificate = Some(file("cert", &value)?),
            "key" => key = Some(file("key", &value)?),
            "creds" | "nkey" if identified => return Err(UrlError::TwoIdentities),
            "creds" => (nats, identified) = (nats.credentials_file(file("creds", &value)?), true),
            "nkey" => (nats, identified) = (nats.nkey_file(file("nkey", &value)?), true),
            _ => return Err(UrlError::UnknownOption),
        }
    }
    match (certificate, key) {
        (None, None) => Ok(nats),
        (Some(certificate), Some(key)) => Ok(nats.client_certificate(certificate, key)),
        _ => Err(UrlError::HalfOfACertificate),
    }
}

fn switch(name: &'static str, value: &str) -> Result<bool, UrlError> {
    value.parse().map_err(|_| UrlError::OptionValue(name, "true or false"))
}

/// A file that can be read now; it is read at each connection, as certificates are renewed.
fn file(option: &'static str, path: &str) -> Result<PathBuf, UrlError> {
    if path.is_empty() {
        return Err(UrlError::OptionValue(option, "the path of a file"));
    }
    std::fs::File::open(path).map_err(|source| UrlError::File { option, source })?;
    Ok(path.into())
}

fn decoded(text: &str) -> Result<String, UrlError> {
    let mut escapes = text.split('%').skip(1);
    let whole =
        |escape: &str| escape.len() >= 2 && escape.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !escapes.all(whole) {
        return Err(UrlError::Encoding);
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| UrlError::Encoding)?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_every_kind_are_read() {
        let seed = tempfile::NamedTempFile::new().unwrap();
        let file = seed.path().display();
        for (url, debug) in [
            ("nats://nats", r#"Nats { servers: ["nats:4222"], identity: Nobody, tls: None }"#.to_owned()),
            ("nats://127.0.0.1:4333/", r#"Nats { servers: ["127.0.0.1:4333"], identity: Nobody, tls: None }"#.into()),
            ("nats://[::1]", r#"Nats { servers: ["[::1]:4222"], identity: Nobody, tls: None }"#.into()),
            (
                "nats://a:1,b,nats://[::1]:3?tls=false",
                r#"Nats { servers: ["a:1", "b:4222", "[::1]:3"], identity: Nobody, tls: None }"#.into(),
            ),
            ("nats://ada:pa%40ss@a", r#"Nats { servers: ["a:4222"], identity: User("ada", ..), tls: None }"#.into()),
            ("nats://t0ken@a,b", r#"Nats { servers: ["a:4222", "b:4222"], identity: Token(..), tls: None }"#.into()),
            (
                "tls://a",
                r#"Nats { servers: ["a:4222"], identity: Nobody, tls: Some(Tls { first: false, authorities: None, client: None }) }"#.into(),
            ),
            (
                &format!("nats://a?nkey={file}&ca={file}&tls_first=true"),
                format!(r#"Nats {{ servers: ["a:4222"], identity: Nkey("{file}"), tls: Some(Tls {{ first: true, authorities: Some("{file}"), client: None }}) }}"#),
            ),
            (
                &format!("nats://a?creds={file}&cert={file}&key={file}"),
                format!(r#"Nats {{ servers: ["a:4222"], identity: Credentials("{file}"), tls: Some(Tls {{ first: false, authorities: None, client: Some(("{file}", "{file}")) }}) }}"#),
            ),
        ] {
            assert_eq!(format!("{:?}", parse(url).unwrap()), debug, "{url}");
        }
    }

    #[test]
    fn credentials_are_percent_decoded() {
        let nats = parse("nats://a%3Ada:p%40ss%25@host").unwrap();
        assert_eq!(nats.identity, crate::nats::Identity::User("a:da".to_owned(), "p@ss%".to_owned()));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_its_secrets() {
        for (url, error) in [
            ("", "the URL begins"),
            ("redis://host", "the URL begins"),
            ("nats://", "a server"),
            ("nats://a,,b", "a server"),
            ("nats://a b", "a server"),
            ("nats://::1", "a server"),
            ("nats://hidden:secret", "a port"),
            ("nats://a:0", "a port"),
            ("nats://a:70000", "a port"),
            ("nats://hidden:sec/ret@a", "the URL has a path"),
            ("nats://a/secret", "the URL has a path"),
            ("nats://hidden:secret%4@a", "the URL is not percent-encoded"),
            ("nats://hidden:secret@a,nats://hidden:secret@b", "the URL is not percent-encoded"),
            ("nats://hidden:secret%FF@a", "the URL is not percent-encoded"),
            ("nats://a?secret=1", "the URL has an unknown option"),
            ("nats://a?tls=secret", "the option tls"),
            ("nats://a?ca=", "the option ca"),
            ("nats://a?ca=/no/secret", "the file of the option ca"),
            ("nats://a?cert=Cargo.toml", "the URL has one of"),
            ("nats://a:secret@a?creds=Cargo.toml", "the URL says in two ways"),
            ("nats://a?nkey=Cargo.toml&creds=Cargo.toml", "the URL says in two ways"),
        ] {
            let refused = parse(url).unwrap_err();
            assert!(refused.to_string().starts_with(error), "{url}: {refused}");
            assert!(
                !refused.to_string().contains("secret") && !format!("{refused:?}").contains("secret"),
                "{url}"
            );
        }
    }
}
