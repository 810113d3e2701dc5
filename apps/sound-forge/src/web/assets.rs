//! The page's scripts and styles, built into the program.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::ApiError;

/// By name: content type and content.
const ASSETS: [(&str, &str, &str); 4] = [
    ("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
    ("studio.js", "text/javascript; charset=utf-8", include_str!("../../assets/studio.js")),
    ("studio.css", "text/css; charset=utf-8", include_str!("../../assets/studio.css")),
    // The official client, as npm delivers it; the build script fetches it.
    (
        "phoenix.mjs",
        "text/javascript; charset=utf-8",
        include_str!(concat!(env!("OUT_DIR"), "/npm/node_modules/phoenix/priv/static/phoenix.mjs")),
    ),
];

pub(super) async fn serve(Path(name): Path<String>) -> Result<Response, ApiError> {
    let asset = ASSETS.iter().find(|(known, ..)| *known == name);
    let (_, content_type, content) = asset.ok_or_else(ApiError::not_found)?;
    let headers = [(header::CONTENT_TYPE, *content_type), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, *content).into_response())
}
