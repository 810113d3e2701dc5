//! The accept loop, the HTTP connections, and the end of both.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::future::RouteFuture;
use bennu_server::{DrainOptions, Endpoint};
use futures_util::future::{BoxFuture, join_all};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tower_service::Service as _;

use crate::accept::Door;
use crate::limits::ServerLimits;
use crate::stream::{ClientStream, HttpStream, Secured};

/// Serves `app` until the program ends: [`Server`] with its defaults.
///
/// # Errors
///
/// None today: failed accepts are tried again.
pub async fn serve(listener: TcpListener, app: Router) -> io::Result<()> {
    Server::new(listener, app).run().await
}

/// An HTTP/1.1 server for sockets and all else that a router has.
///
/// Small frames go out at once (`TCP_NODELAY`), `connect` and handlers know the clients' addresses
/// (`ConnectInfo<SocketAddr>`), and peers that are slow, hostile or too many are bounded by
/// [`ServerLimits`]. With a signal it ends in good order:
///
/// ```no_run
/// # async fn run(listener: tokio::net::TcpListener, app: axum::Router, endpoint: bennu_server::Endpoint) -> std::io::Result<()> {
/// use bennu_server::DrainOptions;
/// use bennu_server_axum::{Server, ServerLimits, stop_signal};
///
/// Server::new(listener, app)
///     .limits(ServerLimits::default().max_connections(50_000))
///     .shutdown(stop_signal()?)
///     .drain(&endpoint, DrainOptions::default())
///     .run()
///     .await
/// # }
/// ```
///
/// With the feature `tls` it serves over TLS ([`Server::tls`]). HTTP/2 and compression of responses are a
/// proxy's in front of it, or another server's: the router runs under `axum::serve` and hyper as well,
/// without these limits.
#[must_use = "a server does nothing until it runs"]
pub struct Server {
    listener: TcpListener,
    app: Router,
    limits: ServerLimits,
    signal: Option<BoxFuture<'static, ()>>,
    delay: Duration,
    drains: Vec<(Endpoint, DrainOptions)>,
    secure: Option<Secure>,
}

/// Makes the stream of a client secure, which begins with a handshake.
pub(crate) type Secure =
    Arc<dyn Fn(TcpStream) -> BoxFuture<'static, io::Result<Box<dyn Secured>>> + Send + Sync>;

impl Server {
    /// A server for this listener and application, with default limits and without an end.
    pub fn new(listener: TcpListener, app: Router) -> Self {
        let limits = ServerLimits::default();
        Server {
            listener,
            app,
            limits,
            signal: None,
            delay: Duration::ZERO,
            drains: Vec::new(),
            secure: None,
        }
    }

    /// Lets `secure` come between TCP and HTTP.
    #[cfg(feature = "tls")]
    pub(crate) fn secured(mut self, secure: Secure) -> Self {
        self.secure = Some(secure);
        self
    }

    /// Sets the limits on connections and requests.
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Ends the server when `signal` is ready; [`stop_signal`] is the usual one.
    pub fn shutdown(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.signal = Some(Box::pin(signal));
        self
    }

    /// How long clients are still let in after the signal, while readiness is already off; none by
    /// default. Give load balancers the time here that they take to notice.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Drains `endpoint` at the end, and takes its readiness away while nobody can be let in. To be
    /// called for each endpoint that the application serves: the sockets of others are cut off when
    /// the program ends.
    pub fn drain(mut self, endpoint: &Endpoint, options: DrainOptions) -> Self {
        self.drains.push((endpoint.clone(), options));
        self
    }

    /// Serves until the signal comes, then ends: nobody is let in any more, idle connections are closed,
    /// requests that are being answered may finish, and the endpoints are drained. Whoever is left at
    /// the latest deadline of the drains (30 s without any) is cut off.
    ///
    /// # Errors
    ///
    /// None today: failed accepts are tried again.
    pub async fn run(self) -> io::Result<()> {
        let Server { listener, app, limits, signal, delay, drains, secure } = self;
        let endpoints = drains.iter().map(|(endpoint, _)| endpoint.clone()).collect();
        let door = Door::new(listener, limits.slots(), endpoints);
        let http = Http::new(app, limits, secure);
        let stop = async {
            match signal {
                Some(signal) => signal.await,
                None => std::future::pending().await,
            }
            tracing::info!("stopping");
            let unready = door.unready();
            tokio::time::sleep(delay).await;
            unready
        };
        let _unready = tokio::select! {
            never = http.accept_all(&door) => match never {},
            unready = stop => unready,
        };
        drop(door);
        http.end(&drains).await;
        Ok(())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { listener, limits, delay, drains, .. } = self;
        let mut debug = f.debug_struct("Server");
        debug.field("listener", listener).field("limits", limits).field("delay", delay);
        debug.field("drains", drains).finish_non_exhaustive()
    }
}

