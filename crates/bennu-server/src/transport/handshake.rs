//! The WebSocket upgrade, its checks in the order of the channels specification, section 2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bennu_protocol::{Serializer, ServerSession, websocket};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncWrite};

use super::websocket::WebSocket;
use crate::connection::{Connection, ConnectionStart};
use crate::endpoint::Endpoint;
use crate::metrics::ConnectResult;
use crate::mount::{Mount, PathPattern};
use crate::origin::{RequestHost, default_port};
use crate::params::{Params, QueryError};
use crate::socket::{AnyConnected, ConnectRequest, Refusal, TransportKind};

/// What the JavaScript client puts before an auth token among the sub-protocols.
/// Despite the name, the rest is in the standard alphabet of base64.
const BEARER: &str = "base64url.bearer.phx.";

/// The standard alphabet, with or without padding.
const TOKEN_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A request to a path where a socket is mounted.
pub struct Handshake<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) mount: &'a Arc<Mount>,
    pub(crate) variables: Vec<(&'a str, &'a str)>,
}

/// An accepted handshake: the response to send, then the connection to run on the raw stream.
pub struct Upgrade {
    /// The 101 response.
    pub response: Response<Bytes>,
    connection: Connection,
    limits: websocket::Limits,
}

/// The response that refuses a connection; boxed, since few calls make one.
type Refused = Box<Response<Bytes>>;

