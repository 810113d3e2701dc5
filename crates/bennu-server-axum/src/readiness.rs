//! What a load balancer asks.

use axum::http::StatusCode;
use axum::routing::{MethodRouter, get};
use bennu_server::Endpoint;

/// A route that answers 200 while the endpoint is ready, and 503 while clients should go elsewhere:
/// while it drains, and while the server cannot take connections.
///
/// ```
/// # fn app(endpoint: &bennu_server::Endpoint) -> axum::Router {
/// axum::Router::new().route("/health/ready", bennu_server_axum::readiness(endpoint))
/// # }
/// ```
pub fn readiness<S: Clone + Send + Sync + 'static>(endpoint: &Endpoint) -> MethodRouter<S> {
    let endpoint = endpoint.clone();
    get(async move || match endpoint.is_ready() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    })
}
