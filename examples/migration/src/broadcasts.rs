//! How the Phoenix application broadcasts on topics that have moved, and disconnects their users: it posts here.
//!
//! nginx does not pass this path on: the application reaches the node's own port.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Json, Router};
use bennu::Endpoint;
use bennu::token::VerifyOptions;
use serde::Deserialize;
use serde_json::Value;

/// What the application's tokens for broadcasts are for. Their data is the topic.
pub const SALT: &str = "bennu broadcast";

/// How old such a token may be.
const MAX_AGE: Duration = Duration::from_secs(60);

/// A broadcast that the application asks for.
#[derive(Debug, Deserialize)]
struct Asked {
    topic: String,
    event: String,
    payload: Value,
}

/// `POST /bennu/broadcast`.
pub fn router(endpoint: &Endpoint) -> Router {
    Router::new().route("/bennu/broadcast", post(broadcast)).with_state(endpoint.clone())
}

async fn broadcast(
    State(endpoint): State<Endpoint>,
    headers: HeaderMap,
    Json(Asked { topic, event, payload }): Json<Asked>,
) -> StatusCode {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer "));
    let options = VerifyOptions::new().max_age(MAX_AGE);
    let verified = endpoint.tokens().verify_with::<String>(SALT, token, &options);
    if !verified.is_ok_and(|verified| verified.data == topic) {
        return StatusCode::UNAUTHORIZED;
    }
    match endpoint.broadcast(topic, &event, payload) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