impl Handshake<'_> {
    /// Checks the request, asks the socket's `connect`, and answers.
    ///
    /// # Errors
    ///
    /// The response to send when the connection is refused.
    pub async fn accept(
        &self,
        parts: Parts,
        peer: Option<SocketAddr>,
    ) -> Result<Upgrade, Box<Response<Bytes>>> {
        let transport = TransportKind::WebSocket;
        let metrics = self.mount.metrics.transport(transport);
        let prepared = self.prepare(parts, peer);
        let (request, subprotocol, serializer) =
            prepared.inspect_err(|_| metrics.connect(ConnectResult::Rejected))?;
        let upgrade_key = upgrade_key(&request.parts.headers);
        let connected = self.connect(&request).await?;
        let key = upgrade_key.inspect_err(|_| metrics.connect(ConnectResult::Rejected))?;
        metrics.connect(ConnectResult::Ok);
        Ok(self.upgrade(&key, subprotocol, serializer, connected))
    }

    /// All checks up to those that the socket makes itself.
    fn prepare(
        &self,
        mut parts: Parts,
        peer: Option<SocketAddr>,
    ) -> Result<(ConnectRequest, Option<String>, Serializer), Refused> {
        let method_is_get = parts.method == Method::GET;
        if !method_is_get || parts.version != Version::HTTP_11 {
            return Err(empty(StatusCode::BAD_REQUEST));
        }
        let params = self.params(&parts)?;
        self.check_origin(&parts)?;
        let auth_token = self.take_auth_token(&mut parts.headers)?;
        let subprotocol = self.subprotocol(&parts.headers)?;
        let vsn = vsn(&params)?;
        let serializer = negotiate(&vsn, &self.mount.options.serializers)?;
        self.hide_cookies(&mut parts.headers);
        let transport = TransportKind::WebSocket;
        let request = ConnectRequest { params, parts, auth_token, peer, transport, vsn };
        Ok((request, subprotocol, serializer))
    }

    fn params(&self, parts: &Parts) -> Result<Params, Refused> {
        let decoded = Params::decode(parts.uri.query().unwrap_or_default());
        let mut params = decoded.map_err(|error| match error {
            QueryError::NotUtf8 => empty(StatusCode::BAD_REQUEST),
            QueryError::TooLong => empty(StatusCode::URI_TOO_LONG),
        })?;
        PathPattern::bind(&self.variables, &mut params);
        Ok(params)
    }

    /// Only the first `Origin` counts, and none at all is no browser.
    fn check_origin(&self, parts: &Parts) -> Result<(), Refused> {
        let Some(origin) = parts.headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let scheme = parts.uri.scheme_str().unwrap_or("http");
        let authority = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
        let authority: Option<http::uri::Authority> = authority.or_else(|| parts.uri.authority().cloned());
        let request = RequestHost {
            endpoint_host: self.endpoint.host(),
            scheme,
            host: authority.as_ref().map(http::uri::Authority::host),
            port: authority.as_ref().and_then(|a| a.port_u16()).or_else(|| default_port(scheme)),
        };
        if self.mount.options.check_origin.allows(&origin, &request) {
            return Ok(());
        }
        let hint = &self.mount.options.origin_hint;
        tracing::error!(origin = ?origin, host = ?request.host, "the origin of a connection is not allowed: {hint}");
        Err(empty(StatusCode::FORBIDDEN))
    }

    /// Takes the token out of the offered sub-protocols, if exactly one entry carries one.
    fn take_auth_token(&self, headers: &mut HeaderMap) -> Result<Option<String>, Refused> {
        if !self.mount.options.auth_token {
            return Ok(None);
        }
        let Some(offered) = header_text(headers, &header::SEC_WEBSOCKET_PROTOCOL) else { return Ok(None) };
        let entries: Vec<&str> = offered.split(',').map(str::trim).collect();
        let bearers = entries.iter().filter_map(|entry| entry.strip_prefix(BEARER));
        let [encoded] = bearers.collect::<Vec<_>>()[..] else { return Ok(None) };
        // Phoenix fails with 500 here; a token that cannot be read is the client's fault.
        let token = TOKEN_BASE64.decode(encoded).map_err(|_| empty(StatusCode::BAD_REQUEST))?;
        let token = String::from_utf8(token).map_err(|_| empty(StatusCode::BAD_REQUEST))?;
        let rest: Vec<&str> = entries.into_iter().filter(|entry| !entry.starts_with(BEARER)).collect();
        let rest = HeaderValue::from_str(&rest.join(", "));
        headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        if let Some(rest) = rest.ok().filter(|rest| !rest.is_empty()) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, rest);
        }
        Ok(Some(token))
    }

    /// The first of the server's sub-protocols that the client offers too.
    fn subprotocol(&self, headers: &HeaderMap) -> Result<Option<String>, Refused> {
        let options = &self.mount.options;
        let phoenix = options.auth_token.then_some("phoenix");
        let mut served =
            phoenix.into_iter().chain(options.subprotocols.iter().map(String::as_str)).peekable();
        let Some(offered) = header_text(headers, &header::SEC_WEBSOCKET_PROTOCOL) else { return Ok(None) };
        if served.peek().is_none() {
            return Ok(None);
        }
        let offered: Vec<&str> = offered.split(',').map(str::trim).collect();
        let chosen = served.find(|name| offered.contains(name));
        chosen.map(|name| Some(name.to_owned())).ok_or_else(|| empty(StatusCode::FORBIDDEN))
    }

    /// Where any page may connect, a cookie would let it act for its visitor.
    fn hide_cookies(&self, headers: &mut HeaderMap) {
        if matches!(self.mount.options.check_origin, crate::CheckOrigin::Any) {
            headers.remove(header::COOKIE);
        }
    }

    async fn connect(&self, request: &ConnectRequest) -> Result<AnyConnected, Refused> {
        let started = Instant::now();
        let connecting = std::panic::AssertUnwindSafe(async { self.mount.socket.connect(request).await });
        let result = connecting.catch_unwind().await;
        let duration = started.elapsed();
        let metrics = self.mount.metrics.transport(request.transport);
        metrics.connect_took(duration);
        match result {
            Ok(Ok(connected)) => {
                tracing::info!(mount = self.mount.base, ?request, ?duration, "connected");
                Ok(connected)
            }
            Ok(Err(refusal)) => {
                metrics.connect(refusal.result());
                tracing::info!(mount = self.mount.base, ?request, ?duration, ?refusal, "refused connection");
                Err(self.refuse(&refusal))
            }
            Err(_) => {
                metrics.connect(ConnectResult::Failed);
                tracing::error!(mount = self.mount.base, ?request, "connect panicked");
                Err(failed())
            }
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Refused {
        match (refusal, &self.mount.options.error_handler) {
            (Refusal::Reason(reason), Some(handler)) => Box::new(handler(reason)),
            (Refusal::Reason(_), None) | (Refusal::Unauthorized, _) => empty(StatusCode::FORBIDDEN),
            (Refusal::Failed(error), _) => {
                tracing::error!(%error, "connect failed");
                failed()
            }
        }
    }

    fn upgrade(
        &self,
        key: &str,
        subprotocol: Option<String>,
        serializer: Serializer,
        connected: AnyConnected,
    ) -> Upgrade {
        let now = tokio::time::Instant::now().into_std();
        let session = ServerSession::new(serializer, self.mount.session.clone(), now);
        let connection = Connection::new(ConnectionStart {
            session,
            mount: self.mount.clone(),
            endpoint: self.endpoint.clone(),
            assigns: connected.assigns,
            socket_id: connected.id,
            transport: TransportKind::WebSocket,
        });
        let response = switching_protocols(key, subprotocol);
        Upgrade { response, connection, limits: self.mount.options.limits }
    }
}

impl Upgrade {
    /// Speaks with the client until the connection has ended and its channels with it.
    pub fn run<IO: AsyncRead + AsyncWrite + Unpin + Send>(self, io: IO) -> impl Future<Output = ()> + Send {
        WebSocket::new(io, self.connection, self.limits).run()
    }
}

impl std::fmt::Debug for Handshake<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handshake({:?})", self.mount.path)
    }
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upgrade({:?})", self.response.status())
    }
}

