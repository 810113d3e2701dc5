//! The official npm clients on connections whose credential expires.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use bennu::prelude::*;

use crate::npm_clients::run_script;

#[test]
fn phoenix_1_8_16_renews_and_comes_back() {
    run_script("credentials.mjs", "phoenix-1.8", "1.8.16", serve());
}

#[test]
fn phoenix_1_5_14_renews_and_comes_back() {
    run_script("credentials.mjs", "phoenix-1.5", "1.5.14", serve());
}

/// A token is how many seconds it holds, from the moment it is shown.
struct SecondsSocket;

fn expiry(token: &str) -> Result<SystemTime, Refusal> {
    let seconds = token.parse().map_err(|_| Refusal::Unauthorized)?;
    Ok(SystemTime::now() + Duration::from_secs(seconds))
}

impl Socket for SecondsSocket {
    type Assigns = ();

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        let token = request.params().text("token").unwrap_or_default();
        Ok(Connected::new(()).expires_at(expiry(token)?))
    }

    async fn renew(&self, request: &RenewRequest<()>) -> Result<Renewed, Refusal> {
        Ok(Renewed::until(expiry(request.token())?))
    }
}

struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }
}

/// Serves on a free port, on a thread of its own that ends with the test process.
fn serve() -> SocketAddr {
    let (told, address) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime starts").block_on(async {
            let options = SocketOptions::default().check_origin(CheckOrigin::Any);
            let endpoint = Endpoint::builder(PubSub::local())
                .socket("/socket", SecondsSocket, Channels::new().channel::<Room>("room:*"), options)
                .build()
                .expect("the patterns are right");
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            told.send(listener.local_addr().expect("it is bound")).expect("the test waits");
            let app = axum::Router::new().layer(bennu::axum::sockets(&endpoint));
            bennu::axum::serve(listener, app).await.expect("it serves until the process ends");
        });
    });
    address.recv().expect("the server starts")
}
