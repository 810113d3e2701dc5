//! Servers for the program to talk to: bennu's own, and ones that are broken on purpose.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu::axum::rustls::ServerConfig;
use bennu::prelude::*;
use bennu::{CheckOrigin, Compression, LongPollOptions};
use bennu_protocol::websocket::handshake::accept_source;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};
use tokio::runtime::Runtime;

/// A server of bennu in this process, on a free port; dropping it ends it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) endpoint: Endpoint,
    runtime: Option<Runtime>,
}

impl Server {
    /// What `reference-server clients` serves, with everything that `doctor` looks at as it should be.
    pub(crate) fn start() -> Server {
        Server::with(options())
    }

    pub(crate) fn with(options: SocketOptions) -> Server {
        Server::serve(options, Ipv4Addr::LOCALHOST, None)
    }

    /// Over TLS.
    pub(crate) fn secure(config: ServerConfig) -> Server {
        Server::serve(options(), Ipv4Addr::LOCALHOST, Some(config))
    }

    fn serve(options: SocketOptions, address: Ipv4Addr, tls: Option<ServerConfig>) -> Server {
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        Server::on(listener, options, tls)
    }

    fn on(listener: TcpListener, options: SocketOptions, tls: Option<ServerConfig>) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let address = listener.local_addr().expect("it listens");
        listener.set_nonblocking(true).expect("a socket");
        let endpoint = runtime.block_on(async { endpoint(options) });
        let app = Router::new().layer(bennu::axum::sockets(&endpoint));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let server = bennu::axum::Server::new(listener, app);
            let server = match tls {
                Some(config) => server.tls(config),
                None => server,
            };
            server.run().await
        });
        Server { address, endpoint, runtime: Some(runtime) }
    }

    /// Where its socket is.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/socket", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The options of a deployment that `doctor` finds nothing wrong with.
pub(crate) fn options() -> SocketOptions {
    SocketOptions::default()
        .check_origin(CheckOrigin::Host)
        .auth_token(true)
        .compression(Compression::default())
        .longpoll(LongPollOptions::new().window(Duration::from_secs(2)))
}

fn endpoint(options: SocketOptions) -> Endpoint {
    let pubsub = PubSub::local();
    let channels = Channels::new().channel::<RoomChannel>("room:*");
    let socket = ClientsSocket { presence: Presence::new(pubsub.clone()) };
    Endpoint::builder(pubsub).socket("/socket", socket, channels, options).build().expect("an endpoint")
}

struct ClientsSocket {
    presence: Presence,
}

impl Socket for ClientsSocket {
    type Assigns = Presence;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<Presence>, Refusal> {
        let bad = request.params().text("token") == Some("bad") || request.auth_token() == Some("bad");
        let wanted = request.params().text("want_token").is_some();
        let good = request.params().text("token").or(request.auth_token()) == Some("good");
        if bad || (wanted && !good) {
            Err(Refusal::Unauthorized)
        } else {
            Ok(Connected::new(self.presence.clone()))
        }
    }
}

struct RoomChannel {
    presence: presence::Owner,
    key: String,
}

impl Channel for RoomChannel {
    type Assigns = Presence;

    async fn join(request: JoinRequest<Presence>) -> Result<Joined<Self>, JoinRefusal> {
        if request.rest() == "deny" {
            return Err(JoinRefusal::reason("unauthorized"));
        }
        let payload: Value = request.payload().parse().unwrap_or_default();
        let key = payload["user"].as_str().map_or_else(|| request.connection_id().to_string(), str::to_owned);
        let channel = RoomChannel { presence: request.assigns().owner(), key };
        Joined::with_response(channel, json!({ "joined": request.topic() }))
    }

    async fn after_join(&mut self, cx: &mut Context<Presence>) -> Result<(), ChannelError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.presence.track(cx.topic(), &self.key, json!({ "online_at": now.as_secs() }))?;
        cx.push("presence_state", self.presence.list(cx.topic()).await)?;
        Ok(())
    }

    async fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Presence>,
    ) -> HandlerResult {
        match event {
            "echo" => Handled::reply(payload),
            "fail" => Handled::error(json!({ "reason": "nope" })),
            "silent" => Handled::no_reply(),
            "shout" => {
                cx.broadcast("shout", payload)?;
                Handled::ok()
            }
            "crash" => panic!("asked to crash"),
            "drop_me" => {
                cx.disconnect();
                Handled::no_reply()
            }
            _ => Handled::ok(),
        }
    }
}

/// A server that answers every connection in its own way, each in a thread.
pub(crate) struct Broken {
    pub(crate) address: SocketAddr,
}

/// A request's head, and the connection it came on.
pub(crate) struct Asked {
    /// The first line and the headers.
    pub(crate) head: String,
    pub(crate) stream: TcpStream,
}

impl Broken {
    /// Threads end with the test process; their connections end when the program that is tested does.
    pub(crate) fn start(answer: impl Fn(Asked) + Send + Sync + 'static) -> Broken {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = answer.clone();
                std::thread::spawn(move || {
                    if let Some(asked) = Asked::read(stream) {
                        answer(asked);
                    }
                });
            }
        });
        Broken { address }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/socket", self.address)
    }
}

impl Asked {
    fn read(mut stream: TcpStream) -> Option<Asked> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        Some(Asked { head: String::from_utf8(head).ok()?, stream })
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn wants_upgrade(&self) -> bool {
        self.header("upgrade").is_some()
    }

    /// Writes an answer with these further headers, and closes.
    pub(crate) fn answer(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        // Whoever asked may have gone.
        let _ = write!(
            self.stream,
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
        );
    }

    /// Accepts the upgrade, and gives the raw stream.
    pub(crate) fn upgrade(mut self, headers: &str) -> TcpStream {
        let key = self.header("sec-websocket-key").expect("an upgrade has a key");
        let accept = STANDARD.encode(Sha1::digest(accept_source(key)));
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n{headers}\r\n"
        );
        self.stream.write_all(head.as_bytes()).expect("whoever asked waits");
        self.stream
    }

    /// Hands the request to a real server, and gives both streams.
    pub(crate) fn forward(self, to: SocketAddr) -> (TcpStream, TcpStream) {
        let mut server = TcpStream::connect(to).expect("the server listens");
        server.write_all(self.head.as_bytes()).expect("the server reads");
        (self.stream, server)
    }
}

/// Carries bytes one way until either side ends.
pub(crate) fn carry(mut from: TcpStream, mut to: TcpStream) {
    // An error is an end too.
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// A way to a server that can be cut and mended.
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    is_cut: Arc<AtomicBool>,
}

impl Way {
    pub(crate) fn to(server: SocketAddr) -> Way {
        let open = Arc::<Mutex<Vec<TcpStream>>>::default();
        let is_cut = Arc::<AtomicBool>::default();
        let (streams, cut) = (Arc::clone(&open), Arc::clone(&is_cut));
        let proxy = Broken::start(move |asked| {
            if cut.load(Ordering::SeqCst) {
                return;
            }
            let (client, server) = asked.forward(server);
            let back = (server.try_clone().expect("a stream"), client.try_clone().expect("a stream"));
            streams.lock().expect("no test panics here").push(client.try_clone().expect("a stream"));
            std::thread::spawn(move || carry(client, server));
            carry(back.0, back.1);
        });
        Way { address: proxy.address, open, is_cut }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/socket", self.address)
    }

    /// Ends all connections, and lets no new one through.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().expect("no test panics here").drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}