/// The version as the client wrote it; a list or map is none.
fn vsn(params: &Params) -> Result<String, Refused> {
    match (params.get("vsn"), params.text("vsn")) {
        (None, _) => Ok(Serializer::V1.vsn().to_owned()),
        (Some(_), Some(vsn)) => Ok(vsn.to_owned()),
        (Some(_), None) => Err(empty(StatusCode::FORBIDDEN)),
    }
}

fn negotiate(vsn: &str, served: &[Serializer]) -> Result<Serializer, Refused> {
    let serializer = Serializer::negotiate(vsn).map_err(|error| {
        tracing::warn!(%error, "a client speaks another version of the protocol");
        empty(StatusCode::FORBIDDEN)
    })?;
    if !served.contains(&serializer) {
        tracing::warn!(vsn, "a client speaks a version that this socket does not serve");
        return Err(empty(StatusCode::FORBIDDEN));
    }
    Ok(serializer)
}

/// RFC 6455, 4.2.1, with the messages that Phoenix's clients' users know.
fn upgrade_key(headers: &HeaderMap) -> Result<String, Refused> {
    let bad = |message: String| Err(text(StatusCode::BAD_REQUEST, &message));
    if !headers.contains_key(header::HOST) {
        return bad("'host' header is absent".to_owned());
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        let got = values(headers, &header::CONNECTION);
        return bad(format!("'connection' header must contain 'upgrade', got {got:?}"));
    }
    if !has_token(headers, &header::UPGRADE, "websocket") {
        let got = values(headers, &header::UPGRADE);
        return bad(format!("'upgrade' header must contain 'websocket', got {got:?}"));
    }
    let Some(key) = header_text(headers, &header::SEC_WEBSOCKET_KEY) else {
        return bad("'sec-websocket-key' header is absent".to_owned());
    };
    let version = values(headers, &header::SEC_WEBSOCKET_VERSION);
    if version != [websocket::handshake::VERSION] {
        return bad(format!("'sec-websocket-version' header must equal '13', got {version:?}"));
    }
    Ok(key.to_owned())
}

fn switching_protocols(key: &str, subprotocol: Option<String>) -> Response<Bytes> {
    let digest = Sha1::digest(websocket::handshake::accept_source(key));
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    let mut response = *empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(Ok(name)) = subprotocol.map(|name| HeaderValue::from_str(&name)) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    response
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut tokens = values(headers, name).into_iter().flat_map(|value| value.split(','));
    tokens.any(|value| value.trim().eq_ignore_ascii_case(token))
}

fn empty(status: StatusCode) -> Refused {
    text(status, "")
}

/// What a page shows where a socket should be, as Phoenix's own does.
fn failed() -> Refused {
    let mut response = text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

fn text(status: StatusCode, body: &str) -> Refused {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = status;
    let caching = HeaderValue::from_static("max-age=0, private, must-revalidate");
    response.headers_mut().insert(header::CACHE_CONTROL, caching);
    Box::new(response)
}
