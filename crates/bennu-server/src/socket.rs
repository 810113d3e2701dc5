//! Who may connect.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bennu_protocol::Topic;
use bennu_token::{Session, TokenError, Tokens};
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, Uri};

use crate::credentials::{RenewRequest, Renewed};
use crate::metrics::ConnectResult;
use crate::origin::RequestHost;
use crate::params::Params;
use crate::redact::FILTERED;

/// What decides about a connection before any channel is joined.
///
/// A value of this type is shared by all connections of a mount; application
/// state belongs in its fields, and what a connection's channels need of it in
/// [`Assigns`](Self::Assigns).
#[doc(alias = "Phoenix.Socket")]
pub trait Socket: Send + Sync + 'static {
    /// What all channels of one connection know about it, such as the user.
    type Assigns: Send + Sync + 'static;

    /// Accepts or refuses a connection.
    ///
    /// There is no default: whoever lets everyone in says so, for instance with [`AllowAnonymous`].
    fn connect(
        &self,
        request: &ConnectRequest,
    ) -> impl Future<Output = Result<Connected<Self::Assigns>, Refusal>> + Send;

    /// Judges a new credential that the client sent over its open connection, so that it need not
    /// reconnect. Only asked on connections that have an [expiry](Connected::expires_at).
    ///
    /// The client pushes the event `token` on the topic `phoenix`, or `access_token` on any channel it joined, with
    /// `{"token": "…"}` or `{"access_token": "…"}`; it is answered ok with `{"expires_in": seconds}`, or error
    /// with the refusal's text as `reason`, which leaves the connection as it was. While this waits,
    /// channels go on. By default it refuses.
    ///
    /// ```
    /// # use bennu_server::{ConnectRequest, Connected, Refusal, RenewRequest, Renewed, Socket};
    /// struct UserSocket;
    ///
    /// impl Socket for UserSocket {
    ///     type Assigns = u64;
    ///
    ///     async fn connect(&self, request: &ConnectRequest) -> Result<Connected<u64>, Refusal> {
    ///         let token = request.tokens().verify::<u64>("user socket", request.params().text("token"))?;
    ///         Ok(Connected::new(token.data)
    ///             .with_id(format!("user_socket:{}", token.data))
    ///             .issued_at(token.signed_at)
    ///             .expires_at(token.expires_at))
    ///     }
    ///
    ///     async fn renew(&self, request: &RenewRequest<u64>) -> Result<Renewed, Refusal> {
    ///         let token = request.tokens().verify::<u64>("user socket", request.token())?;
    ///         // Another user's token makes another id, and the connection refuses it.
    ///         Ok(Renewed::until(token.expires_at)
    ///             .with_id(format!("user_socket:{}", token.data))
    ///             .issued_at(token.signed_at))
    ///     }
    /// }
    /// ```
    fn renew(
        &self,
        request: &RenewRequest<Self::Assigns>,
    ) -> impl Future<Output = Result<Renewed, Refusal>> + Send {
        let _ = request;
        async { Err(Refusal::reason("renewal not supported")) }
    }
}

/// A socket that lets everyone in and knows nothing about them.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAnonymous;

impl Socket for AllowAnonymous {
    type Assigns = ();

    async fn connect(&self, _: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        Ok(Connected::new(()))
    }
}

/// What a client sent to connect.
pub struct ConnectRequest {
    pub(crate) params: Params,
    pub(crate) parts: Parts,
    pub(crate) auth_token: Option<String>,
    pub(crate) session: Option<Session>,
    pub(crate) tokens: Tokens,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) transport: TransportKind,
    pub(crate) vsn: String,
}

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportKind {
    /// A WebSocket.
    WebSocket,
    /// Long polling over HTTP.
    LongPoll,
}

impl TransportKind {
    /// `websocket` or `longpoll`, as in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TransportKind::WebSocket => "websocket",
            TransportKind::LongPoll => "longpoll",
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ConnectRequest {
    /// The query parameters and, over them, the variables of the path.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The HTTP request. Its `cookie` header is withheld where any origin may connect, unless the page
    /// sent its session's token.
    ///
    /// Its extensions are what the server and its layers put there, such as the certificate that a
    /// client showed.
    #[must_use]
    #[doc(alias = "connect_info")]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The headers of the request, without the one that carried the auth token.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Path and query, as sent.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The `user-agent` header.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.parts.headers.get(http::header::USER_AGENT)?.to_str().ok()
    }

    /// All headers whose name starts with `x-`, in their order; names in lower case.
    pub fn x_headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers_with_prefix("x-")
    }

    /// All headers whose name starts with `sec-websocket-`, without the auth token.
    pub fn sec_websocket_headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers_with_prefix("sec-websocket-")
    }

    /// The token that the client's `authToken` option sent, if the mount has `auth_token` on.
    #[must_use]
    pub fn auth_token(&self) -> Option<&str> {
        self.auth_token.as_deref()
    }

    /// Checks tokens with the endpoint's secret, as `Phoenix.Token.verify(socket, …)` does.
    #[must_use]
    #[doc(alias = "Phoenix.Token")]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The session of the web application that the client's cookie carries, if the mount reads it.
    ///
    /// `None` also when the cookie is forged, or when the page did not send its session's token; see
    /// [`SocketOptions::session`](crate::SocketOptions::session).
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The client's address; known when the server was made to pass it on.
    #[must_use]
    #[doc(alias = "peer_data")]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// How the client connects.
    #[must_use]
    pub fn transport(&self) -> TransportKind {
        self.transport
    }

    /// The protocol version as the client wrote it; `1.0.0` when it wrote none.
    #[must_use]
    pub fn vsn(&self) -> &str {
        &self.vsn
    }

    /// The headers `traceparent` and `tracestate`, with which a caller's trace goes on.
    pub fn trace_context_headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers_with_prefix("trace").filter(|(name, _)| ["traceparent", "tracestate"].contains(name))
    }

    /// `https` or `http`, as far as the server was told.
    ///
    /// A server or layer that ends TLS, or knows that a proxy did, says so with an
    /// [`http::uri::Scheme`] among the request's extensions.
    #[must_use]
    pub fn scheme(&self) -> &str {
        RequestHost::of(&self.parts, None).scheme
    }

    /// The host that the client asked for.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        RequestHost::of(&self.parts, None).host
    }

    /// The port that the client asked for, else the usual one of the scheme.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        RequestHost::of(&self.parts, None).port
    }

    fn headers_with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let headers = self.parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        headers.filter(move |(name, _)| name.starts_with(prefix))
    }
}

