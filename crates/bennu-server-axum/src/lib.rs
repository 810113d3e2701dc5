//! Mounts an [`Endpoint`] in axum, or in any tower service on hyper.
//!
//! ```
//! use axum::{Router, routing::get};
//! use bennu_server::{AllowAnonymous, Channels, Endpoint, SocketOptions};
//!
//! # fn app(pubsub: bennu_pubsub::PubSub) -> Result<Router, bennu_server::BuildError> {
//! let endpoint = Endpoint::builder(pubsub)
//!     .socket("/socket", AllowAnonymous, Channels::new(), SocketOptions::default())
//!     .build()?;
//! let app = Router::new()
//!     .route("/", get(|| async { "hello" }))
//!     .layer(bennu_server_axum::sockets(&endpoint));
//! # Ok(app)
//! # }
//! ```
//!
//! Requests to the endpoint's sockets are answered before the application's own
//! routes and layers see them; all others pass.

mod accept;
mod health;
mod limits;
mod readiness;
mod request_scan;
mod server;
mod stream;
#[cfg(feature = "tls")]
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::ConnectInfo;
use bennu_server::{Endpoint, Handshake, Transport, Upgrade};
use http::request::Parts;
use http::{Request, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tower_layer::Layer;
use tower_service::Service;

pub use health::health;
pub use limits::ServerLimits;
pub use readiness::readiness;
pub use server::{Server, serve, stop_signal};
/// The rustls that [`Server::tls`] takes its configuration from.
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;

use stream::{HttpStream, Secured};

/// A layer, not a router, that serves the endpoint's sockets: for `Router::layer` on the
/// outermost router, after its routes.
///
/// Give the router's service connect info (`into_make_service_with_connect_info::<SocketAddr>()`)
/// if `connect` should know the clients' addresses, and set `TCP_NODELAY`; [`serve`] does both.
#[must_use]
pub fn sockets(endpoint: &Endpoint) -> SocketLayer {
    SocketLayer { endpoint: endpoint.clone() }
}

/// Made by [`sockets`].
#[derive(Debug, Clone)]
pub struct SocketLayer {
    endpoint: Endpoint,
}

impl<S> Layer<S> for SocketLayer {
    type Service = SocketService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SocketService { endpoint: self.endpoint.clone(), inner }
    }
}

/// Serves sockets, and passes everything else on.
#[derive(Debug, Clone)]
pub struct SocketService<S> {
    endpoint: Endpoint,
    inner: S,
}

impl<S> Service<Request<Body>> for SocketService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if self.endpoint.route(request.uri().path()).is_none() {
            return Box::pin(self.inner.call(request));
        }
        let endpoint = self.endpoint.clone();
        Box::pin(async move { Ok(answer(&endpoint, request).await.map(Body::from)) })
    }
}

async fn answer(endpoint: &Endpoint, request: Request<Body>) -> Response<axum::body::Bytes> {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let path = parts.uri.path().to_owned();
    match endpoint.route(&path) {
        Some(Transport::WebSocket(handshake)) => {
            let on_upgrade = parts.extensions.remove::<OnUpgrade>();
            upgrade(&handshake, parts, peer, on_upgrade).await
        }
        Some(Transport::LongPoll(longpoll)) => longpoll.answer(parts, peer, body).await,
        Some(_) => status(http::StatusCode::NOT_IMPLEMENTED),
        None => status(http::StatusCode::NOT_FOUND),
    }
}

async fn upgrade(
    handshake: &Handshake<'_>,
    parts: Parts,
    peer: Option<SocketAddr>,
    on_upgrade: Option<OnUpgrade>,
) -> Response<axum::body::Bytes> {
    match (handshake.accept(parts, peer).await, on_upgrade) {
        (Ok(upgrade), Some(on_upgrade)) => switch(upgrade, on_upgrade),
        // Accepted, but this server cannot hand out the stream.
        (Ok(_), None) => status(http::StatusCode::NOT_IMPLEMENTED),
        (Err(refused), _) => *refused,
    }
}

/// Runs the connection on the raw stream once hyper has sent the response.
fn switch(mut upgrade: Upgrade, on_upgrade: OnUpgrade) -> Response<axum::body::Bytes> {
    let response = std::mem::take(&mut upgrade.response);
    // The task ends with its connection, and the endpoint counts and closes those.
    tokio::spawn(async move {
        match on_upgrade.await.map(Upgraded::downcast::<TokioIo<HttpStream>>) {
            Ok(Ok(parts)) => parts.io.into_inner().hand_over(upgrade, &parts.read_buf),
            Ok(Err(stream)) => run_wrapped(upgrade, stream).await,
            Err(error) => tracing::debug!(%error, "the client left during the handshake"),
        }
    });
    response
}

/// Over TLS, or under another server. Boxed, so that the handshake's state is not carried along by the open connection.
fn run_wrapped(upgrade: Upgrade, stream: Upgraded) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    match stream.downcast::<TokioIo<HttpStream<Box<dyn Secured>>>>() {
        Ok(parts) => Box::pin(upgrade.run(parts.io.into_inner().upgraded(&parts.read_buf))),
        Err(stream) => Box::pin(upgrade.run(TokioIo::new(stream))),
    }
}

fn status(status: http::StatusCode) -> Response<axum::body::Bytes> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}
