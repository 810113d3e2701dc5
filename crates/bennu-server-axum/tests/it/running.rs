//! A server on a free port, in the test's own process.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::{get, post};
use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, Context, DrainOptions, Endpoint, Handled, HandlerResult, JoinRefusal,
    JoinRequest, Joined, SlowReader, SocketOptions,
};
use bennu_server_axum::{Server, ServerLimits, readiness, sockets};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server. It goes on when this is dropped, until the test's runtime ends.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) endpoint: Endpoint,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<io::Result<()>>,
}

/// How a server differs from the default.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) limits: ServerLimits,
    pub(crate) socket: SocketOptions,
    pub(crate) drain: DrainOptions,
}

struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, _: &mut Context<()>) -> HandlerResult {
        match event {
            "echo" => Handled::reply(payload),
            _ => Handled::unknown_event(event),
        }
    }
}

/// `/socket` with the channels `room:*` and, where slow readers miss some, `cursors:*`.
pub(crate) fn rooms(socket: SocketOptions) -> Endpoint {
    let cursors = SlowReader::drop_oldest().lossy();
    let channels =
        Channels::new().channel::<Room>("room:*").channel::<Room>("cursors:*").slow_reader(cursors);
    let builder = Endpoint::builder(PubSub::local());
    builder.socket("/socket", AllowAnonymous, channels, socket).build().unwrap()
}

impl Running {
    /// `/socket` with the channel `room:*`, and some routes.
    pub(crate) async fn start(settings: Settings) -> Running {
        let Settings { limits, socket, drain } = settings;
        Running::serve(rooms(socket), limits, drain).await
    }

    pub(crate) async fn serve(endpoint: Endpoint, limits: ServerLimits, drain: DrainOptions) -> Running {
        Running::serve_as(endpoint, drain, |server| server.limits(limits)).await
    }

    /// The same, with a server that is changed before it runs.
    pub(crate) async fn serve_as(
        endpoint: Endpoint,
        drain: DrainOptions,
        change: impl FnOnce(Server) -> Server,
    ) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/body", post(|body: String| async move { body.len().to_string() }))
            .route("/unread", post(|| async { "not read" }))
            .route("/hang", get(std::future::pending::<()>))
            .route("/long", get(|| async { vec![b'x'; 16 << 20] }))
            .route("/health/ready", readiness(&endpoint))
            .layer(sockets(&endpoint));
        let (stop, stopped) = oneshot::channel();
        let server = change(Server::new(listener, app)).drain(&endpoint, drain).shutdown(async {
            if stopped.await.is_err() {
                std::future::pending().await
            }
        });
        Running { address, endpoint, stop: Some(stop), server: tokio::spawn(server.run()) }
    }

    /// Tells the server to end.
    pub(crate) fn stop(&mut self) {
        self.stop.take().expect("stopped once").send(()).unwrap();
    }

    /// Waits until the server has ended, in good order.
    pub(crate) async fn ended(self) {
        self.server.await.unwrap().unwrap();
    }
}
