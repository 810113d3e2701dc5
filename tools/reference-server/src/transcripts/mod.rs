//! The application whose conversations with Phoenix were recorded; `tests/transcripts` has the recordings.

mod presence;
mod room;
mod slow;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use bennu::prelude::*;
use bennu::{Compression, JoinRefRule, LongPollOptions, Params, Serializer};
use http::{HeaderValue, StatusCode, header};

use self::presence::PresenceChannel;
use self::room::RoomChannel;
use self::slow::SlowChannel;
use crate::options::Options;

pub(crate) fn endpoint(pubsub: PubSub, presence: Presence, options: &Options) -> anyhow::Result<Endpoint> {
    // A replay does within milliseconds what took the recorded clients seconds.
    let socket = |requests| TranscriptsSocket { presence: presence.clone(), requests };
    let origins = CheckOrigin::list(["//localhost", "//127.0.0.1"])?;
    let websocket = options.socket().join_ref_rule(JoinRefRule::Strict).check_origin(origins);
    let plain = websocket.clone().longpoll(LongPollOptions::new());
    let short = websocket.clone().timeout(Duration::from_secs(2)).max_frame_size(4096).longpoll(
        LongPollOptions::new().window(Duration::from_secs(2)).pubsub_timeout(Duration::from_secs(1)),
    );
    let auth = plain.clone().auth_token(true);
    let err = websocket.clone().subprotocols(["ref.v1"]).error_handler(too_many_requests);
    let err = err.compression(Compression::default());
    let v2only = websocket.serializers([Serializer::V2]);
    let endpoint = options
        .endpoint(pubsub)?
        .socket("/socket", socket(Requests::Whole), channels(), plain)
        .socket("/socket_short", socket(Requests::Whole), channels(), short)
        .socket("/socket_err", socket(Requests::Whole), channels(), err)
        .socket("/socket_auth", socket(Requests::XHeaders), channels(), auth)
        .socket("/socket_v2only", socket(Requests::Whole), channels(), v2only)
        .build();
    Ok(endpoint?)
}

/// What the recorded application serves beside its sockets.
pub(crate) fn routes(endpoint: Endpoint) -> Router {
    Router::new()
        .route("/admin/disconnect/{id}", get(disconnect))
        .with_state(endpoint)
        .fallback(async || (StatusCode::NOT_FOUND, Html("Not Found")))
}

/// Every response of the recorded application says that it must not be cached, as Plug's do by default.
pub(crate) fn with_headers_of_plug(routes: Router) -> Router {
    routes.layer(from_fn(async |request: Request, next: Next| {
        let mut response = next.run(request).await;
        let caching = HeaderValue::from_static("max-age=0, private, must-revalidate");
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(caching);
        response
    }))
}

async fn disconnect(State(endpoint): State<Endpoint>, Path(id): Path<String>) -> Response {
    endpoint.disconnect(id);
    "ok".into_response()
}

fn channels() -> Channels<Connection> {
    Channels::new()
        .channel::<RoomChannel>("room:*")
        .channel::<RoomChannel>("exact")
        .channel::<SlowChannel>("slow:*")
        .channel::<PresenceChannel>("presence:*")
}

fn too_many_requests(reason: &str) -> http::Response<axum::body::Bytes> {
    let mut response = http::Response::new(format!("refused: {reason:?}").into());
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let caching = HeaderValue::from_static("max-age=0, private, must-revalidate");
    response.headers_mut().insert(header::CACHE_CONTROL, caching);
    response
}

struct TranscriptsSocket {
    presence: Presence,
    requests: Requests,
}

/// What of a connect request the mount keeps for the event `info`, as its `connect_info` said.
#[derive(Clone, Copy)]
enum Requests {
    /// URI, user agent, and headers that start with `x-`.
    Whole,
    /// Only the headers that start with `x-`.
    XHeaders,
}

/// What the channels of a connection know of it.
pub(super) struct Connection {
    user_id: Option<String>,
    params: Params,
    uri: String,
    serializer: &'static str,
    transport: String,
    auth_token: Option<String>,
    x_headers: BTreeMap<String, String>,
    user_agent: Option<String>,
    presence: Presence,
}

impl Socket for TranscriptsSocket {
    type Assigns = Connection;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<Connection>, Refusal> {
        match request.params().text("token") {
            Some("bad") => return Err(Refusal::Unauthorized),
            Some("why") => return Err(Refusal::reason("quota")),
            Some("raise") => panic!("asked to raise"),
            _ => {}
        }
        let connection = self.connection(request);
        let id = connection.user_id.as_ref().map(|user_id| format!("user_socket:{user_id}"));
        let connected = Connected::new(connection);
        Ok(match id {
            Some(id) => connected.with_id(id),
            None => connected,
        })
    }
}

impl TranscriptsSocket {
    fn connection(&self, request: &ConnectRequest) -> Connection {
        let x_headers = request.x_headers();
        let x_headers = x_headers.map(|(name, value)| (name, String::from_utf8_lossy(value)));
        let (uri, user_agent) = match self.requests {
            Requests::Whole => (uri(request), request.user_agent().map(str::to_owned)),
            Requests::XHeaders => (String::new(), None),
        };
        Connection {
            user_id: request.params().text("user_id").map(str::to_owned),
            params: request.params().clone(),
            uri,
            serializer: if request.vsn().starts_with("1.") {
                "Phoenix.Socket.V1.JSONSerializer"
            } else {
                "Phoenix.Socket.V2.JSONSerializer"
            },
            transport: request.transport().to_string(),
            auth_token: request.auth_token().map(str::to_owned),
            x_headers: x_headers.map(|(name, value)| (name.to_owned(), value.into_owned())).collect(),
            user_agent,
            presence: self.presence.clone(),
        }
    }
}

/// The whole address, of which HTTP/1.1 sends only the path.
fn uri(request: &ConnectRequest) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    format!("http://{}{}", host.unwrap_or_default(), request.uri())
}
