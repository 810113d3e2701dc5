//! Which server, and who we are there: what all commands that connect are told.

use std::path::PathBuf;
use std::{env, fmt};

use anyhow::Context as _;
use bennu_client::{Endpoint, Params};
use clap::Args;
use serde_json::Value;

use crate::exit::{Exit, failure};
use crate::secret;

/// The environment's name of the token.
const TOKEN: &str = "BENNU_TOKEN";

/// Which server, and who we are there.
#[derive(Args)]
pub(crate) struct Server {
    /// Where the socket is mounted: wss://example.com/socket; ws://, http:// and https:// work too
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Parameters of the connection, a JSON object: '{"locale": "de"}'
    #[arg(long, value_name = "JSON")]
    params: Option<String>,

    /// Token for the server's auth_token. Others on this machine can see it: better --token-file or the variable BENNU_TOKEN
    #[arg(long, value_name = "TEXT", conflicts_with = "token_file")]
    token: Option<String>,

    /// File with the token; `-` is standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Send the token as the parameter of this name instead, as `token`, for servers that read it from there
    #[arg(long, value_name = "NAME")]
    token_param: Option<String>,

    /// A header of the request: 'Cookie: session=…'; can be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<Header>,
}

/// One header; its value may be a secret.
#[derive(Clone)]
struct Header(String, String);

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.0)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.shown()).finish_non_exhaustive()
    }
}

/// What the options come to.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) url: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) params: Params,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) auth_token: Option<String>,
}

impl Server {
    /// The URL without what may be secret.
    pub(crate) fn shown(&self) -> String {
        without_secrets(&self.url)
    }

    /// Reads what has to be read.
    ///
    /// # Errors
    ///
    /// When the URL or the parameters are none, or a file cannot be read.
    pub(crate) fn access(&self) -> anyhow::Result<Access> {
        let endpoint: Endpoint =
            self.url.parse().map_err(|error| failure(Exit::Usage, format!("{}: {error}", self.shown())))?;
        let mut params = match &self.params {
            Some(text) => Params::of(&object("--params", text)?).context("--params")?,
            None => Params::new(),
        };
        let mut auth_token = self.token()?;
        if let Some(name) = &self.token_param
            && let Some(token) = auth_token.take()
        {
            params = params.with(name.clone(), token);
        }
        let headers = self.headers.iter().map(|Header(name, value)| (name.clone(), value.clone())).collect();
        Ok(Access { url: self.url.clone(), endpoint, params, headers, auth_token })
    }

    /// The option counts, else the file, else the environment.
    fn token(&self) -> anyhow::Result<Option<String>> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(path)) => secret::file(path).map(Some),
            (None, None) => Ok(env::var(TOKEN).ok()),
        }
    }
}

/// A URL, or what somebody takes for one, without credentials, query and fragment.
pub(crate) fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let behind_at = |text: &str| text.rsplit('@').next().unwrap_or_default().to_owned();
    match url.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}//{}{path}", behind_at(authority))
        }
        _ if url.starts_with('/') => url.to_owned(),
        _ => behind_at(url),
    }
}

/// A JSON object that an option was given.
pub(crate) fn object(option: &str, text: &str) -> anyhow::Result<Value> {
    let usage = |what: String| failure(Exit::Usage, format!("{option}: {what}"));
    let value: Value =
        serde_json::from_str(text).map_err(|error| usage(format!("this is no JSON: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(usage("this is JSON, but no object".to_owned())) }
}

fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or("a header is a name, a colon and a value")?;
    Ok(Header(name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_secrets() {
        for (url, expected) in [
            ("wss://user:pa55@h:4000/socket?token=x", "wss://h:4000/socket"),
            ("wss://us@er:pa55@h/@me", "wss://h/@me"),
            ("user:pa55@h/socket?token=x", "h/socket"),
            ("user:pa/5@5@h", "h"),
            ("user:pa//55@h", "h"),
            ("//user:pa55@h/login#token=x", "//h/login"),
            ("/login/@me?token=x", "/login/@me"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), expected, "{url}");
        }
    }
}
