//! The WebSocket upgrade, its checks in the order of the channels specification, section 2.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bennu_protocol::websocket::{self, Decoder, Role, permessage_deflate};
use bennu_protocol::{Encoding, Serializer};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::answer;
use super::connect::{Asking, NotConnected, Target};
use super::shard::Arrival;
use super::websocket::WebSocket;
use crate::config::SocketOptions;
use crate::connection::Connection;
use crate::metrics::ConnectResult;
use crate::params::QueryError;
use crate::socket::TransportKind;

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
    pub(crate) target: Target<'a>,
}

/// An accepted handshake: the response to send, then the connection to run on the raw stream.
pub struct Upgrade {
    /// The 101 response.
    pub response: Response<Bytes>,
    connection: Connection,
    decoder: Decoder,
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
        let metrics = self.target.metrics(TransportKind::WebSocket);
        let rejected = |_: &Refused| metrics.connect(ConnectResult::Rejected);
        let (asking, subprotocol) = self.prepare(parts, peer).inspect_err(rejected)?;
        let upgrade_key = upgrade_key(&asking.parts.headers);
        let extension = self.extension(&asking.parts.headers);
        let (serializer, connected) =
            self.target.connect(asking).await.map_err(|error| self.refuse(error))?;
        let key = upgrade_key.inspect_err(rejected)?;
        let mount = self.target.mount;
        let connected = (self.encoding(serializer, extension), connected);
        let connection = self.target.connection(connected, &mount.session, TransportKind::WebSocket);
        let connection = connection.await.map_err(|error| self.refuse(error))?;
        metrics.connect(ConnectResult::Ok);
        let response = switching_protocols(&key, subprotocol, extension);
        Ok(Upgrade { response, connection, decoder: self.decoder(extension) })
    }

    /// The answer to a client that offers compression, where the mount has it.
    fn extension(&self, headers: &HeaderMap) -> Option<&'static str> {
        self.target.mount.options.compression?;
        permessage_deflate::answer(values(headers, &header::SEC_WEBSOCKET_EXTENSIONS))
    }

    fn encoding(&self, serializer: Serializer, extension: Option<&str>) -> Encoding {
        let encoding = Encoding::from(serializer);
        match extension {
            Some(_) => encoding.compressed(self.target.endpoint.compression_threshold()),
            None => encoding,
        }
    }

    fn decoder(&self, extension: Option<&str>) -> Decoder {
        let SocketOptions { limits, compression, .. } = &self.target.mount.options;
        let decoder = Decoder::new(Role::Server, *limits);
        match compression.filter(|_| extension.is_some()) {
            Some(compression) => {
                decoder.inflating(compression.max_inflated_size.unwrap_or(limits.max_frame_size))
            }
            None => decoder,
        }
    }

    /// The checks of this transport, up to those that all have in common.
    fn prepare(
        &self,
        mut parts: Parts,
        peer: Option<SocketAddr>,
    ) -> Result<(Asking, Option<String>), Refused> {
        let method_is_get = parts.method == Method::GET;
        if !method_is_get || parts.version != Version::HTTP_11 {
            return Err(empty(StatusCode::BAD_REQUEST));
        }
        let params = self.target.params(&parts).map_err(|error| undecodable(&error))?;
        if !self.target.is_origin_allowed(&parts) {
            return Err(empty(StatusCode::FORBIDDEN));
        }
        let auth_token = self.take_auth_token(&mut parts.headers)?;
        let subprotocol = self.subprotocol(&parts.headers)?;
        let transport = TransportKind::WebSocket;
        Ok((Asking { params, parts, auth_token, peer, transport }, subprotocol))
    }

    /// Takes the token out of the offered sub-protocols, if exactly one entry carries one.
    fn take_auth_token(&self, headers: &mut HeaderMap) -> Result<Option<String>, Refused> {
        if !self.target.mount.options.auth_token {
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
        let options = &self.target.mount.options;
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

    fn refuse(&self, error: NotConnected) -> Refused {
        match (error, &self.target.mount.options.error_handler) {
            (NotConnected::Reason(reason), Some(handler)) => Box::new(handler(&reason)),
            (NotConnected::Reason(_) | NotConnected::Version | NotConnected::Unauthorized, _) => {
                empty(StatusCode::FORBIDDEN)
            }
            (NotConnected::Unavailable { retry_after }, _) => Box::new(answer::unavailable(retry_after)),
            (NotConnected::Failed, _) => Box::new(answer::failed()),
        }
    }
}

impl Upgrade {
    /// Speaks with the client until the connection has ended and its channels with it.
    pub fn run<IO: AsyncRead + AsyncWrite + Unpin + Send>(self, io: IO) -> impl Future<Output = ()> + Send {
        WebSocket::new(io, self.connection, self.decoder).run()
    }

    /// Gives the connection and its TCP stream to one of the endpoint's shards: threads, one for each core by
    /// default, that serve far more connections in far less memory than tasks. `early` is what the client
    /// sent behind its request; `place` is given back when the stream is closed.
    ///
    /// Handlers then run on that thread, in the runtime in which the endpoint's first such
    /// connection was started.
    ///
    /// # Errors
    ///
    /// When the stream cannot be taken out of its runtime, or the shards cannot be started.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    pub fn start(self, tcp: TcpStream, early: &[u8], place: Option<OwnedSemaphorePermit>) -> io::Result<()> {
        let Upgrade { connection, decoder, .. } = self;
        let tcp = tcp.into_std()?;
        let endpoint = connection.endpoint().clone();
        let early = early.into();
        endpoint.shards()?.admit(Arrival { tcp, early, connection, decoder, place })
    }
}

impl std::fmt::Debug for Handshake<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handshake({:?})", self.target.mount.base)
    }
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upgrade({:?})", self.response.status())
    }
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

fn switching_protocols(
    key: &str,
    subprotocol: Option<String>,
    extension: Option<&'static str>,
) -> Response<Bytes> {
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
    if let Some(extension) = extension {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(extension));
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

fn undecodable(error: &QueryError) -> Refused {
    Box::new(answer::undecodable(error))
}

fn empty(status: StatusCode) -> Refused {
    text(status, "")
}

fn text(status: StatusCode, body: &str) -> Refused {
    Box::new(answer::text(status, body))
}
