//! Broadcasts and disconnects from outside any channel, for loopback peers alone.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Json, State};
use axum::routing::post;
use axum::{Router, http::StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu::{Endpoint, Payload};
use serde::Deserialize;

type Answer = Result<StatusCode, (StatusCode, String)>;

#[derive(Deserialize)]
struct Broadcast {
    topic: String,
    event: String,
    payload: Option<serde_json::Value>,
    /// Base64 of bytes, in place of `payload`.
    binary: Option<String>,
}

#[derive(Deserialize)]
struct Disconnect {
    id: String,
}

pub(crate) fn routes(endpoint: Endpoint) -> Router {
    Router::new()
        .route("/admin/broadcast", post(broadcast))
        .route("/admin/disconnect", post(disconnect))
        .with_state(endpoint)
}

async fn broadcast(
    State(endpoint): State<Endpoint>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Json(request): Json<Broadcast>,
) -> Answer {
    loopback(peer)?;
    let payload = payload(request.payload, request.binary.as_deref())?;
    endpoint.broadcast(request.topic, &request.event, payload).map_err(bad_request)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn disconnect(
    State(endpoint): State<Endpoint>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Json(request): Json<Disconnect>,
) -> Answer {
    loopback(peer)?;
    endpoint.disconnect(request.id);
    Ok(StatusCode::NO_CONTENT)
}

fn payload(json: Option<serde_json::Value>, binary: Option<&str>) -> Result<Payload, (StatusCode, String)> {
    match (json, binary) {
        (Some(json), None) => Payload::json(&json).map_err(bad_request),
        (None, Some(binary)) => STANDARD.decode(binary).map(Payload::binary).map_err(bad_request),
        (None, None) | (Some(_), Some(_)) => Err(bad_request("give either payload or binary")),
    }
}

fn loopback(peer: SocketAddr) -> Result<(), (StatusCode, String)> {
    match peer.ip().is_loopback() {
        true => Ok(()),
        false => Err((StatusCode::FORBIDDEN, "only loopback peers may do this".to_owned())),
    }
}

fn bad_request(error: impl ToString) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, error.to_string())
}
