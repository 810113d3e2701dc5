//! Requests to the target, one connection each, so that every check meets what a new client meets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::target::{Target, Tls};

/// So much of an answer is read: a refusal says what it has to say at its beginning.
const MAX_BODY: usize = 1 << 20;

/// What the server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// From the request's first byte to the answer's last.
    pub(super) took: Duration,
}

impl Answer {
    /// A header's text; empty when it is not there.
    pub(super) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// What the body says, as a quotation for one line.
    pub(super) fn quote(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect();
        if text.is_empty() { "with nothing to say".to_owned() } else { format!("saying {text:?}") }
    }
}

/// Either kind of stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Opens a TCP connection to one of the host's addresses.
pub(super) async fn tcp(target: &Target) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect((&*target.host, target.port));
    let stream = within(target.timeout, stream).await?.context("TCP")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens a TCP connection to this address.
pub(super) async fn tcp_to(address: SocketAddr, timeout: Duration) -> anyhow::Result<TcpStream> {
    Ok(within(timeout, TcpStream::connect(address)).await??)
}

pub(super) async fn tls(target: &Target, tls: &Tls) -> anyhow::Result<TlsStream<TcpStream>> {
    let stream = tcp(target).await?;
    let connector = TlsConnector::from(tls.config.clone());
    Ok(within(target.timeout, connector.connect(tls.name.clone(), stream)).await??)
}

async fn open(target: &Target) -> anyhow::Result<Box<dyn Stream>> {
    Ok(match &target.tls {
        Some(tls) => Box::new(self::tls(target, tls).await?),
        None => Box::new(tcp(target).await?),
    })
}

/// A request with what the user wants to be sent along.
pub(super) fn request(
    target: &Target,
    method: Method,
    path: &str,
    body: String,
) -> anyhow::Result<Request<Full<Bytes>>> {
    let is_own = |name: header::HeaderName| {
        target.headers().iter().any(|(own, _)| own.eq_ignore_ascii_case(name.as_str()))
    };
    let mut request = Request::builder().method(method).uri(path);
    if !is_own(header::HOST) {
        request = request.header(header::HOST, target.authority());
    }
    if let Some(authorization) = target.authorization()
        && !is_own(header::AUTHORIZATION)
    {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    for (name, value) in target.headers() {
        request = request.header(name, value);
    }
    request.body(Full::new(body.into())).context("a header or the url cannot be sent")
}

/// Sends a request and reads the answer, which may take the target's timeout and `longer`.
pub(super) async fn send(
    target: &Target,
    request: Request<Full<Bytes>>,
    longer: Duration,
) -> anyhow::Result<Answer> {
    let begin = Instant::now();
    let exchange = async {
        let response = exchange(target, request).await?;
        read(response, begin).await
    };
    within(target.timeout + longer, exchange).await?
}

/// Reads an answer to its end.
pub(super) async fn read(response: Response<Incoming>, begin: Instant) -> anyhow::Result<Answer> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map_err(|error| anyhow!("the answer broke off: {error}"))?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body, took: begin.elapsed() })
}

/// Sends a request and reads the head of the response.
pub(super) async fn exchange(
    target: &Target,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<Incoming>> {
    let stream = TokioIo::new(open(target).await?);
    let (mut sender, connection) = http1::handshake(stream).await.context("HTTP")?;
    // It ends with the response, whose reader hears of every error.
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(request).await?)
}

/// A future that may take so long and not longer.
pub(super) async fn within<T>(timeout: Duration, future: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(timeout, future)
        .await
        .map_err(|_| anyhow!("nothing came within {}", crate::span::describe(timeout)))
}

/// How long a server that refuses asks to be left alone, as it says it.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()
}
