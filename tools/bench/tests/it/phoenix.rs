//! The load application of the contract, in the tests' process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};

use bennu::axum::Server;
use bennu::prelude::*;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Starts a server that lives as long as the process.
pub(crate) fn start() -> SocketAddr {
    start_with(None)
}

/// The same behind TLS, with a certificate of its own that goes into a file.
pub(crate) fn start_tls(certificate: &Path) -> SocketAddr {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(certificate, made.cert.pem()).expect("a folder to write to");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    start_with(Some(config.expect("the key fits")))
}

fn start_with(tls: Option<ServerConfig>) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            tell.send(listener.local_addr().expect("it is bound")).expect("the test waits");
            let app = axum::Router::new().layer(bennu::axum::sockets(&endpoint()));
            let server = Server::new(listener, app);
            match tls {
                Some(config) => server.tls(config).run().await,
                None => server.run().await,
            }
        })
    });
    told.recv().expect("the server starts")
}

fn endpoint() -> Endpoint {
    let pubsub = PubSub::local();
    let presence = Presence::new(pubsub.clone());
    let channels = Channels::new().channel::<Room>("room:*").channel::<Lobby>("presence:*");
    let socket = Open { presence };
    let endpoint = Endpoint::builder(pubsub).socket("/socket", socket, channels, SocketOptions::default());
    endpoint.build().expect("the patterns differ")
}

struct Open {
    presence: Presence,
}

impl Socket for Open {
    type Assigns = Presence;

    async fn connect(&self, _: &ConnectRequest) -> Result<Connected<Presence>, Refusal> {
        Ok(Connected::new(self.presence.clone()))
    }
}

struct Room;

impl Channel for Room {
    type Assigns = Presence;

    async fn join(_: JoinRequest<Presence>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Presence>,
    ) -> HandlerResult {
        match event {
            "echo" => Handled::reply(payload),
            "shout" => {
                cx.broadcast("shout", payload)?;
                Handled::no_reply()
            }
            _ => Handled::unknown_event(event),
        }
    }
}

struct Lobby {
    presence: presence::Owner,
    key: String,
}

impl Channel for Lobby {
    type Assigns = Presence;

    async fn join(request: JoinRequest<Presence>) -> Result<Joined<Self>, JoinRefusal> {
        let payload: Value = request.payload().parse().unwrap_or_default();
        let key = payload["name"].as_str().unwrap_or_default().to_owned();
        Ok(Joined::new(Lobby { presence: request.assigns().owner(), key }))
    }

    async fn after_join(&mut self, cx: &mut Context<Presence>) -> Result<(), ChannelError> {
        self.presence.track(cx.topic(), &self.key, json!({}))?;
        cx.push("presence_state", self.presence.list(cx.topic()).await)?;
        Ok(())
    }
}
