//! One download, redirect by redirect, into a file.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use crate::providers::FETCH_SHARE;
use crate::queue::{Failure, Progress, Stopped, WorkError};

use super::resolve::Checked;
use super::{Fetcher, RefusedAddress};

/// Where a download goes, and how much of it is let in.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The file to make.
    pub path: &'a Path,
    /// No more bytes than this.
    pub max_bytes: u64,
}

const MAX_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server may pause so long between two pieces.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const WHOLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

pub(super) fn client(resolver: Checked) -> reqwest::Result<Client> {
    // Fails only when somebody installed one before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .dns_resolver(std::sync::Arc::new(resolver))
        .no_proxy()
        // Each hop is checked and followed by hand.
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .timeout(WHOLE_TIMEOUT)
        .user_agent(concat!("sound-forge/", env!("CARGO_PKG_VERSION")))
        .build()
}

impl Fetcher {
    /// Downloads a URL that [`understand`](super::Source) made.
    ///
    /// # Errors
    ///
    /// Failed for good when the address is refused, the server says no, or it is too large; to be
    /// tried again when the network or the server is at fault.
    pub async fn fetch(&self, url: &str, target: Target<'_>, progress: &Progress) -> Result<(), WorkError> {
        let fetch = async {
            let response = self.follow(url).await?;
            save(response, target, progress).await
        };
        tokio::select! {
            result = fetch => result,
            () = progress.stopped() => Err(Stopped.into()),
        }
    }

    async fn follow(&self, url: &str) -> Result<Response, WorkError> {
        let mut url = Url::parse(url).map_err(|error| permanent(error.to_string()))?;
        for _ in 0..=MAX_REDIRECTS {
            self.check_url(&url).map_err(|error| permanent(format!("the address {error}")))?;
            let response = self.client.get(url.clone()).send().await.map_err(|error| of_reqwest(&error))?;
            let Some(next) = redirect_of(&url, &response)? else { return accepted(response) };
            url = next;
        }
        Err(permanent(format!("more than {MAX_REDIRECTS} redirects")))
    }
}

fn redirect_of(url: &Url, response: &Response) -> Result<Option<Url>, WorkError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| permanent("a redirect leads nowhere"))?;
    url.join(location).map(Some).map_err(|_| permanent("a redirect leads to no URL"))
}

fn accepted(response: Response) -> Result<Response, WorkError> {
    let status = response.status();
    let reason = format!("the server answered {status}");
    match status {
        status if status.is_success() => Ok(response),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(transient(reason)),
        status if status.is_server_error() => Err(transient(reason)),
        _ => Err(permanent(reason)),
    }
}

async fn save(response: Response, target: Target<'_>, progress: &Progress) -> Result<(), WorkError> {
    let expected = response.content_length();
    if expected.is_some_and(|length| length > target.max_bytes) {
        return Err(too_large(target));
    }
    let mut file = File::create(target.path).await.map_err(|error| of_disk(&error))?;
    let mut pieces = response.bytes_stream();
    let mut received = 0_u64;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| of_reqwest(&error))?;
        received += piece.len() as u64;
        if received > target.max_bytes {
            return Err(too_large(target));
        }
        file.write_all(&piece).await.map_err(|error| of_disk(&error))?;
        let fraction = expected.map_or(0.0, |length| received as f64 / length.max(1) as f64);
        progress.report(fraction * FETCH_SHARE, "Downloading audio...")?;
    }
    file.flush().await.map_err(|error| of_disk(&error))
}

fn too_large(target: Target<'_>) -> WorkError {
    permanent(format!("the file has more than the {} bytes that are let in (--max-upload)", target.max_bytes))
}

fn of_disk(error: &std::io::Error) -> WorkError {
    WorkError::Failed(Failure::of_io("the download could not be stored", error))
}

fn of_reqwest(error: &reqwest::Error) -> WorkError {
    let mut cause = error.source();
    let mut innermost = None;
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<RefusedAddress>() {
            return permanent(format!("the address {refused}"));
        }
        innermost = Some(error);
        cause = error.source();
    }
    let reason = innermost.map_or_else(|| error.to_string(), ToString::to_string);
    transient(format!("the network failed: {reason}"))
}

fn permanent(reason: impl Into<String>) -> WorkError {
    WorkError::Failed(Failure::permanent(reason))
}

fn transient(reason: impl Into<String>) -> WorkError {
    WorkError::Failed(Failure::transient(reason))
}