/// Ready when the process is asked to stop, by SIGTERM or Ctrl-C (elsewhere than on Unix Ctrl-C
/// alone). Signals count from the moment of the call.
///
/// # Errors
///
/// When the system does not let the process listen to signals.
#[cfg(unix)]
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Ready when the process is asked to stop, by Ctrl-C.
///
/// # Errors
///
/// None here.
#[cfg(not(unix))]
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C cannot be listened to");
            std::future::pending().await
        }
    })
}

/// What connections are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// End when the request that is being answered is.
    Ending,
    /// End now.
    Over,
}

/// All HTTP connections. Each has a receiver of the phase, so that its sender knows when all are gone.
struct Http {
    app: Router,
    limits: Arc<ServerLimits>,
    builder: http1::Builder,
    phase: watch::Sender<Phase>,
    secure: Option<Secure>,
}

/// What serves one client.
struct Connection {
    app: App,
    limits: Arc<ServerLimits>,
    builder: http1::Builder,
    phase: watch::Receiver<Phase>,
}

impl Http {
    fn new(app: Router, limits: ServerLimits, secure: Option<Secure>) -> Self {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // Hyper's timer runs from the end of the request before; the head's own is in the stream.
            .header_read_timeout(limits.keep_alive_timeout)
            .max_buf_size(limits.max_head_size)
            .max_header_size(limits.max_head_size)
            .max_headers(limits.max_headers);
        Http { app, limits: Arc::new(limits), builder, phase: watch::Sender::new(Phase::Serving), secure }
    }

    async fn accept_all(&self, door: &Door<TcpListener>) -> Infallible {
        loop {
            let (stream, peer, slot) = door.next().await;
            self.start(stream, peer, slot);
        }
    }

    /// Begins to serve a client. The task ends with its connection or with the phases; after an upgrade
    /// it is the socket's that goes on.
    fn start(&self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not set");
        }
        if let Some(bytes) = self.limits.send_buffer
            && let Err(error) = SockRef::from(&stream).set_send_buffer_size(bytes)
        {
            tracing::debug!(%error, "SO_SNDBUF is not set");
        }
        let app = App { router: self.app.clone(), peer };
        let (limits, builder) = (self.limits.clone(), self.builder.clone());
        let connection = Connection { app, limits, builder, phase: self.phase.subscribe() };
        match &self.secure {
            None => tokio::spawn(connection.serve(ClientStream::new(stream, slot))),
            Some(secure) => tokio::spawn(connection.secure(secure(stream), slot)),
        };
    }

    async fn end(self, drains: &[(Endpoint, DrainOptions)]) {
        let deadlines = drains.iter().map(|(_, options)| options.deadline);
        let deadline = Instant::now() + deadlines.max().unwrap_or(DrainOptions::default().deadline);
        self.phase.send_replace(Phase::Ending);
        let sockets = join_all(drains.iter().map(|(endpoint, options)| endpoint.drain(*options)));
        let requests = tokio::time::timeout_at(deadline, self.phase.closed());
        if let (_, Err(_)) = tokio::join!(sockets, requests) {
            tracing::warn!(left = self.phase.receiver_count(), "requests are cut off");
        }
        self.phase.send_replace(Phase::Over);
    }
}

impl Connection {
    /// Shakes hands, in the time that the head of a request may take, then serves.
    async fn secure(
        mut self,
        handshake: impl Future<Output = io::Result<Box<dyn Secured>>> + Send,
        slot: OwnedSemaphorePermit,
    ) {
        let peer = self.app.peer;
        let handshake = tokio::time::timeout(self.limits.header_timeout, handshake);
        let stream = tokio::select! {
            stream = handshake => stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            () = reached(&mut self.phase, Phase::Ending) => return,
        };
        match stream {
            // Boxed, so that the handshake's state is not carried along by the open connection.
            Ok(stream) => Box::pin(self.serve(ClientStream::new(stream, slot))).await,
            Err(error) => tracing::debug!(%error, %peer, "a TLS handshake failed"),
        }
    }

    async fn serve<S>(self, stream: ClientStream<S>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Connection { app, limits, builder, mut phase } = self;
        let peer = app.peer;
        let stream = TokioIo::new(HttpStream::new(stream, limits));
        let mut connection = pin!(builder.serve_connection(stream, app).with_upgrades());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = reached(&mut phase, Phase::Ending) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = reached(&mut phase, Phase::Over) => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %peer, "an HTTP connection ended");
        }
    }
}

async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // An error means that the server is gone, and with it what would tell us more.
    let _ = phase.wait_for(|phase| *phase == wanted || *phase == Phase::Over).await;
}

/// The application, for one client.
struct App {
    router: Router,
    peer: SocketAddr,
}

impl hyper::service::Service<Request<Incoming>> for App {
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        // A router is always ready.
        self.router.clone().call(request)
    }
}
