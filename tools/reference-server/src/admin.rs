//! Broadcasts and disconnects from outside any channel, for loopback peers alone.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Json, State};
use axum::routing::post;
use axum::{Router, http::StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu::{Endpoint, Payload};
use serde::Deserialize;

type Answer = Result<&'static str, (StatusCode, String)>;

#[derive(Deserialize)]
struct Broadcast {
    topic: String,
    event: String,
    /// Absent and null are two things: null is a payload.
    #[serde(default, deserialize_with = "present")]
    payload: Option<serde_json::Value>,
    /// Base64 of bytes, in place of `payload`.
    binary: Option<String>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
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
    Ok("ok")
}

async fn disconnect(
    State(endpoint): State<Endpoint>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Json(request): Json<Disconnect>,
) -> Answer {
    loopback(peer)?;
    endpoint.disconnect(request.id);
    Ok("ok")
}

fn payload(json: Option<serde_json::Value>, binary: Option<&str>) -> Result<Payload, (StatusCode, String)> {
    match (json, binary) {
        (Some(json), None) => Payload::json(&json).map_err(bad_request),
        (None, Some(binary)) => STANDARD.decode(binary).map(Payload::binary).map_err(bad_request),
        (None, None) | (Some(_), Some(_)) => Err(bad_request("give either payload or binary")),
    }
}

pub(crate) fn loopback(peer: SocketAddr) -> Result<(), (StatusCode, String)> {
    // An IPv4 peer of a socket that listens on `[::]` has a mapped address.
    match peer.ip().to_canonical().is_loopback() {
        true => Ok(()),
        false => Err((StatusCode::FORBIDDEN, "only loopback peers may do this".to_owned())),
    }
}

fn bad_request(error: impl ToString) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, error.to_string())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Method, Request, header};
    use bennu::PubSub;
    use tower::ServiceExt as _;

    use super::*;

    async fn status(peer: &str, path: &str, body: &str) -> StatusCode {
        let endpoint = Endpoint::builder(PubSub::local()).build().unwrap();
        let peer: SocketAddr = peer.parse().unwrap();
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .extension(ConnectInfo(peer))
            .body(Body::from(body.to_owned()));
        routes(endpoint).oneshot(request.unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn only_peers_on_this_machine_may_ask() {
        for (peer, expected) in [
            ("127.0.0.1:5", StatusCode::OK),
            ("127.8.9.1:5", StatusCode::OK),
            ("[::1]:5", StatusCode::OK),
            ("[::ffff:127.0.0.1]:5", StatusCode::OK),
            ("192.0.2.7:5", StatusCode::FORBIDDEN),
            ("[::ffff:192.0.2.7]:5", StatusCode::FORBIDDEN),
            ("[2001:db8::1]:5", StatusCode::FORBIDDEN),
        ] {
            let broadcast = r#"{"topic":"room:a","event":"msg","payload":{}}"#;
            assert_eq!(status(peer, "/admin/broadcast", broadcast).await, expected, "broadcast, {peer}");
            assert_eq!(
                status(peer, "/admin/disconnect", r#"{"id":"u:1"}"#).await,
                expected,
                "disconnect, {peer}"
            );
        }
    }

    #[tokio::test]
    async fn a_broadcast_carries_either_json_or_bytes() {
        for (name, content, expected) in [
            ("any JSON", r#""payload":[1]"#, StatusCode::OK),
            ("bytes", r#""binary":"AQID""#, StatusCode::OK),
            ("bad base64", r#""binary":"A""#, StatusCode::BAD_REQUEST),
            ("both", r#""payload":{},"binary":"AQID""#, StatusCode::BAD_REQUEST),
            ("neither", r#""else":1"#, StatusCode::BAD_REQUEST),
        ] {
            let body = format!(r#"{{"topic":"room:a","event":"msg",{content}}}"#);
            assert_eq!(status("127.0.0.1:5", "/admin/broadcast", &body).await, expected, "{name}");
        }
    }
}
