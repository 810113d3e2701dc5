//! What every transport does between a request and a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bennu_protocol::{Encoding, Serializer, ServerSession, SessionConfig};
use bennu_token::Session;
use futures_util::FutureExt as _;
use http::header;
use http::request::Parts;

use crate::broadcast::settle;
use crate::connection::{Connection, ConnectionStart};
use crate::endpoint::Endpoint;
use crate::metrics::{ConnectResult, TransportMetrics};
use crate::mount::{Mount, PathPattern};
use crate::origin::{CheckOrigin, RequestHost};
use crate::params::{Params, QueryError};
use crate::socket::{AnyConnected, ConnectRequest, Refusal, TransportKind};

/// A mounted socket, and what the path of a request to it says.
pub(crate) struct Target<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) mount: &'a Arc<Mount>,
    pub(crate) variables: Vec<(&'a str, &'a str)>,
}

/// A request that passed the transport's own checks.
pub(crate) struct Asking {
    pub(crate) params: Params,
    pub(crate) parts: Parts,
    pub(crate) auth_token: Option<String>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) transport: TransportKind,
}

/// Why there is no connection; each transport has its own answers.
#[derive(Debug)]
pub(crate) enum NotConnected {
    /// The client speaks no version that we speak.
    Version,
    /// `connect` refused, without a reason.
    Unauthorized,
    /// `connect` refused, with a reason for the mount's error handler.
    Reason(String),
    /// `connect` failed or panicked.
    Failed,
    /// The endpoint drains, or has let in enough for now.
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

impl Target<'_> {
    pub(crate) fn params(&self, parts: &Parts) -> Result<Params, QueryError> {
        let mut params = Params::decode(parts.uri.query().unwrap_or_default())?;
        PathPattern::bind(&self.variables, &mut params);
        Ok(params)
    }

    /// Only the first `Origin` counts, and none at all is no browser.
    pub(crate) fn is_origin_allowed(&self, parts: &Parts) -> bool {
        let Some(origin) = parts.headers.get(header::ORIGIN) else { return true };
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let request = RequestHost::of(parts, self.endpoint.host());
        if self.mount.options.check_origin.allows(&origin, &request) {
            return true;
        }
        let hint = &self.mount.options.origin_hint;
        tracing::error!(origin = ?origin, host = ?request.host, "the origin of a connection is not allowed: {hint}");
        false
    }

    pub(crate) fn metrics(&self, transport: TransportKind) -> &TransportMetrics {
        self.mount.metrics.transport(transport)
    }

    /// Agrees on a version, then asks the socket's `connect`.
    pub(crate) async fn connect(&self, asking: Asking) -> Result<(Serializer, AnyConnected), NotConnected> {
        let Asking { params, mut parts, auth_token, peer, transport } = asking;
        let metrics = self.metrics(transport);
        let agreed =
            vsn(&params).and_then(|vsn| Ok((negotiate(&vsn, &self.mount.options.serializers)?, vsn)));
        let (serializer, vsn) = agreed.inspect_err(|_| metrics.connect(ConnectResult::Rejected))?;
        self.endpoint.admit().inspect_err(|_| metrics.connect(ConnectResult::Rejected))?;
        let session = self.session(&mut parts, &params);
        let tokens = self.endpoint.tokens().clone();
        let request = ConnectRequest { params, parts, auth_token, session, tokens, peer, transport, vsn };
        let connected = self.ask(&request).await?;
        Ok((serializer, connected))
    }

    /// The connection of an accepted client, with the rules of its transport; none if its credential has
    /// expired or is revoked. It is there once what disconnects it on other nodes arrives.
    pub(crate) async fn connection(
        &self,
        connected: (impl Into<Encoding>, AnyConnected),
        session: &Arc<SessionConfig>,
        transport: TransportKind,
    ) -> Result<Connection, NotConnected> {
        let pubsub = self.endpoint.pubsub();
        let id = connected.1.id.clone();
        let connection = self.begin(connected, session, transport)?;
        if let Some(id) = id.filter(|id| !pubsub.is_settled(id)) {
            settle(pubsub, &id).await;
        }
        Ok(connection)
    }

    fn begin(
        &self,
        (encoding, connected): (impl Into<Encoding>, AnyConnected),
        session: &Arc<SessionConfig>,
        transport: TransportKind,
    ) -> Result<Connection, NotConnected> {
        let now = tokio::time::Instant::now().into_std();
        let connection = Connection::new(ConnectionStart {
            session: ServerSession::new(encoding, session.clone(), now),
            mount: self.mount.clone(),
            endpoint: self.endpoint.clone(),
            connected,
            transport,
        });
        connection.map_err(|refusal| {
            self.metrics(transport).connect(refusal.result());
            tracing::info!(mount = self.mount.base, "refused a credential that has expired or is revoked");
            refusal.into()
        })
    }

    /// The session, if there is one to be seen. Where any page may connect, a cookie would let it
    /// act for its visitor, so that cookies are withheld from all that do not know the session's token.
    fn session(&self, parts: &mut Parts, params: &Params) -> Option<Session> {
        let options = &self.mount.options;
        let session = options.session.read(self.endpoint.tokens(), &parts.headers, params);
        if session.is_none() && matches!(options.check_origin, CheckOrigin::Any) {
            parts.headers.remove(header::COOKIE);
        }
        session
    }

    async fn ask(&self, request: &ConnectRequest) -> Result<AnyConnected, NotConnected> {
        let started = Instant::now();
        let connecting = std::panic::AssertUnwindSafe(async { self.mount.socket.connect(request).await });
        let result = connecting.catch_unwind().await;
        let duration = started.elapsed();
        let metrics = self.metrics(request.transport);
        metrics.connect_took(duration);
        match result {
            Ok(Ok(connected)) => {
                tracing::info!(mount = self.mount.base, ?request, ?duration, "connected");
                Ok(connected)
            }
            Ok(Err(refusal)) => {
                metrics.connect(refusal.result());
                tracing::info!(mount = self.mount.base, ?request, ?duration, ?refusal, "refused connection");
                Err(refusal.into())
            }
            Err(_) => {
                metrics.connect(ConnectResult::Failed);
                tracing::error!(mount = self.mount.base, ?request, "connect panicked");
                Err(NotConnected::Failed)
            }
        }
    }
}

impl From<Refusal> for NotConnected {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthorized => NotConnected::Unauthorized,
            Refusal::Reason(reason) => NotConnected::Reason(reason),
            Refusal::Failed(error) => {
                tracing::error!(%error, "connect failed");
                NotConnected::Failed
            }
        }
    }
}

/// The version as the client wrote it; a list or map is none.
fn vsn(params: &Params) -> Result<String, NotConnected> {
    match (params.get("vsn"), params.text("vsn")) {
        (None, _) => Ok(Serializer::V1.vsn().to_owned()),
        (Some(_), Some(vsn)) => Ok(vsn.to_owned()),
        (Some(_), None) => Err(NotConnected::Version),
    }
}

fn negotiate(vsn: &str, served: &[Serializer]) -> Result<Serializer, NotConnected> {
    let serializer = Serializer::negotiate(vsn).map_err(|error| {
        tracing::warn!(%error, "a client speaks another version of the protocol");
        NotConnected::Version
    })?;
    if !served.contains(&serializer) {
        tracing::warn!(vsn, "a client speaks a version that this socket does not serve");
        return Err(NotConnected::Version);
    }
    Ok(serializer)
}
