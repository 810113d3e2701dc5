//! Connecting.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bennu_protocol::Serializer;
use bennu_server::{Endpoint, Handshake, Transport};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::arrivals::Arrivals;
use crate::link::Link;
use crate::socket::TestSocket;

/// How long assertions wait unless told otherwise, as in Phoenix.
const PATIENCE: Duration = Duration::from_millis(100);

/// How often official clients send a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Connects a client to the socket mounted at `path`, with these parameters, which are a
/// JSON object: nested ones go into the query as Phoenix's clients write them.
///
/// What it gives is awaited, at once or after more was said about the client:
///
/// ```
/// # use serde_json::json;
/// # use bennu_server::Endpoint;
/// # async fn example(endpoint: Endpoint) -> Result<(), bennu_testkit::ConnectError> {
/// let socket = bennu_testkit::connect(&endpoint, "/socket", json!({"token": "abc"}))
///     .header("x-forwarded-for", "203.0.113.7")
///     .cookie("session=xyz")
///     .peer(([192, 0, 2, 1], 51_000).into())
///     .await?;
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// When the parameters are no JSON object.
pub fn connect(endpoint: &Endpoint, path: &str, params: impl Serialize) -> Connect {
    let params = serde_json::to_value(params).expect("connect parameters have a JSON form");
    let Value::Object(params) = params else { panic!("connect parameters are a JSON object, not {params}") };
    let mut query = String::new();
    params.iter().for_each(|(name, value)| write_param(&mut query, &escape(name), value));
    let mut headers = HeaderMap::new();
    for (name, value) in UPGRADE_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Connect {
        endpoint: endpoint.clone(),
        path: path.to_owned(),
        query,
        headers,
        peer: None,
        serializer: Serializer::V2,
        heartbeat: Some(HEARTBEAT),
        patience: PATIENCE,
    }
}

/// What every browser sends to open a WebSocket; the key is the example of RFC 6455.
const UPGRADE_HEADERS: [(HeaderName, &str); 5] = [
    (header::HOST, "localhost"),
    (header::CONNECTION, "Upgrade"),
    (header::UPGRADE, "websocket"),
    (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
    (header::SEC_WEBSOCKET_VERSION, "13"),
];

/// A client that is about to connect, from [`connect`]; `.await` connects it.
#[derive(Debug, Clone)]
#[must_use = "a client connects when this is awaited"]
pub struct Connect {
    endpoint: Endpoint,
    path: String,
    query: String,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    serializer: Serializer,
    heartbeat: Option<Duration>,
    patience: Duration,
}

/// Why a client is not connected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server refused: this is its answer.
    #[error("the connection was refused with {}", .0.status())]
    Refused(Box<Response<Bytes>>),
    /// The endpoint has no socket there.
    #[error("no socket is mounted at {0:?}")]
    NotMounted(String),
}

impl ConnectError {
    /// The status of the server's answer, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            ConnectError::Refused(response) => Some(response.status()),
            ConnectError::NotMounted(_) => None,
        }
    }
}

impl Connect {
    /// Sets a header of the request, such as `origin`, `user-agent` or one that starts with `x-`.
    ///
    /// # Panics
    ///
    /// When this is no header.
    #[doc(alias = "connect_info")]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header's name");
        self.headers.insert(name, value.parse().expect("a header's value"));
        self
    }

    /// Adds a cookie, as `name=value`.
    ///
    /// # Panics
    ///
    /// When this is no cookie.
    pub fn cookie(mut self, cookie: &str) -> Self {
        self.headers.append(header::COOKIE, cookie.parse().expect("a cookie"));
        self
    }

    /// Sends this token as the JavaScript client's `authToken` option does.
    ///
    /// # Panics
    ///
    /// Never: every text can be a token.
    pub fn auth_token(self, token: &str) -> Self {
        let encoded = STANDARD_NO_PAD.encode(token);
        self.header("sec-websocket-protocol", &format!("phoenix, base64url.bearer.phx.{encoded}"))
    }

    /// The client's address.
    #[doc(alias = "peer_data")]
    pub fn peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Speaks version 1.0.0 of the protocol instead of 2.0.0.
    pub fn version_1(mut self) -> Self {
        self.serializer = Serializer::V1;
        self
    }

    /// Sends no heartbeat, so that the server's idle timeout can be tested; by default one
    /// every 30 s, as official clients.
    pub fn without_heartbeat(mut self) -> Self {
        self.heartbeat = None;
        self
    }

    /// How long assertions wait, and refutations listen; 100 ms by default, which cost nothing while
    /// tokio's clock is paused. Where real work is done beside it, such as a database's, leave the
    /// clock running and give more.
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn connect(self) -> Result<TestSocket, ConnectError> {
        let below = format!("{}/websocket", self.path);
        let handshake = self.handshake(&self.path).or_else(|| self.handshake(&below));
        let handshake = handshake.ok_or_else(|| ConnectError::NotMounted(self.path.clone()))?;
        let upgrade = handshake.accept(self.request(), self.peer).await.map_err(ConnectError::Refused)?;
        let arrivals = Arc::<Arrivals>::default();
        let link = Link::open(upgrade, self.serializer, self.heartbeat, arrivals.clone());
        let pubsub = self.endpoint.pubsub().clone();
        Ok(TestSocket::new(link, arrivals, self.serializer, pubsub, self.patience))
    }

    fn handshake<'a>(&'a self, path: &'a str) -> Option<Handshake<'a>> {
        match self.endpoint.route(path)? {
            Transport::WebSocket(handshake) => Some(handshake),
            _ => None,
        }
    }

    fn request(&self) -> Parts {
        let uri = format!("{}?{}vsn={}", self.path, self.query, self.serializer.vsn());
        let request = Request::get(uri).body(()).expect("a path, and an escaped query");
        let (mut parts, ()) = request.into_parts();
        parts.headers = self.headers.clone();
        parts
    }
}

impl IntoFuture for Connect {
    type Output = Result<TestSocket, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

/// Writes `name=value&`, with the members of objects as `name[key]` and of lists as `name[]`.
fn write_param(query: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(key, value)| write_param(query, &format!("{name}[{}]", escape(key)), value));
        }
        Value::Array(elements) => {
            elements.iter().for_each(|value| write_param(query, &format!("{name}[]"), value));
        }
        Value::String(text) => query.push_str(&format!("{name}={}&", escape(text))),
        Value::Null => query.push_str(&format!("{name}=&")),
        Value::Bool(_) | Value::Number(_) => query.push_str(&format!("{name}={value}&")),
    }
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
