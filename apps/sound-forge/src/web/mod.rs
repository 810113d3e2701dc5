//! Everything that is served over HTTP, but the sockets.

mod assets;
mod auth;
mod error;
mod metrics;
mod page;

use axum::Router;
use axum::extract::FromRef;
use axum::http::{HeaderValue, Request, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use crate::accounts::Accounts;
use crate::library::Library;
use crate::rest::{self, Health};

pub use auth::Caller;
pub use error::ApiError;
pub use metrics::{Metrics, Recorder};

/// What handlers work with. Cheap to clone.
#[derive(Debug, Clone, FromRef)]
pub struct Studio {
    /// Who is asking.
    pub accounts: Accounts,
    /// What they have.
    pub library: Library,
    /// What is counted.
    pub metrics: Metrics,
    /// How it is.
    pub health: Health,
}

/// The page, its parts, and the REST interface.
pub fn router(studio: Studio) -> Router {
    Router::new()
        .route("/", get(page::index))
        // Whoever only looks at the link, as chat programs do for a preview, does not use it up.
        .route("/setup/{token}", get(page::use_link).head(page::look_at_link))
        .route("/logout", post(page::log_out))
        .route("/session/socket-token", get(page::socket_token))
        .route("/metrics", get(metrics::render))
        .route("/assets/{name}", get(assets::serve))
        .merge(rest::router(studio.library.max_upload()))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(middleware::from_fn(harden))
        .with_state(studio)
}

/// The page runs its own scripts alone, nobody frames it, and no answer is taken for what it is not.
async fn harden(request: Request<axum::body::Body>, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
