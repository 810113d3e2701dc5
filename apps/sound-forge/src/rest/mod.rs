//! The REST interface: the same keys as the socket, for scripts and for the page.

mod body;
mod exports;
mod files;
mod health;
mod jobs;
mod paging;
mod present;
mod stages;
mod tracks;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};

use crate::web::Studio;

pub use health::Health;

/// Room for the multipart frame around an upload.
const MULTIPART_OVERHEAD: u64 = 64 * 1024;

/// The routes, for uploads up to a size.
pub fn router(max_upload: u64) -> Router<Studio> {
    let upload_limit = usize::try_from(max_upload + MULTIPART_OVERHEAD).unwrap_or(usize::MAX);
    Router::new()
        .route("/health", get(health::show))
        .route(
            "/api/tracks",
            get(tracks::list).post(tracks::upload).layer(DefaultBodyLimit::max(upload_limit)),
        )
        .route("/api/tracks/{id}", get(tracks::show).delete(tracks::delete))
        .route("/api/download/track", post(stages::download))
        .route("/api/processing/separate", post(stages::separate))
        .route("/api/processing/models", get(stages::models))
        .route("/api/analysis/analyze", post(stages::analyse))
        .route("/api/download/job/{id}", get(jobs::show_download))
        .route("/api/processing/job/{id}", get(jobs::show_processing))
        .route("/api/analysis/job/{id}", get(jobs::show_analysis))
        .route("/api/jobs", get(jobs::list))
        .route("/api/jobs/{id}", delete(jobs::cancel).get(jobs::show))
        .route("/export/stem/{id}", get(exports::stem))
        .route("/export/stems/{track_id}", get(exports::stems))
        .route("/export/analysis/{track_id}", get(exports::analysis))
        .route("/files/{kind}/{folder}/{file}", get(files::serve))
}