/// Without secrets: headers and the query string stay out, and what looks like a
/// credential among the parameters is replaced.
impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("transport", &self.transport)
            .field("vsn", &self.vsn)
            .field("path", &self.parts.uri.path())
            .field("params", &self.params)
            .field("auth_token", &self.auth_token.as_ref().map(|_| FILTERED))
            .field("session", &self.session.as_ref().map(|_| FILTERED))
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// An accepted connection.
#[derive(Debug)]
pub struct Connected<A> {
    pub(crate) assigns: A,
    pub(crate) id: Option<Topic>,
    pub(crate) issued_at: Option<SystemTime>,
    pub(crate) expires_at: Option<SystemTime>,
}

impl<A> Connected<A> {
    /// Accepts, with what the channels shall know.
    pub fn new(assigns: A) -> Self {
        Connected { assigns, id: None, issued_at: None, expires_at: None }
    }

    /// Names the connection, so that [`Endpoint::disconnect`](crate::Endpoint::disconnect)
    /// with this id closes it and all others of the same id.
    #[must_use]
    #[doc(alias = "id")]
    pub fn with_id(self, id: impl Into<Topic>) -> Self {
        Connected { id: Some(id.into()), ..self }
    }

    /// Says when the credential was issued, so that [`Endpoint::revoke`](crate::Endpoint::revoke) can tell
    /// it from those issued later. Without it a revoked id cannot connect at all.
    #[must_use]
    pub fn issued_at(self, at: impl Into<Option<SystemTime>>) -> Self {
        Connected { issued_at: at.into(), ..self }
    }

    /// Says until when the credential holds. The client is told before
    /// ([`SocketOptions::expiry_notice`](crate::SocketOptions::expiry_notice)), may bring a new one
    /// ([`Socket::renew`]), and is disconnected then, unless
    /// [`SocketOptions::at_expiry`](crate::SocketOptions::at_expiry) says otherwise. A moment of the past refuses with 403;
    /// `None` is a credential that never expires, as when this is not called.
    #[must_use]
    pub fn expires_at(self, at: impl Into<Option<SystemTime>>) -> Self {
        Connected { expires_at: at.into(), ..self }
    }
}

/// A refused connection. Every error converts into it, so `?` works in `connect`: a token that is
/// missing, invalid or expired becomes [`Unauthorized`](Self::Unauthorized), all else [`Failed`](Self::Failed).
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// Answered with 403 and nothing else.
    Unauthorized,
    /// Answered by the mount's error handler, by default with 403.
    Reason(String),
    /// It could not be decided: logged, and answered with 500.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Refusal {
    fn from(error: E) -> Self {
        let error: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
        match error.downcast_ref::<TokenError>() {
            Some(token) if token.is_unauthorized() => Refusal::Unauthorized,
            _ => Refusal::Failed(error),
        }
    }
}

impl Refusal {
    pub(crate) fn result(&self) -> ConnectResult {
        match self {
            Refusal::Unauthorized | Refusal::Reason(_) => ConnectResult::Refused,
            Refusal::Failed(_) => ConnectResult::Failed,
        }
    }

    /// A refusal that the mount's error handler answers.
    pub fn reason(reason: impl Into<String>) -> Self {
        Refusal::Reason(reason.into())
    }
}

/// What a socket of any type looks like to the mount.
pub(crate) trait AnySocket: Send + Sync {
    fn connect<'a>(&'a self, request: &'a ConnectRequest) -> BoxFuture<'a, Result<AnyConnected, Refusal>>;

    fn renew(&self, request: AnyRenewRequest) -> BoxFuture<'_, Result<Renewed, Refusal>>;
}

/// Assigns of a type that only the channels of the same mount know.
pub(crate) type AnyAssigns = Arc<dyn Any + Send + Sync>;

pub(crate) type AnyConnected = Connected<AnyAssigns>;

pub(crate) type AnyRenewRequest = RenewRequest<dyn Any + Send + Sync>;

impl<S: Socket> AnySocket for S {
    fn connect<'a>(&'a self, request: &'a ConnectRequest) -> BoxFuture<'a, Result<AnyConnected, Refusal>> {
        Box::pin(async move {
            let Connected { assigns, id, issued_at, expires_at } = Socket::connect(self, request).await?;
            Ok(Connected { assigns: Arc::new(assigns) as AnyAssigns, id, issued_at, expires_at })
        })
    }

    fn renew(&self, request: AnyRenewRequest) -> BoxFuture<'_, Result<Renewed, Refusal>> {
        Box::pin(async move {
            let RenewRequest { token, tokens, assigns, id, connection_id } = request;
            let assigns =
                assigns.downcast().expect("the connection has the assigns that this socket gave it");
            Socket::renew(self, &RenewRequest { token, tokens, assigns, id, connection_id }).await
        })
    }
}
